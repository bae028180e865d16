// SPDX-License-Identifier: Apache-2.0

package splunktest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/load/splunk/splunktest"
)

const channel = "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba"

// said is what HEC answers.
type said struct {
	status int
	Code   int
	Number *int `json:"invalid-event-number"`
	AckID  *int64
	Acks   map[string]bool
}

// ask posts a body and returns the answer; one that is not JSON has the code -1.
func ask(t *testing.T, r *splunktest.Receiver, path, body string, change func(*http.Request)) (s said) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/services/collector"+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Splunk "+splunktest.Token)
	if change != nil {
		change(req)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	s.Code = -1
	if w.Header().Get("Content-Type") != "text/html; charset=UTF-8" {
		s.Code = 0
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Fatalf("answer %q: %v", w.Body, err)
		}
	}
	s.status = w.Code
	return s
}

func header(key, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

// TestAnswers checks one request each: the answer, what is indexed and what is dropped.
func TestAnswers(t *testing.T) {
	const good, noKeys = `{"event":"e"}`, -1
	tests := []struct {
		name, path, body string
		change           func(*http.Request)
		options          splunktest.Options
		status, code     int
		number           int // of the bad event; -1 is none
		indexed          int
		drops            map[string]int
	}{
		{name: "good", body: good, status: 200, number: -1, indexed: 1},
		{name: "one after another", body: good + "\n" + good + good, status: 200, number: -1, indexed: 3},
		{name: "an array", body: "[" + good + "," + good + "]", status: 200, number: -1, indexed: 2},
		{name: "all keys", body: `{"time":1.5,"host":"h","source":"s","sourcetype":"t","index":"main","event":{"a":1},"fields":{"f":"g"}}`, status: 200, number: -1, indexed: 1},
		{name: "no path", path: "-", body: good, status: 200, number: -1, indexed: 1},
		{name: "versioned path", path: "/event/1.0", body: good, status: 200, number: -1, indexed: 1},
		{name: "unknown path", path: "/events", body: good, status: 404, code: 404, number: -1},
		{name: "health without a token", path: "/health", change: func(r *http.Request) { r.Header.Del("Authorization") }, status: 200, code: 17, number: -1},
		{name: "other method", body: good, change: func(r *http.Request) { r.Method = http.MethodPut }, status: 405, code: noKeys, number: -1},

		{name: "no token", body: good, change: func(r *http.Request) { r.Header.Del("Authorization") }, status: 401, code: 2, number: -1},
		{name: "no scheme", body: good, change: header("Authorization", splunktest.Token), status: 401, code: 3, number: -1},
		{name: "unknown token", body: good, change: header("Authorization", "Splunk other"), status: 403, code: 4, number: -1},
		{name: "disabled token", body: good, change: header("Authorization", "Splunk off"), options: splunktest.Options{Disabled: "off"}, status: 403, code: 1, number: -1},
		{name: "basic", body: good, change: func(r *http.Request) { r.SetBasicAuth("x", splunktest.Token) }, status: 200, number: -1, indexed: 1},
		{name: "token in the query", path: "/event?token=" + splunktest.Token, body: good, status: 400, code: 16, number: -1},

		{name: "empty", body: " ", status: 400, code: 5, number: -1},
		{name: "not JSON", body: good + good + "x", status: 400, code: 6, number: 2, indexed: 2},
		{name: "cut short", body: good + `{"event":`, status: 400, code: 6, number: 1, indexed: 1},
		{name: "no object", body: good + `7` + good, status: 400, code: 6, number: 1, indexed: 1},
		{name: "no event", body: good + `{"time":1}` + good, status: 400, code: 12, number: 1, indexed: 1},
		{name: "null", body: `{"event":null}`, status: 400, code: 6, number: 0},
		{name: "false", body: `{"event":false}`, status: 400, code: 6, number: 0},
		{name: "blank", body: `{"event":" "}`, status: 400, code: 13, number: 0},
		{name: "odd time", body: `{"event":"e","time":"noon"}`, status: 400, code: 6, number: 0},
		{name: "numbered host", body: `{"event":"e","host":7}`, status: 400, code: 6, number: 0},
		{name: "deep fields", body: good + `{"event":"e","fields":{"a":{"b":1}}}` + good, status: 400, code: 15, number: 1, indexed: 1},
		{name: "listed fields", body: `{"event":"e","fields":[]}`, status: 400, code: 15, number: 0},
		{name: "forbidden index", body: good + `{"event":"e","index":"other"}` + good, options: splunktest.Options{Allowed: []string{"main"}}, status: 400, code: 7, number: 2, indexed: 1},

		{name: "unknown key", body: good + `{"event":"e","Host":"h"}` + good, status: 200, number: -1, indexed: 1, drops: map[string]int{"unknown_key": 1, "behind_unknown_key": 1}},
		{name: "unknown index", body: good + `{"event":"e","index":"other"}` + good, status: 200, number: -1, indexed: 2, drops: map[string]int{"unknown_index": 1}},
		{name: "values do not carry over", body: `{"event":"e","index":"other"}` + good, status: 200, number: -1, indexed: 1, drops: map[string]int{"unknown_index": 1}},

		{name: "as large as may be", body: good + strings.Repeat(" ", splunktest.MaxBodyBytes-len(good)), status: 200, number: -1, indexed: 1},
		{name: "too large", body: good + strings.Repeat(" ", splunktest.MaxBodyBytes), status: 413, code: noKeys, number: -1},
		{name: "gzip", body: zip(good), change: header("Content-Encoding", "gzip"), status: 200, number: -1, indexed: 1},
		{name: "gzip too large", body: zip(strings.Repeat(" ", splunktest.MaxBodyBytes+1)), change: header("Content-Encoding", "gzip"), status: 413, code: noKeys, number: -1},
		{name: "deflate", body: good, change: header("Content-Encoding", "deflate"), status: 415, code: noKeys, number: -1},

		{name: "odd channel", body: good, change: header("X-Splunk-Request-Channel", "7"), status: 400, code: 11, number: -1},
		{name: "needless channel", body: good, change: header("X-Splunk-Request-Channel", channel), status: 200, number: -1, indexed: 1},
		{name: "no channel", body: good, options: splunktest.Options{Ack: true}, status: 400, code: 10, number: -1},
		{name: "acknowledgement is disabled", path: "/ack", body: `{"acks":[0]}`, change: header("X-Splunk-Request-Channel", channel), status: 400, code: 14, number: -1},
		{name: "no question", path: "/ack?channel=" + channel, body: `{}`, options: splunktest.Options{Ack: true}, status: 400, code: 6, number: -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			receiver := splunktest.New(tt.options)
			path := tt.path
			switch path {
			case "":
				path = "/event"
			case "-":
				path = ""
			}
			got := ask(t, receiver, path, tt.body, tt.change)
			number := -1
			if got.Number != nil {
				number = *got.Number
			}
			if got.status != tt.status || got.Code != tt.code || number != tt.number || len(receiver.Events()) != tt.indexed || !maps.Equal(receiver.Report().Drops, tt.drops) {
				t.Errorf("answer %+v, number %d, %d events, drops %v", got, number, len(receiver.Events()), receiver.Report().Drops)
			}
		})
	}
}

