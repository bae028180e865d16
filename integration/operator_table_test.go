// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/segment-bridge/segment-bridge/operator"
	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

const (
	openShiftID = "3f1c2d4e-0000-4000-8000-00000000c1d2"
	builtInKey  = "builtinbuiltinbuiltinbuiltin0000"
)

// A state is what an administrator, the product and OpenShift's console may have set up together.
type state struct {
	konflux string // absent, unset, true, false
	spec    string // unset, true, false
	console string // absent, on, off; on OpenShift alone
	key     string // see keys
	stage   string // volume, s3
}

// keys are where a write key may come from: what is put into the Konflux resource and into the SegmentBridge, and what
// then counts. The Secrets "segment" (with "key") and no other exist.
var keys = map[string]struct {
	konflux  string // JSON of spec.telemetry.spec
	spec     v1alpha1.Segment
	want     string // with a Konflux resource
	without  string // without one
	degraded string // "" when a key counts in any case
	url      string
}{
	"none":                    {want: builtInKey, without: builtInKey},
	"inline in konflux":       {konflux: `{"segmentKey":"konfluxkonfluxkonfluxkonflux0000","segmentAPIURL":"https://example.com/api/v1/batch/"}`, want: "konfluxkonfluxkonfluxkonflux0000", without: builtInKey, url: "https://example.com/api"},
	"secret of konflux":       {konflux: `{"segmentKeySecretRef":{"name":"segment","key":"key"}}`, want: "secretsecretsecretsecretsecret00", without: builtInKey},
	"inline before secret":    {konflux: `{"segmentKey":"konfluxkonfluxkonfluxkonflux0000","segmentKeySecretRef":{"name":"none","key":"key"}}`, want: "konfluxkonfluxkonfluxkonflux0000", without: builtInKey},
	"missing secret":          {konflux: `{"segmentKeySecretRef":{"name":"none","key":"key"}}`, degraded: "WriteKeyMissing", without: builtInKey},
	"missing value":           {konflux: `{"segmentKeySecretRef":{"name":"segment","key":"none"}}`, degraded: "WriteKeyMissing", without: builtInKey},
	"optional, missing":       {konflux: `{"segmentKeySecretRef":{"name":"none","key":"key","optional":true}}`, spec: inlineKey, want: "speckeyspeckeyspeckeyspeckey0000", without: "speckeyspeckeyspeckeyspeckey0000", url: "https://segment.example.com"},
	"inline in the resource":  {spec: inlineKey, want: "speckeyspeckeyspeckeyspeckey0000", without: "speckeyspeckeyspeckeyspeckey0000", url: "https://segment.example.com"},
	"secret of the resource":  {spec: secretKey("segment"), want: "secretsecretsecretsecretsecret00", without: "secretsecretsecretsecretsecret00"},
	"konflux before resource": {konflux: `{"segmentKey":"konfluxkonfluxkonfluxkonflux0000"}`, spec: inlineKey, want: "konfluxkonfluxkonfluxkonflux0000", without: "speckeyspeckeyspeckeyspeckey0000", url: "https://segment.example.com"},
	"an address that is none": {spec: v1alpha1.Segment{URL: "ftp://example.com"}, degraded: "InvalidURL"},
}

var inlineKey = v1alpha1.Segment{WriteKey: "speckeyspeckeyspeckeyspeckey0000", URL: "segment.example.com/v1/"}

func secretKey(name string) v1alpha1.Segment {
	return v1alpha1.Segment{WriteKeySecretRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: "key"}}
}

