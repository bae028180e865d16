// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestBaseURL(t *testing.T) {
	const us, eu = "https://api.segment.io", "https://events.eu1.segmentapis.com"
	tests := []struct{ endpoint, want string }{
		{"", us},
		{"https://api.segment.io", us},
		{"https://api.segment.io/", us},
		{"https://api.segment.io/v1", us},
		{"https://api.segment.io/v1/", us},
		{"https://api.segment.io/v1/batch", us},
		{"https://api.segment.io/v1/batch/", us},
		{"https://api.segment.io//v1//batch//", us},
		{"https://api.segment.io/batch", us},
		{" api.segment.io/v1/batch\n", us},
		{"api.segment.io", us},
		{"events.eu1.segmentapis.com/v1", eu},
		{"localhost:8080", "https://localhost:8080"},
		{"http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"},
		{"http://[::1]:8080", "http://[::1]:8080"},
		{"https://collector.example/team%2Fa/segment/", "https://collector.example/team%2Fa/segment"},
		{"https://collector.example/segment/v1/batch", "https://collector.example/segment"},
		{"https://collector.example/myv1", "https://collector.example/myv1"},
		{"https://collector.example/minibatch", "https://collector.example/minibatch"},
		{"ftp://api.segment.io", ""},
		{"https://", ""},
		{"https:///v1/batch", ""},
		{"https://user:hunter2@api.segment.io", ""},
		{"https://api.segment.io/v1/batch?writeKey=hunter2", ""},
		{"https://api.segment.io/v1/batch#hunter2", ""},
		{"https://hunter2\x7f/", ""},
	}
	for _, tt := range tests {
		got, err := baseURL(tt.endpoint)
		switch {
		case err != nil:
			if tt.want != "" || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("baseURL(%q): %v", tt.endpoint, err)
			}
		case got.String() != tt.want:
			t.Errorf("baseURL(%q) = %q, want %q", tt.endpoint, got, tt.want)
		}
	}
}

func FuzzBaseURL(f *testing.F) {
	for _, seed := range []string{"", "api.segment.io/v1/batch/", "https://[::1]:1/a/v1", "http://h/v1/v1/batch/batch", "://", "https://h/%2fv1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, endpoint string) {
		base, err := baseURL(endpoint)
		if err != nil {
			return
		}
		whole, err := url.Parse(base.String() + batchPath)
		if err != nil || whole.Host == "" || whole.User != nil || whole.RawQuery != "" {
			t.Fatalf("%q became %q: %v", endpoint, base, err)
		}
		again, err := baseURL(whole.String())
		if err != nil || again.String() != base.String() {
			t.Fatalf("%q became %q and that %q: %v", endpoint, base, again, err)
		}
	})
}

// TestOwnPayloadsAreFamiliar keeps the short cut open: it is where the time of a delivery would go.
func TestOwnPayloadsAreFamiliar(t *testing.T) {
	hider, err := telemetry.NewPseudonymizer("cluster")
	if err != nil {
		t.Fatal(err)
	}
	event := telemetry.Event{
		Name: "Namespace Created", MessageID: "1-namespace-created", Time: time.Unix(1e9, 0), Cluster: hider.Cluster(),
		Properties: []telemetry.Property{{Name: "clusterIdHash", Value: telemetry.PseudonymValue(hider.Cluster())}},
	}
	own := event.Track(telemetry.Library{Name: "segment-bridge", Version: "v1"})
	if !familiar(&own) {
		t.Errorf("not familiar: %s", own.Payload)
	}
	for _, change := range [][2]string{
		{`"track"`, `"page"`},
		{"1-namespace", "2-namespace"},
		{`"anonymous"`, `""`},
		{`"Namespace Created"`, `""`},
		{`"Namespace Created"`, `7`},
		{`"properties":{`, `"properties":[`},
		{`"properties":{`, `"prop":{`},
	} {
		other := own
		other.Payload = []byte(strings.Replace(string(own.Payload), change[0], change[1], 1))
		if string(other.Payload) == string(own.Payload) || familiar(&other) {
			t.Errorf("familiar: %s", other.Payload)
		}
	}
}

// FuzzItem holds that Segment takes what is let pass: an event that it dropped would be lost without a word.
func FuzzItem(f *testing.F) {
	for _, seed := range []string{
		`{"type":"track","messageId":"id","userId":"u","event":"E","properties":{}}`, `{"type":"track","messageId":"id","anonymousId":"a","event":"E"}`,
		`{"type":"track","messageId":"id","userID":"u","event":"E"}`, `{"type":"track","messageId":"id","userId":"u","event":7}`,
		`{"type":"page","messageId":"id","userId":"u"}`, `{"type":"track","messageId":"id","userId":"u","event":"E","properties":null}`, `null`, `[]`,
	} {
		f.Add("id", []byte(seed))
	}
	receiver := segmenttest.New(segmenttest.Options{})
	d, err := New(Options{Key: load.NewSecret(segmenttest.Key), Transport: receiver})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id string, payload []byte) {
		before := receiver.Report()
		verdicts, err := d.Deliver(t.Context(), []telemetry.Track{{MessageID: id, Event: "E", Payload: payload}})
		if err != nil {
			t.Fatal(err)
		}
		after := receiver.Report()
		taken := after.Accepted + after.Duplicates - before.Accepted - before.Duplicates
		if (verdicts[0].Status == telemetry.Delivered) != (taken == 1) || len(after.Drops)+len(after.Refusals) > 0 {
			t.Fatalf("verdict %+v, report %+v", verdicts[0], after)
		}
	})
}