func zip(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]float64{
		"1772366400": 1772366400, "1772366400.25": 1772366400.25, `"1772366400"`: 1772366400, "1772366400250": 1772366400.25, "1772366400250000000": 1772366400.25, "-1": -1,
	} {
		receiver := splunktest.New(splunktest.Options{})
		ask(t, receiver, "/event", `{"event":"e","time":`+text+`}`, nil)
		if got := receiver.Events(); len(got) != 1 || got[0].Time != want {
			t.Errorf("time %s: %+v", text, got)
		}
	}
}

func TestAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := splunktest.New(splunktest.Options{Ack: true, IndexingTakes: time.Minute})
		mine, other := header("X-Splunk-Request-Channel", channel), header("X-Splunk-Request-Channel", strings.Replace(channel, "0", "1", 1))
		for i := range int64(2) {
			if got := ask(t, receiver, "/event", `{"event":"e"}`, mine); got.AckID == nil || *got.AckID != i {
				t.Fatalf("answer %+v", got)
			}
		}
		check := func(name string, change func(*http.Request), want ...bool) {
			t.Helper()
			got := ask(t, receiver, "/ack", `{"acks":[0,1,2]}`, change)
			if len(got.Acks) != 3 || got.Acks["0"] != want[0] || got.Acks["1"] != want[1] || got.Acks["2"] != want[2] {
				t.Errorf("%s: %v", name, got.Acks)
			}
		}
		check("before indexing", mine, false, false, false)
		time.Sleep(time.Minute)
		check("another channel", other, false, false, false)
		check("indexed", mine, true, true, false)
		check("told already", mine, false, false, false)
	})
}

// FuzzReceiver holds that nothing a client sends ends the receiver, and that it answers 200 only to what it accounts for.
func FuzzReceiver(f *testing.F) {
	for _, seed := range []string{`{"event":"e"}`, `[{"event":1},{"event":null}]`, `{"event":"e","index":7}`, `{"event":{},"fields":{"a":[1]}}`, `[`, `]`, "{\"event\":\"\\ud800\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		receiver := splunktest.New(splunktest.Options{})
		got := ask(t, receiver, "/event", string(body), nil)
		indexed, dropped := len(receiver.Events()), 0
		for _, n := range receiver.Report().Drops {
			dropped += n
		}
		if got.Number != nil && got.Code != 7 && *got.Number != indexed+dropped {
			t.Fatalf("answer %+v with %d events indexed and %d dropped", got, indexed, dropped)
		}
	})
}
