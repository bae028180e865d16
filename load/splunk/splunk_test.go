// SPDX-License-Identifier: Apache-2.0

package splunk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/internal/memory"
	"github.com/segment-bridge/segment-bridge/load/loadtest"
	"github.com/segment-bridge/segment-bridge/load/secret"
	"github.com/segment-bridge/segment-bridge/load/splunk"
	"github.com/segment-bridge/segment-bridge/load/splunk/splunktest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	_ load.Destination = (*splunk.Destination)(nil)
	_ load.Metered     = (*splunk.Destination)(nil)
	_ load.Assurer     = (*splunk.Destination)(nil)
)

// newDestination returns a destination without a network, with the log of what it says.
func newDestination(t testing.TB, handler http.Handler, change func(*splunk.Options)) (*splunk.Destination, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	o := splunk.Options{
		URL: "https://splunk.example:8088", Token: secret.New(splunktest.Token), Transport: memory.Transport(handler),
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	if change != nil {
		change(&o)
	}
	d, err := splunk.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d, &log
}

func TestContract(t *testing.T) {
	for name, change := range map[string]func(*splunk.Options){
		"plain": nil, "gzip": func(o *splunk.Options) { o.Gzip = true }, "ack": func(o *splunk.Options) { o.Ack, o.Gzip = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			loadtest.Destination(t, func(t *testing.T) *loadtest.World {
				receiver := splunktest.New(splunktest.Options{Ack: name == "ack", IndexingTakes: 3 * time.Second})
				d, _ := newDestination(t, receiver, change)
				return &loadtest.World{
					Destination: d, Arrived: receiver.MessageIDs, Fail: receiver.Down,
					Secrets: []string{splunktest.Token, splunktest.Canary, "splunk.example"},
				}
			})
		})
	}
}