// states are all of the flags with all of the consoles, and each key with each stage once at least.
func states(openShift bool) []state {
	var all []state
	consoles := []string{"absent"}
	if openShift {
		consoles = []string{"absent", "on", "off"}
	}
	var sources []string
	for name := range keys {
		sources = append(sources, name)
	}
	slices.Sort(sources)
	n := 0
	add := func(s state) {
		s.key, s.stage = sources[n/2%len(sources)], []string{"volume", "s3"}[n%2]
		all, n = append(all, s), n+1
	}
	for _, konflux := range []string{"absent", "unset", "true", "false"} {
		for _, spec := range []string{"unset", "true", "false"} {
			for _, console := range consoles {
				add(state{konflux: konflux, spec: spec, console: console})
			}
		}
	}
	for range 2 * len(sources) {
		if openShift {
			break // the key has nothing to do with it
		}
		add(state{konflux: "true", spec: "unset", console: "absent"})
		add(state{konflux: "absent", spec: "true", console: "absent"})
	}
	// In any order: each state is a transition from some other.
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// decision is what the operator must make of a state.
func (s state) decision(openShift bool) (on bool, reason string) {
	switch {
	case s.konflux == "true":
		return true, "KonfluxEnabled"
	case s.konflux == "false":
		return false, "KonfluxDisabled"
	case s.spec == "false":
		return false, "Disabled"
	case s.spec == "true" && s.konflux == "absent":
		return true, "Enabled"
	case !openShift:
		return false, "NotAsked"
	case s.console == "on":
		return true, "ConsoleEnabled"
	default:
		return false, "ConsoleDisabled"
	}
}

// TestOperatorTable goes through the flags, the kinds of cluster, the console's states, where keys come from and the
// stages, and expects of each what the documentation says.
func TestOperatorTable(t *testing.T) {
	s := newOperatorSite(t)
	s.cluster.Define(t, "world/crds")
	s.cluster.Namespace(t, "konflux-ui", nil)
	s.put("Secret", "segment-bridge", "segment", `{"stringData":{"key":"secretsecretsecretsecretsecret00\n"}}`)
	s.putBridge(v1alpha1.New())
	stop := s.start(operator.Options{WriteKey: builtInKey})
	walk := func(openShift bool, clusterID string) {
		for i, st := range states(openShift) {
			s.enter(st, i)
			s.expect(st, openShift, clusterID)
			if t.Failed() {
				t.Fatalf("OpenShift %t, step %d: %+v", openShift, i+1, st)
			}
		}
		t.Logf("OpenShift %t: %d states", openShift, len(states(openShift)))
	}
	walk(false, string(s.get("Namespace", "", "kube-system").GetUID()))
	stop()

	s.makeOpenShift()
	s.start(operator.Options{WriteKey: builtInKey})
	walk(true, openShiftID)
}

// makeOpenShift adds what tells OpenShift from other clusters.
func (s *operatorSite) makeOpenShift() {
	s.t.Helper()
	s.cluster.Define(s.t, "testdata/openshift.yaml")
	version := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion",
		"metadata": map[string]any{"name": "version"}, "spec": map[string]any{"clusterID": openShiftID},
	}}
	s.cluster.ApplyObjects(s.t, version)
	s.cluster.Namespace(s.t, "openshift-console", nil)
}

// enter makes the cluster what a state says.
func (s *operatorSite) enter(st state, step int) {
	s.t.Helper()
	k := keys[st.key]
	switch st.konflux {
	case "absent":
		if s.get("Konflux", "", "konflux") != nil {
			s.delete("Konflux", "", "konflux")
		}
	default:
		telemetry := `"later":{"a":[1]}`
		if st.konflux != "unset" {
			telemetry += `,"enabled":` + st.konflux
		}
		if k.konflux != "" {
			telemetry += `,"spec":` + k.konflux
		}
		s.put("Konflux", "", "konflux", `{"spec":{"telemetry":{`+telemetry+`},"ui":{"spec":{}}}}`)
	}
	console := map[string]string{
		"on":  `{"data":{"console-config.yaml":"telemetry: {SEGMENT_API_KEY: k, TELEMETER_CLIENT_DISABLED: 'false'}"}}`,
		"off": `{"data":{"console-config.yaml":"telemetry: {SEGMENT_API_KEY: k, TELEMETER_CLIENT_DISABLED: 'true'}"}}`,
	}[st.console]
	if console != "" {
		s.put("ConfigMap", "openshift-console", "console-config", console)
	} else if s.get("ConfigMap", "openshift-console", "console-config") != nil {
		s.delete("ConfigMap", "openshift-console", "console-config")
	}
	b := v1alpha1.New()
	if st.spec != "unset" {
		b.Enable(st.spec == "true")
	}
	b.Spec.Segment = k.spec
	if st.stage == "s3" {
		b.StageIn(v1alpha1.S3{Bucket: "telemetry"})
	}
	// The annotation makes a change of each step, and the operator look.
	b.Annotations = map[string]string{"step": fmt.Sprint(step)}
	s.putBridge(b)
}

