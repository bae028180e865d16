// SPDX-License-Identifier: Apache-2.0

package consent

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

var (
	yes, no = true, false
	noon    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// TestDecide walks through the whole table: each Konflux resource, spec, kind of cluster and console, with each last
// decision. The rows say what each of them may be; the first that matches holds.
func TestDecide(t *testing.T) {
	konflux := map[string]Facts{
		"unreadable": {Konflux: Unreadable}, "absent": {Konflux: Absent}, "unset": {Konflux: Present},
		"true": {Konflux: Present, KonfluxEnabled: &yes}, "false": {Konflux: Present, KonfluxEnabled: &no},
	}
	spec := map[string]*bool{"unset": nil, "true": &yes, "false": &no}
	kinds := map[string]Sight{"unknown": Unreadable, "plain": Absent, "openshift": Present}
	consoles := map[string]Facts{"unreadable": {}, "absent": {Console: Absent}, "on": {Console: Present, ConsoleEnabled: true}, "off": {Console: Present}}
	lasts := map[string]*bool{"none": nil, "on": &yes, "off": &no}

	table := []struct {
		konflux, spec, kind, console, last string // * is any; a|b is either
		want                               string
	}{
		{"unreadable", "*", "*", "*", "on", "on unknown KonfluxUnreadable"},
		{"unreadable", "*", "*", "*", "off|none", "off unknown KonfluxUnreadable"},
		{"true", "*", "*", "*", "*", "on KonfluxEnabled"},
		{"false", "*", "*", "*", "*", "off KonfluxDisabled"},
		{"*", "false", "*", "*", "*", "off Disabled"},
		{"absent", "true", "*", "*", "*", "on Enabled"},
		{"absent|unset", "*", "plain", "*", "*", "off NotAsked"},
		{"absent|unset", "*", "unknown", "*", "on", "on unknown ClusterUnreadable"},
		{"absent|unset", "*", "unknown", "*", "off|none", "off unknown ClusterUnreadable"},
		{"absent|unset", "*", "openshift", "unreadable", "on", "on unknown ConsoleUnreadable"},
		{"absent|unset", "*", "openshift", "unreadable", "off|none", "off unknown ConsoleUnreadable"},
		{"absent|unset", "*", "openshift", "on", "*", "on ConsoleEnabled"},
		{"absent|unset", "*", "openshift", "off|absent", "*", "off ConsoleDisabled"},
	}
	matches := func(pattern, value string) bool {
		return pattern == "*" || strings.Contains("|"+pattern+"|", "|"+value+"|")
	}
	used := make([]bool, len(table))
	for k, facts := range konflux {
		for s, enabled := range spec {
			for c, openShift := range kinds {
				for o, console := range consoles {
					for l, last := range lasts {
						facts.Enabled, facts.OpenShift, facts.Last, facts.Now = enabled, openShift, last, noon
						facts.Console, facts.ConsoleEnabled = console.Console, console.ConsoleEnabled
						got := Decide(facts)
						text := onOff(got.Enabled)
						if !got.Known {
							text += " unknown"
						}
						text += " " + got.Reason
						for i, row := range table {
							if matches(row.konflux, k) && matches(row.spec, s) && matches(row.kind, c) && matches(row.console, o) && matches(row.last, l) {
								used[i] = true
								if text != row.want || got.Message == "" {
									t.Errorf("konflux %s, spec %s, cluster %s, console %s, last %s: %q (%s), want %q", k, s, c, o, l, text, got.Message, row.want)
								}
								break
							}
							if i == len(table)-1 {
								t.Errorf("konflux %s, spec %s, cluster %s, console %s, last %s: the table says nothing", k, s, c, o, l)
							}
						}
					}
				}
			}
		}
	}
	for i, row := range table {
		if !used[i] {
			t.Errorf("row %+v is never reached", row)
		}
	}
}

// TestConsoleSettles follows the console's telemetry through time.
func TestConsoleSettles(t *testing.T) {
	type step struct {
		after   time.Duration // since the step before
		console string        // on, off, absent, unreadable, or konflux: the Konflux resource decides
		want    string
	}
	for name, steps := range map[string][]step{
		"first sight counts":   {{0, "on", "on"}},
		"a restart is ignored": {{0, "on", "on"}, {time.Minute, "off", "on again in 10m0s"}, {3 * time.Minute, "off", "on again in 7m0s"}, {time.Minute, "on", "on"}, {10 * time.Minute, "off", "on again in 10m0s"}},
		"a lasting change counts": {
			{0, "on", "on"},
			{time.Hour, "off", "on again in 10m0s"},
			{10*time.Minute - time.Second, "off", "on again in 1s"},
			{time.Second, "off", "off"},
			{time.Hour, "on", "off again in 10m0s"},
			{10 * time.Minute, "on", "on"},
		},
		"it vanishes":              {{0, "on", "on"}, {time.Minute, "absent", "on again in 10m0s"}, {10 * time.Minute, "absent", "off"}},
		"off and absent are alike": {{0, "on", "on"}, {time.Minute, "absent", "on again in 10m0s"}, {5 * time.Minute, "off", "on again in 5m0s"}, {5 * time.Minute, "absent", "off"}},
		"unreadable keeps":         {{0, "on", "on"}, {time.Hour, "unreadable", "on unknown"}, {time.Hour, "off", "on again in 10m0s"}, {time.Minute, "unreadable", "on unknown"}, {9 * time.Minute, "off", "off"}},
		"another decides between":  {{0, "on", "on"}, {time.Minute, "konflux", "off"}, {time.Minute, "on", "on"}},
		"a clock set back":         {{0, "on", "on"}, {0, "off", "on again in 10m0s"}, {-time.Hour, "off", "on again in 10m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			facts := Facts{Konflux: Absent, OpenShift: Present, Now: noon}
			for i, s := range steps {
				facts.Now = facts.Now.Add(s.after)
				facts.Console = map[string]Sight{"on": Present, "off": Present, "absent": Absent}[s.console]
				facts.ConsoleEnabled = s.console == "on"
				facts.KonfluxEnabled = nil
				if s.console == "konflux" {
					facts.KonfluxEnabled = &no
				}
				d := Decide(facts)
				got := onOff(d.Enabled)
				if !d.Known {
					got += " unknown"
				}
				if d.Again != 0 {
					got += fmt.Sprint(" again in ", d.Again)
				}
				if got != s.want {
					t.Fatalf("step %d: %s, want %s", i+1, got, s.want)
				}
				facts.Last, facts.Seen = &d.Enabled, d.Console
			}
		})
	}
}

func TestDecideAgainChangesNothing(t *testing.T) {
	seen := &v1alpha1.Console{Enabled: true, Seen: false, Since: metav1.NewTime(noon)}
	facts := Facts{Konflux: Absent, OpenShift: Present, Console: Present, Last: &yes, Seen: seen, Now: noon.Add(time.Minute + 300*time.Millisecond)}
	first := Decide(facts)
	if first.Console == nil || *first.Console != *seen {
		t.Errorf("console is %+v, want %+v", first.Console, seen)
	}
}

func TestReadConsole(t *testing.T) {
	for _, test := range []struct {
		name, config string
		want         bool
	}{
		{"a key", "telemetry: {SEGMENT_API_KEY: k}", true},
		{"a public key", "telemetry: {SEGMENT_PUBLIC_API_KEY: k, CLUSTER_ID: c}", true},
		{"no key", "telemetry: {CLUSTER_ID: c}", false},
		{"an empty key", "telemetry: {SEGMENT_API_KEY: ''}", false},
		{"no telemetry", "auth: {}", false},
		{"nothing", "", false},
		{"sandbox", "telemetry: {DEVSANDBOX: 'true', DEVSANDBOX_SEGMENT_API_KEY: k}", true},
		{"the sandbox's key elsewhere", "telemetry: {DEVSANDBOX_SEGMENT_API_KEY: k}", false},
		{"disabled", "telemetry: {SEGMENT_API_KEY: k, DISABLED: 'true'}", false},
		{"disabled without quotes", "telemetry: {SEGMENT_API_KEY: k, DISABLED: true}", false},
		{"not disabled", "telemetry: {SEGMENT_API_KEY: k, DISABLED: 'false', TELEMETER_CLIENT_DISABLED: 'false'}", true},
		{"true is written so", "telemetry: {SEGMENT_API_KEY: k, DISABLED: 'True'}", true},
		{"sandbox disabled", "telemetry: {SEGMENT_API_KEY: k, DEVSANDBOX_DISABLED: 'true'}", false},
		{"no telemeter client", "telemetry: {SEGMENT_API_KEY: k, TELEMETER_CLIENT_DISABLED: 'true'}", false},
		{"state off", "telemetry: {SEGMENT_API_KEY: k, STATE: DISABLED}", false},
		{"who agrees", "telemetry: {SEGMENT_API_KEY: k, STATE: OPT-IN}", false},
		{"who does not object", "telemetry: {SEGMENT_API_KEY: k, STATE: OPT-OUT}", true},
		{"enforced", "telemetry: {SEGMENT_API_KEY: k, STATE: ENFORCE}", true},
		{"enforced without a key", "telemetry: {STATE: ENFORCE}", false},
		{"a state of tomorrow", "telemetry: {SEGMENT_API_KEY: k, STATE: ASK}", false},
		{"an empty state", "telemetry: {SEGMENT_API_KEY: k, STATE: ''}", true},
	} {
		if got, err := ReadConsole(test.config); got != test.want || err != nil {
			t.Errorf("%s: %t, %v, want %t", test.name, got, err, test.want)
		}
	}
	for _, config := range []string{"telemetry: [canary]", "telemetry: canary", "\tcanary"} {
		if got, err := ReadConsole(config); got || err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %t, error %v", config, got, err)
		}
	}
}