// TestWhatArrives compares each part of the events, and the bytes of the track calls.
func TestWhatArrives(t *testing.T) {
	receiver := splunktest.New(splunktest.Options{Indexes: []string{"main", "telemetry"}})
	events := loadtest.Tracks(2)
	events[1].Time = events[1].Time.Add(40 * time.Millisecond)
	events = append(events, telemetry.Track{ // of another program: numbers and texts that do not survive a detour through Go's types
		MessageID: "foreign", Time: time.Unix(1_700_000_000, 0),
		Payload: []byte(`{"type" : "track", "messageId":"foreign","properties":{"n":9007199254740993,"f":1.10,"s":"\u003c<é\ud83d\ude00"}}`),
	})
	d, _ := newDestination(t, receiver, func(o *splunk.Options) { o.Index = "telemetry" })
	if _, err := d.Deliver(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	named, _ := newDestination(t, receiver, func(o *splunk.Options) { o.Host, o.Source, o.SourceType = `"fleet"`, "library", "json" })
	if _, err := named.Deliver(t.Context(), events[:1]); err != nil {
		t.Fatal(err)
	}
	want := []splunktest.Event{
		{Time: 1772366400, Source: "segment-bridge", SourceType: "segment:track", Index: "telemetry"},
		{Time: 1772366401.04, Source: "segment-bridge", SourceType: "segment:track", Index: "telemetry"},
		{Time: 1700000000, Source: "segment-bridge", SourceType: "segment:track", Index: "telemetry"},
		{Time: 1772366400, Host: `"fleet"`, Source: "library", SourceType: "json", Index: "main"},
	}
	for i, got := range receiver.Events() {
		if !bytes.Equal(got.Event, events[i%len(events)].Payload) {
			t.Errorf("event %d arrived as %s", i, got.Event)
		}
		if i < 2 { // the host is the cluster's pseudonym, as in the track call
			var call struct {
				Context struct{ Device struct{ ID string } }
			}
			if err := json.Unmarshal(got.Event, &call); err != nil || got.Host != call.Context.Device.ID || got.Host == "" {
				t.Errorf("event %d has the host %q", i, got.Host)
			}
			got.Host = ""
		}
		if got.Fields != nil || got.Time != want[i].Time || got.Host != want[i].Host || got.Source != want[i].Source || got.SourceType != want[i].SourceType || got.Index != want[i].Index {
			t.Errorf("event %d is %+v, want %+v", i, got, want[i])
		}
	}
	if n := len(receiver.Events()); n != len(want) {
		t.Errorf("%d events arrived", n)
	}
	if r := receiver.Report(); r.Requests != 2 || len(r.Drops) > 0 {
		t.Errorf("report %+v", r)
	}
}

func TestRequestsAreSmallEnough(t *testing.T) {
	receiver := splunktest.New(splunktest.Options{})
	d, _ := newDestination(t, receiver, nil)
	wide := func(id string, n int) telemetry.Track {
		return telemetry.Track{MessageID: id, Payload: fmt.Appendf(nil, `{"messageId":%q,"a":"%s"}`, id, strings.Repeat("x", n)), Time: time.Unix(1e9, 0)}
	}
	verdicts, err := d.Deliver(t.Context(), []telemetry.Track{wide("a", 600_000), wide("b", 299_500), wide("c", 300_000), wide("d", 600_000), wide("e", 899_990), wide("f", 0)})
	want := []telemetry.VerdictStatus{telemetry.Delivered, telemetry.Delivered, telemetry.Delivered, telemetry.Delivered, telemetry.Rejected, telemetry.Delivered}
	for i, v := range verdicts {
		if v.Status != want[i] {
			t.Errorf("event %d: %+v", i, v)
		}
	}
	if r := receiver.Report(); err != nil || r.Requests != 3 || r.LargestBody > 900_000 || r.LargestBody < 899_600 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestStatuses(t *testing.T) {
	const (
		retried = "retried"
		fatal   = "fatal"
		halved  = "halved"
	)
	tests := []struct {
		status, code int
		want, says   string
	}{
		{200, 0, fatal, "check that the URL"}, // a login page
		{200, 17, fatal, "check that the URL"},
		{204, 0, fatal, "check"},
		{301, 0, fatal, "redirects"},
		{302, 0, fatal, "redirects"},
		{307, 0, fatal, "redirects"},
		{308, 0, fatal, "redirects"},
		{400, 0, fatal, "URL"}, // a proxy's word
		{400, 5, fatal, "check"},
		{400, 6, halved, ""}, // without a number
		{400, 7, fatal, "index"},
		{400, 10, fatal, "acknowledgement"},
		{400, 11, fatal, "channel"},
		{400, 12, halved, ""},
		{400, 13, halved, ""},
		{400, 14, fatal, "no indexer acknowledgement"},
		{400, 15, halved, ""},
		{400, 16, fatal, "check"},
		{400, 21, fatal, "token"},
		{400, 22, fatal, "enable"},
		{400, 28, fatal, "acknowledgement"},
		{401, 0, fatal, "token"},
		{401, 2, fatal, "token"},
		{401, 3, fatal, "token"},
		{403, 0, fatal, "token"},
		{403, 1, fatal, "enable"},
		{403, 4, fatal, "check"},
		{404, 404, fatal, "URL"},
		{405, 0, fatal, "URL"},
		{407, 0, fatal, "login"},
		{408, 0, retried, ""},
		{413, 0, halved, ""},
		{415, 0, fatal, "URL"},
		{429, 26, retried, ""},
		{429, 27, retried, ""},
		{500, 8, retried, ""},
		{501, 0, fatal, "URL"},
		{502, 0, retried, ""},
		{503, 9, retried, ""},
		{503, 18, retried, ""},
		{503, 20, retried, ""},
		{503, 23, retried, ""},
		{504, 0, retried, ""},
		{505, 0, fatal, "URL"},
		{511, 0, fatal, "login"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, "/", tt.code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver := splunktest.New(splunktest.Options{})
				receiver.Inject(splunktest.Fault{Status: tt.status, Code: tt.code, Location: "https://elsewhere.example/"})
				d, log := newDestination(t, receiver, nil)
				start := time.Now()
				verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(2))
				elapsed, requests := time.Since(start), receiver.Report().Requests
				switch tt.want {
				case retried:
					if err != nil || requests != 2 || loadtest.Count(verdicts, telemetry.Delivered) != 2 || elapsed < 250*time.Millisecond || elapsed > 500*time.Millisecond {
						t.Errorf("got %v, %v after %v and %d requests, want a retry after about half a second", verdicts, err, elapsed, requests)
					}
				case fatal:
					if err == nil || requests != 1 || loadtest.Count(verdicts, telemetry.Pending) != 2 || elapsed > 0 {
						t.Errorf("got %v, %v after %v and %d requests, want an error at once", verdicts, err, elapsed, requests)
					} else if !strings.Contains(err.Error(), "HTTP "+strconv.Itoa(tt.status)) || !strings.Contains(err.Error(), tt.says) {
						t.Errorf("the error gives no status or no hint: %v", err)
					}
				case halved:
					if err != nil || requests != 3 || loadtest.Count(verdicts, telemetry.Delivered) != 2 || elapsed > 0 {
						t.Errorf("got %v, %v after %v and %d requests, want the two events alone at once", verdicts, err, elapsed, requests)
					}
				}
				if said := fmt.Sprint(err, log); strings.Contains(said, splunktest.Canary) || strings.Contains(said, splunktest.Token) || strings.Contains(said, ".example") {
					t.Errorf("error or log repeats the server, the token or the address: %s", said)
				}
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := splunktest.New(splunktest.Options{})
		receiver.Inject(splunktest.Fault{Status: 429, Code: 26, RetryAfter: "17"})
		d, log := newDestination(t, receiver, nil)
		start := time.Now()
		if _, err := d.Deliver(t.Context(), loadtest.Tracks(1)); err != nil || time.Since(start) != 17*time.Second || !strings.Contains(log.String(), "seconds=17") {
			t.Errorf("%v after %v; log %s", err, time.Since(start), log)
		}
	})
}

// TestFillingQueues has the server take events and say that it will not for long.
func TestFillingQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := splunktest.New(splunktest.Options{})
		receiver.Inject(slices.Repeat([]splunktest.Fault{{Accept: true, Status: 200, Code: 24}}, 2)...)
		d, log := newDestination(t, receiver, nil)
		start := time.Now()
		for range 3 {
			if verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(1)); err != nil || verdicts[0].Status != telemetry.Delivered {
				t.Fatalf("%v, %v", verdicts, err)
			}
		}
		if n := len(receiver.Events()); n != 3 || time.Since(start) != 10*time.Second || strings.Count(log.String(), "WARN") != 1 {
			t.Errorf("%d events in %v; log %s", n, time.Since(start), log)
		}
	})
}

