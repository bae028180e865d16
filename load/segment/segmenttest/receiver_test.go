// SPDX-License-Identifier: Apache-2.0

package segmenttest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

func start(t *testing.T, receiver *segmenttest.Receiver) string {
	t.Helper()
	address, stop, err := receiver.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return address
}

const good = `{"type":"track","messageId":"m","anonymousId":"a","event":"E","properties":{}}`

func batch(items ...string) string {
	return `{"sentAt":"2026-03-01T12:00:00Z","batch":[` + strings.Join(items, ",") + `]}`
}

// TestAnswers checks one request each: the status, what is taken and what is dropped, refused or found wrong.
func TestAnswers(t *testing.T) {
	type counts = map[string]int
	event := func(fields string) string { return `{"type":"track","messageId":"m",` + fields + `}` }
	tests := []struct {
		name                        string
		body                        string
		change                      func(*http.Request)
		status, taken               int
		drops, refusals, violations counts
	}{
		{name: "good", body: batch(good), status: 200, taken: 1},
		{name: "good and bad", body: batch(good, event(`"userId":"u"`)), status: 200, taken: 1, drops: counts{"event_not_defined": 1}},
		{name: "not JSON", body: batch(good) + "x", status: 400, refusals: counts{"invalid_json": 1}},
		{name: "not an object", body: "null", status: 400, refusals: counts{"invalid_json": 1}},
		{name: "empty", body: "", status: 400, refusals: counts{"invalid_json": 1}},
		{name: "batch is no array", body: `{"batch":{}}`, status: 400, refusals: counts{"batch_not_array": 1}},
		{name: "no batch", body: `{"sentAt":"2026-03-01T12:00:00Z"}`, status: 200, drops: counts{"empty_batch": 1}},
		{name: "another spelling", body: strings.Replace(batch(good), `"batch"`, `"Batch"`, 1), status: 200, drops: counts{"empty_batch": 1}},
		{name: "item is no object", body: batch(`"x"`, "null"), status: 200, drops: counts{"not_an_object": 2}},
		{name: "no type", body: batch(`{"userId":"u","event":"E"}`), status: 200, drops: counts{"type_missing": 1}},
		{name: "unknown type", body: batch(`{"type":"trace","userId":"u"}`), status: 200, drops: counts{"type_unknown": 1}},
		{name: "nobody", body: batch(event(`"userId":"","event":"E"`)), status: 200, drops: counts{"no_user_anon_id": 1}},
		{name: "numbered user", body: batch(event(`"userId":7,"event":"E"`)), status: 200, drops: counts{"no_user_anon_id": 1}},
		{name: "user in another spelling", body: batch(event(`"userID":"u","event":"E"`)), status: 200, drops: counts{"no_user_anon_id": 1}},
		{name: "numbered event", body: batch(event(`"userId":"u","event":7`)), status: 200, drops: counts{"event_not_string": 1}},
		{name: "nameless event", body: batch(event(`"userId":"u","event":""`)), status: 200, drops: counts{"event_not_defined": 1}},
		{name: "listed properties", body: batch(event(`"userId":"u","event":"E","properties":[]`)), status: 200, drops: counts{"properties_not_object": 1}},
		{name: "local time", body: batch(event(`"userId":"u","event":"E","timestamp":"1 March"`)), status: 200, taken: 1, violations: counts{"timestamp": 1}},
		{name: "long message ID", body: batch(strings.Replace(good, `"m"`, `"`+strings.Repeat("m", 101)+`"`, 1)), status: 200, drops: counts{"message_id": 1}},
		{name: "identify", body: batch(`{"type":"identify","messageId":"m","userId":"u"}`), status: 200, taken: 1},
		{name: "no message ID", body: batch(`{"type":"page","userId":"u"}`), status: 200, taken: 1},
		{name: "as large as may be", body: pad(segmenttest.MaxBodyBytes), status: 200, taken: 1},
		{name: "too large", body: pad(segmenttest.MaxBodyBytes + 1), status: 400, refusals: counts{"body_too_big": 1}},
		{name: "event as large as may be", body: batch(wide(segmenttest.MaxEventBytes)), status: 200, taken: 1},
		{name: "event too large", body: batch(good, wide(segmenttest.MaxEventBytes+1)), status: 400, refusals: counts{"event_too_big": 1}},
		{name: "too many events", body: batch(strings.Split(strings.Repeat("{} ", 2501), " ")[:2501]...), status: 200, drops: counts{"too_many_events": 2501}},
		{name: "no sentAt", body: `{"batch":[` + good + `]}`, status: 200, taken: 1, violations: counts{"sent_at": 1}},
		{
			name: "text", body: batch(good), status: 400, refusals: counts{"content_type": 1},
			change: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		},
		{
			name: "charset", body: batch(good), status: 200, taken: 1,
			change: func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") },
		},
		{name: "no key", body: batch(good), status: 400, refusals: counts{"write_key": 1}, change: func(r *http.Request) { r.Header.Del("Authorization") }},
		{name: "short key", body: batch(good), status: 400, refusals: counts{"write_key": 1}, change: func(r *http.Request) { r.SetBasicAuth("short", "") }},
		{name: "unknown key", body: batch(good), status: 200, drops: counts{"unknown_write_key": 1}, change: func(r *http.Request) { r.SetBasicAuth("nobody-knows-it", "") }},
		{name: "source switched off", body: batch(good, good), status: 200, drops: counts{"source_disabled": 2}, change: func(r *http.Request) { r.SetBasicAuth("switched-off", "") }},
		{
			name: "key in the body", body: strings.Replace(batch(good), "{", `{"writeKey":"`+segmenttest.Key+`",`, 1), status: 200, taken: 1,
			change: func(r *http.Request) { r.Header.Del("Authorization") },
		},
		{name: "two keys", body: strings.Replace(batch(good), "{", `{"writeKey":"another-key",`, 1), status: 200, taken: 1, violations: counts{"two_write_keys": 1}},
		{name: "nameless client", body: batch(good), status: 200, taken: 1, violations: counts{"user_agent": 1}, change: func(r *http.Request) { r.Header.Set("User-Agent", "") }},
		{name: "zeroth retry", body: batch(good), status: 200, taken: 1, violations: counts{"retry_count": 1}, change: func(r *http.Request) { r.Header.Set("X-Retry-Count", "0") }},
		{name: "first retry", body: batch(good), status: 200, taken: 1, change: func(r *http.Request) { r.Header.Set("X-Retry-Count", "1") }},
		{name: "gzip", body: zip(batch(good)), status: 200, taken: 1, change: func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }},
		{name: "gzip too large", body: zip(pad(segmenttest.MaxBodyBytes + 1)), status: 400, refusals: counts{"body_too_big": 1}, change: func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }},
		{name: "no gzip", body: batch(good), status: 400, refusals: counts{"unreadable_body": 1}, change: func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }},
		{name: "unknown encoding", body: batch(good), status: 400, refusals: counts{"unreadable_body": 1}, change: func(r *http.Request) { r.Header.Set("Content-Encoding", "zstd") }},
		{name: "other method", body: "", status: 405, change: func(r *http.Request) { r.Method = http.MethodGet }},
		{name: "other path", body: batch(good), status: 404, change: func(r *http.Request) { r.URL.Path = "/v1/track" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			receiver := segmenttest.New(segmenttest.Options{Disabled: []string{"switched-off"}})
			status := post(t, start(t, receiver), tt.body, tt.change)
			report := receiver.Report()
			if status != tt.status || report.Accepted != tt.taken || len(receiver.Events()) != tt.taken ||
				!maps.Equal(report.Drops, tt.drops) || !maps.Equal(report.Refusals, tt.refusals) || !maps.Equal(report.Violations, tt.violations) {
				t.Errorf("status %d, report %+v", status, report)
			}
		})
	}
}

