// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

func TestConfigMapConsent(t *testing.T) {
	const path = "/api/v1/namespaces/acme/configmaps/telemetry"
	tests := map[string]struct {
		object  string
		status  int
		want    telemetry.Decision
		wantErr bool
	}{
		"absent":       {},
		"no key":       {object: `{"data":{"other":"off"}}`},
		"no data":      {object: `{}`},
		"empty":        {object: `{"data":{"setting":" "}}`},
		"off":          {object: `{"data":{"setting":"off\n"}}`, want: telemetry.Decision{Choice: telemetry.Off}},
		"on":           {object: `{"data":{"setting":"true"}}`, want: telemetry.Decision{Choice: telemetry.On}},
		"a plan":       {object: `{"data":{"setting":"0123456789abcdef"}}`, want: telemetry.Decision{Choice: telemetry.On, Plan: "0123456789abcdef"}},
		"a sentence":   {object: `{"data":{"setting":"secret-name"}}`, wantErr: true},
		"no object":    {object: `["secret-name"]`, wantErr: true},
		"forbidden":    {status: 403, wantErr: true},
		"out of order": {status: 500, wantErr: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &cluster{objects: map[string]string{path: tt.object}, status: map[string]int{path: tt.status}}
			got, err := kube.ConfigMapConsent(c.client(t), "acme", "telemetry", "setting")(t.Context())
			if got != tt.want || (err != nil) != tt.wantErr {
				t.Errorf("decision is %+v, %v, want %+v, error %t", got, err, tt.want, tt.wantErr)
			}
			if err != nil && strings.Contains(err.Error(), "secret-name") {
				t.Errorf("the error repeats what it read: %v", err)
			}
		})
	}
}

func TestConsoleConsent(t *testing.T) {
	const path = "/api/v1/namespaces/openshift-console/configmaps/console-config"
	on, off := telemetry.Decision{Choice: telemetry.On}, telemetry.Decision{Choice: telemetry.Off}
	const before, after = "apiVersion: console.openshift.io/v1\nauth:\n  telemetry: x\n", "\nservingInfo:\n  bindAddress: https://[::]:8443\n  keys: [a, b]\n"
	tests := map[string]struct {
		plain   bool   // no OpenShift
		config  string // "" is that there is no ConfigMap
		status  int
		want    telemetry.Decision
		wantErr bool
	}{
		"plain Kubernetes":            {plain: true, config: before + "telemetry:\n  SEGMENT_API_KEY: k" + after},
		"no console":                  {want: off},
		"no telemetry":                {config: before + after, want: off},
		"no telemetry at all":         {config: "telemetry: {}\n", want: off},
		"a key":                       {config: before + "telemetry:\n  CLUSTER_ID: secret-name\n  SEGMENT_API_KEY: k" + after, want: on},
		"a public key, quoted":        {config: before + "telemetry:\n    SEGMENT_PUBLIC_API_KEY: \"a: \\\"b\\\" #c\"\n    # a comment\n    TELEMETER_CLIENT_DISABLED: \"false\"" + after, want: on},
		"an empty key":                {config: "telemetry:\n  SEGMENT_API_KEY: ''\n", want: off},
		"the telemeter client is off": {config: "telemetry:\n  SEGMENT_API_KEY: k\n  TELEMETER_CLIENT_DISABLED: 'true'\n", want: off},
		"people would have to agree":  {config: "telemetry:\n  SEGMENT_API_KEY: k\n  STATE: OPT-IN\n", want: off},
		"forbidden":                   {config: before, status: 403, wantErr: true},
		"not a map":                   {config: "telemetry: secret-name\n", wantErr: true},
		"a map in one line":           {config: "telemetry: {SEGMENT_API_KEY: secret-name}\n", wantErr: true},
		"a text of several lines":     {config: "telemetry:\n  SEGMENT_API_KEY: |\n    secret-name\n", wantErr: true},
		"a list":                      {config: "telemetry:\n- secret-name\n", wantErr: true},
		"twice":                       {config: "telemetry:\n  A: b\ntelemetry:\n  A: secret-name\n", wantErr: true},
		"JSON":                        {config: `{"telemetry":{"SEGMENT_API_KEY":"secret-name"}}`, wantErr: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &cluster{lists: map[string][]string{"/apis/config.openshift.io/v1/clusterversions": nil}, objects: map[string]string{}, status: map[string]int{path: tt.status}}
			if tt.plain {
				c.lists = nil
			}
			if tt.config != "" {
				text, err := json.Marshal(map[string]any{"data": map[string]string{"console-config.yaml": tt.config}})
				if err != nil {
					t.Fatal(err)
				}
				c.objects[path] = string(text)
			}
			got, err := kube.ConsoleConsent(c.client(t))(t.Context())
			if got != tt.want || (err != nil) != tt.wantErr {
				t.Errorf("decision is %+v, %v, want %+v, error %t", got, err, tt.want, tt.wantErr)
			}
			if err != nil && strings.Contains(err.Error(), "secret-name") {
				t.Errorf("the error repeats what it read: %v", err)
			}
		})
	}
	if _, err := kube.ConsoleConsent(forbidding{}.client(t))(t.Context()); err == nil {
		t.Error("whether this is OpenShift may not be asked, and that is no error")
	}
}