// The library reads the console's configuration without a YAML parser. Where it understands YAML, it understands it as we do.
func FuzzConsoleConsent(f *testing.F) {
	f.Add("telemetry:\n  SEGMENT_API_KEY: k\n  STATE: OPT-OUT\n  TELEMETER_CLIENT_DISABLED: \"false\"\n")
	f.Add("a:\n  telemetry: x\ntelemetry:\n  DISABLED: True\n  SEGMENT_API_KEY: 'it''s'\nb: [1]\n")
	f.Add("telemetry: {}\n")
	f.Fuzz(func(t *testing.T, config string) {
		text, err := json.Marshal(map[string]any{"data": map[string]string{ConsoleKey: config}})
		if err != nil || !utf8.ValidString(config) { // an API server holds text alone
			return
		}
		client, err := kube.NewClient(&http.Client{Transport: answers{
			"/apis": `{"groups":[{"name":"config.openshift.io","versions":[{"version":"v1"}],"preferredVersion":{"version":"v1"}}]}`,
			"/api/v1/namespaces/openshift-console/configmaps/console-config": string(text),
		}}, "https://cluster", "test")
		if err != nil {
			t.Fatal(err)
		}
		decision, err := kube.ConsoleConsent(client)(t.Context())
		want, invalid := ReadConsole(config)
		if err == nil && invalid == nil && want != (decision.Choice == telemetry.On) {
			t.Errorf("the library decides %v, the operator %t", decision.Choice, want)
		}
	})
}

// answers answers requests by their path.
type answers map[string]string

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(a[r.URL.Path])), Request: r}, nil
}

func FuzzReadConsole(f *testing.F) {
	f.Add("telemetry: {SEGMENT_API_KEY: k, STATE: OPT-OUT}")
	f.Add("telemetry: {DEVSANDBOX: true, DEVSANDBOX_SEGMENT_API_KEY: 1}")
	f.Fuzz(func(t *testing.T, config string) {
		on, err := ReadConsole(config)
		if on && err != nil {
			t.Errorf("on, although the configuration was not understood: %v", err)
		}
	})
}