// TestPartialIndexing refuses some of the events of one request.
func TestPartialIndexing(t *testing.T) {
	tests := []struct {
		name     string
		bad      []int
		events   int
		requests int
		ack      bool
		twice    int // events that arrive more than once, where there is an acknowledgement to be had
		wantErr  string
	}{
		{name: "none", events: 5, requests: 1},
		{name: "the first", bad: []int{0}, events: 5, requests: 2},
		{name: "the last", bad: []int{4}, events: 5, requests: 1},
		{name: "in the middle", bad: []int{2}, events: 5, requests: 2},
		{name: "neighbours", bad: []int{1, 2}, events: 5, requests: 3},
		{name: "all but one", bad: []int{0, 1, 3, 4}, events: 5, requests: 4},
		{name: "all", bad: []int{0, 1, 2, 3, 4}, events: 5, requests: 5, wantErr: "every event was refused"},
		{name: "the only one", bad: []int{0}, events: 1, requests: 1},
		{name: "with acknowledgement", bad: []int{2}, events: 5, ack: true, requests: 2 + 2, twice: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver := splunktest.New(splunktest.Options{Ack: tt.ack})
				events := loadtest.Tracks(tt.events)
				receiver.Refuse(func(e splunktest.Event) bool {
					return slices.ContainsFunc(tt.bad, func(i int) bool { return events[i].MessageID == e.MessageID })
				})
				d, _ := newDestination(t, receiver, func(o *splunk.Options) { o.Ack = tt.ack })
				verdicts, err := d.Deliver(t.Context(), events)
				if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v", err)
				}
				var want []string
				for i, v := range verdicts {
					status := telemetry.Delivered
					switch {
					case tt.wantErr != "":
						status = telemetry.Pending
					case slices.Contains(tt.bad, i):
						status = telemetry.Rejected
					default:
						want = append(want, events[i].MessageID)
					}
					if v.Status != status || status == telemetry.Rejected && v.Reason != "HTTP 400, HEC code 6" {
						t.Errorf("event %d: %+v", i, v)
					}
				}
				arrived := receiver.MessageIDs()
				distinct := slices.Compact(slices.Sorted(slices.Values(arrived)))
				if !slices.Equal(distinct, want) || len(arrived) != len(want)+tt.twice {
					t.Errorf("%q arrived, want %q", arrived, want)
				}
				if r := receiver.Report(); r.Requests != tt.requests {
					t.Errorf("%d requests, want %d", r.Requests, tt.requests)
				}
			})
		})
	}
}

