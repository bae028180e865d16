// SPDX-License-Identifier: Apache-2.0

package install

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestToURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://api.segment.io":                         "ports: [{port: 443, protocol: TCP}]",
		"http://collector":                               "ports: [{port: 80, protocol: TCP}]",
		"results.example.com:8443":                       "ports: [{port: 8443, protocol: TCP}]",
		"grpc://results.example.com":                     "ports: [{port: 80, protocol: TCP}]",
		"https://10.1.2.3:9000":                          "{ports: [{port: 9000, protocol: TCP}], to: [{ipBlock: {cidr: 10.1.2.3/32}}]}",
		"https://[fd00::1]":                              "{ports: [{port: 443, protocol: TCP}], to: [{ipBlock: {cidr: fd00::1/128}}]}",
		"http://minio.storage.svc:9000":                  "to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: storage}}}]",
		"https://minio.storage.svc.cluster.local:9000/x": "to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: storage}}}]",
	} {
		got, err := yaml.Marshal(toURL(raw))
		if err != nil {
			t.Fatal(err)
		}
		var expected map[string]any
		if err := yaml.Unmarshal([]byte(want), &expected); err != nil {
			t.Fatal(err)
		}
		if text, err := yaml.Marshal(expected); err != nil || string(got) != string(text) {
			t.Errorf("%s: got\n%s want\n%s (%v)", raw, got, text, err)
		}
	}
}

func TestBareURL(t *testing.T) {
	for _, address := range []string{"", "https://api.segment.io", "api.segment.io/v1/", "https://api.segment.io/v1/batch/"} {
		if got := bareURL(address); got != "api.segment.io/v1" {
			t.Errorf("%q becomes %q", address, got)
		}
	}
	if got := bareURL("http://host:8080/own/path"); got != "host:8080/own/path/v1" || strings.Contains(got, "//") {
		t.Errorf("a path of its own becomes %q", got)
	}
}

func TestServiceNamespace(t *testing.T) {
	for address, want := range map[string]string{
		"api.results.svc:8080": "results", "grpcs://api.results.svc.cluster.local:8080/x": "results",
		"results.example.com:8080": "", "10.0.0.1:8080": "", "": "", "api.svc": "",
	} {
		if got := ServiceNamespace(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