func post(t *testing.T, address, body string, change func(*http.Request)) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/v1/batch", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "receiver test")
	req.SetBasicAuth(segmenttest.Key, "")
	if change != nil {
		change(req)
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// wide is an event of n bytes, pad a whole body of n bytes around a small one.
func wide(n int) string {
	return strings.Replace(good, "{}", `{"a":"`+strings.Repeat("x", n-len(good)-len(`"a":""`))+`"}`, 1)
}

func pad(n int) string { return batch(good) + strings.Repeat(" ", n-len(batch(good))) }

func zip(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// FuzzReceiver holds that nothing a client sends ends the receiver, and that every event is accounted for.
func FuzzReceiver(f *testing.F) {
	for _, seed := range []string{batch(good), batch("null", `{"type":"track"}`), `{"batch":[],"context":7}`, `{"batch":[{"type":"page","userId":"u","context":[]}],"context":{"a":1}}`, "{", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		receiver := segmenttest.New(segmenttest.Options{})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://receiver/v1/batch", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.SetBasicAuth(segmenttest.Key, "")
		response, err := receiver.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		report := receiver.Report()
		settled := report.Accepted + report.Duplicates
		for _, n := range report.Drops {
			settled += n
		}
		if (response.StatusCode == http.StatusOK) != (settled > 0) || (response.StatusCode == http.StatusBadRequest) != (len(report.Refusals) == 1) {
			t.Fatalf("%d for %q: %+v", response.StatusCode, body, report)
		}
		for _, event := range receiver.Events() {
			if !json.Valid(event.JSON) || !strings.Contains(body, string(event.Raw)) {
				t.Fatalf("took %s from %q", event.JSON, body)
			}
		}
	})
}

func TestDeduplication(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	receiver := segmenttest.New(segmenttest.Options{Now: func() time.Time { return now }})
	address := start(t, receiver)
	for _, wait := range []time.Duration{0, time.Hour, 22 * time.Hour, time.Hour} { // the last at 24 h
		now = now.Add(wait)
		post(t, address, batch(good, good), nil)
	}
	if events, duplicates := len(receiver.Events()), len(receiver.Duplicates()); events != 2 || duplicates != 6 {
		t.Errorf("%d taken, %d duplicates", events, duplicates)
	}
}

func TestMerging(t *testing.T) {
	receiver := segmenttest.New(segmenttest.Options{})
	item := `{"type":"track","messageId":"m","userId":"u","event":"E","context":{"library":{"name":"mine"}}}`
	post(t, start(t, receiver), strings.Replace(batch(item), "{", `{"context":{"library":{"name":"shared"},"ip":"0.0.0.0"},"integrations":{"All":false},`, 1), nil)
	event := receiver.Events()[0]
	var merged struct {
		Context struct {
			Library struct{ Name string }
			IP      string
		}
		Integrations map[string]bool
	}
	if err := json.Unmarshal(event.JSON, &merged); err != nil {
		t.Fatal(err)
	}
	if merged.Context.Library.Name != "mine" || merged.Context.IP != "0.0.0.0" || len(merged.Integrations) != 1 {
		t.Errorf("merged to %s", event.JSON)
	}
	if string(event.Raw) != item {
		t.Errorf("raw is %s", event.Raw)
	}
}

// TestFaultsOverHTTP drives the receiver as another process would.
func TestFaultsOverHTTP(t *testing.T) {
	address := start(t, segmenttest.New(segmenttest.Options{}))
	var report segmenttest.Report
	call(t, http.MethodPost, address+"/_/faults", `[{"status":429,"retryAfter":"7"},{"reset":true},{"reset":true,"accept":true},{"truncate":true},{"delay":1000000}]`, nil)
	var got []string
	for i := range 5 {
		got = append(got, strconv.Itoa(post(t, address, batch(strings.Replace(good, `"m"`, fmt.Sprintf(`"m%d"`, i), 1)), nil)))
	}
	call(t, http.MethodGet, address+"/_/report", "", &report)
	if s := strings.Join(got, " "); s != "429 0 0 200 200" || report.Requests != 5 || report.Accepted != 3 {
		t.Errorf("statuses %s, report %+v", s, report)
	}
	var first segmenttest.Event
	call(t, http.MethodGet, address+"/_/events", "", &first)
	if first.MessageID != "m2" || first.Name != "E" {
		t.Errorf("first event %+v", first)
	}
	if status := call(t, http.MethodPost, address+"/_/faults", `[{"statsu":429}]`, nil); status != http.StatusBadRequest {
		t.Errorf("a misspelt fault is answered with %d", status)
	}
}

func call(t *testing.T, method, url, body string, into any) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if into != nil {
		if err := json.NewDecoder(response.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	return response.StatusCode
}