// TestIndexIsNotAllowed has all events wait: the fault is in the settings and not in them.
func TestIndexIsNotAllowed(t *testing.T) {
	receiver := splunktest.New(splunktest.Options{Indexes: []string{"main", "other"}, Allowed: []string{"main"}})
	d, _ := newDestination(t, receiver, func(o *splunk.Options) { o.Index = "other" })
	verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(3))
	if err == nil || !strings.Contains(err.Error(), "index") || loadtest.Count(verdicts, telemetry.Pending) != 3 || len(receiver.Events()) > 0 {
		t.Errorf("%v, %v", verdicts, err)
	}
}

func TestLostAnswers(t *testing.T) {
	tests := map[string]splunktest.Fault{
		"reset": {Reset: true, Accept: true}, "broken off": {Truncate: true}, "late": {Accept: true, Delay: 31 * time.Second},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver := splunktest.New(splunktest.Options{})
				receiver.Inject(fault)
				d, _ := newDestination(t, receiver, nil)
				verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(2))
				if n := len(receiver.Events()); err != nil || loadtest.Count(verdicts, telemetry.Delivered) != 2 || n != 4 {
					t.Errorf("%v, %v; %d events", verdicts, err, n)
				}
			})
		})
	}
}

func TestDryRun(t *testing.T) {
	var out bytes.Buffer
	d, err := splunk.New(splunk.Options{DryRun: &out, Gzip: true, Ack: true})
	if err != nil {
		t.Fatal(err)
	}
	events := loadtest.Tracks(3)
	verdicts, err := d.Deliver(t.Context(), events)
	if err != nil || loadtest.Count(verdicts, telemetry.Delivered) != 3 {
		t.Fatalf("%v, %v", verdicts, err)
	}
	printed := slices.Collect(bytes.Lines(out.Bytes()))
	for i, line := range printed {
		var object struct{ Event json.RawMessage }
		if err := json.Unmarshal(line, &object); err != nil || !bytes.Equal(object.Event, events[i].Payload) {
			t.Errorf("printed %s: %v", line, err)
		}
	}
	if len(printed) != 3 {
		t.Errorf("%d events printed", len(printed))
	}
	full := errors.New("the disk is full")
	d, err = splunk.New(splunk.Options{DryRun: failingWriter{full}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Deliver(t.Context(), events); !errors.Is(err, full) {
		t.Errorf("a failing writer gave %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