// expect waits until the operator has made of a state what it must.
func (s *operatorSite) expect(st state, openShift bool, clusterID string) {
	s.t.Helper()
	on, reason := st.decision(openShift)
	if openShift && (reason == "ConsoleEnabled" || reason == "ConsoleDisabled") {
		// A change of the console counts once it has lasted.
		s.await("the console is seen", func() string {
			if c := s.bridge().Status.Console; c == nil || c.Seen != on {
				return fmt.Sprint(s.bridge().Status)
			}
			return ""
		})
		s.clock.move(11 * time.Minute)
		s.patch("SegmentBridge", "", v1alpha1.Name, `{"metadata":{"annotations":{"settled":"`+s.clock.Now().String()+`"}}}`)
	}
	if !on {
		s.awaitConditions("TelemetryEnabled=False/"+reason, "Ready=True/Off", "Degraded=False/Off")
		s.awaitInstalled([]string{})
		return
	}
	k := keys[st.key]
	key := k.without
	degraded := "Degraded=False/AsExpected"
	if st.konflux != "absent" {
		key = k.want
	}
	if key == "" {
		degraded = "Degraded=True/" + k.degraded
	}
	s.awaitConditions("TelemetryEnabled=True/"+reason, "Ready=True/Installed", "LastRunSucceeded=Unknown/NoRunYet", degraded)
	want := plainInstallation()
	if st.stage == "s3" {
		want = slices.DeleteFunc(want, func(o string) bool { return o == "PersistentVolumeClaim segment-bridge/segment-bridge-stage" })
	}
	if key != "" {
		want = append(want, "Secret konflux-ui/segment-bridge-config", "Secret segment-bridge/segment-bridge-write-key")
		slices.Sort(want)
	}
	s.awaitInstalled(want)
	url := k.url
	if st.konflux == "absent" && k.spec.URL == "" {
		url = ""
	}
	s.await("the keys", func() string {
		if got := s.value("segment-bridge", "segment-bridge-write-key", "write-key"); got != key {
			return fmt.Sprintf("the job's key is %q, want %q", got, key)
		}
		if got := s.value("konflux-ui", "segment-bridge-config", "key"); got != key {
			return fmt.Sprintf("the UI's key is %q, want %q", got, key)
		}
		host := "api.segment.io/v1"
		if url != "" {
			host = url[len("https://"):] + "/v1"
		}
		if got := s.value("konflux-ui", "segment-bridge-config", "url"); key != "" && got != host {
			return fmt.Sprintf("the UI's URL is %q, want %q", got, host)
		}
		return ""
	})
	s.await("the job", func() string {
		env := environmentOf(s.get("CronJob", "segment-bridge", "segment-bridge"))
		if env["CLUSTER_ID"] != clusterID || key != "" && env["SEGMENT_BATCH_API"] != url {
			return fmt.Sprint(env)
		}
		return ""
	})
}

// value returns a value of a Secret, "" when there is none.
func (s *operatorSite) value(namespace, name, field string) string {
	secret := s.get("Secret", namespace, name)
	if secret == nil {
		return ""
	}
	text, _, _ := unstructured.NestedString(secret.Object, "data", field)
	value, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		s.t.Error(err)
	}
	return string(value)
}

// environmentOf returns the plain variables of all containers of a cron job.
func environmentOf(cronJob *unstructured.Unstructured) map[string]string {
	all := map[string]string{}
	if cronJob == nil {
		return all
	}
	for _, group := range []string{"initContainers", "containers"} {
		containers, _, _ := unstructured.NestedSlice(cronJob.Object, "spec", "jobTemplate", "spec", "template", "spec", group)
		text, _ := json.Marshal(containers) // it came as JSON
		var typed []corev1.Container
		if json.Unmarshal(text, &typed) != nil {
			continue
		}
		for _, c := range typed {
			for _, e := range c.Env {
				if e.ValueFrom == nil {
					all[e.Name] = e.Value
				}
			}
		}
	}
	return all
}
