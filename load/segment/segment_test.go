// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/segment"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

var _ load.Destination = (*segment.Destination)(nil)

// newDestination returns a destination without a network, with the log of what it says.
func newDestination(t testing.TB, transport http.RoundTripper, change func(*segment.Options)) (*segment.Destination, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	o := segment.Options{
		Key: load.NewSecret(segmenttest.Key), Transport: transport, Version: "test",
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	if change != nil {
		change(&o)
	}
	d, err := segment.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d, &log
}

// track returns a track call with the given properties, as JSON.
func track(id, properties string) telemetry.Track {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return telemetry.Track{
		MessageID: id, Event: "PipelineRun Started", Time: at,
		Payload: fmt.Appendf(nil, `{"type":"track","messageId":%q,"anonymousId":"anonymous","event":"PipelineRun Started",`+
			`"timestamp":"2026-03-01T12:00:00Z","context":{"library":{"name":"segment-bridge","version":"v1"},"device":{"id":"0123456789ab"}},`+
			`"properties":%s}`, id, properties),
	}
}

func tracks(n int) []telemetry.Track {
	events := make([]telemetry.Track, n)
	for i := range events {
		events[i] = track(fmt.Sprintf("event-%04d", i), `{"clusterIdHash":"0123456789ab","pipelineType":null,"taskCount":`+strconv.Itoa(i)+`}`)
	}
	return events
}

func count(verdicts []telemetry.Verdict, status telemetry.VerdictStatus) (n int) {
	for _, v := range verdicts {
		if v.Status == status {
			n++
		}
	}
	return n
}

// TestWhatArrivesIsWhatWasStaged sends payloads that do not survive a detour through Go's types.
func TestWhatArrivesIsWhatWasStaged(t *testing.T) {
	properties := []string{
		`{}`,
		`{"pipelineType":null,"konfluxVersion":null}`,
		`{"n":9007199254740993,"m":-9223372036854775808,"u":18446744073709551615,"big":123456789012345678901234567890}`,
		`{"f":1.10,"e":1e3,"tiny":1e-400}`,
		`{"s":"\u003cscript\u003e & \u00e9 \ud83d\ude00 é","quote":"\"\\"}`,
		`{"nested":{"a":[1,null,{"b":false}]}}`,
		`{"durationSeconds":0,"hasPipelineLabel":false,"status":""}`,
	}
	for _, zip := range []bool{false, true} {
		t.Run(fmt.Sprintf("gzip=%v", zip), func(t *testing.T) {
			receiver := segmenttest.New(segmenttest.Options{})
			d, _ := newDestination(t, receiver, func(o *segment.Options) { o.Gzip = zip })
			var events []telemetry.Track
			for i, p := range properties {
				events = append(events, track(strconv.Itoa(i)+"-started", p))
			}
			events = append(events, planned()...)
			// Not written by this program: another order, an offset and a fraction in the time, more fields.
			events = append(events, telemetry.Track{
				MessageID: "foreign", Event: "E",
				Payload: []byte(` {"properties" : {"a":1}, "event":"E","timestamp":"2026-03-01T12:00:00.120+02:00","context":{"ip":"0.0.0.0","library":{"name":"other"}},` +
					`"integrations":{"All":false},"userId":"u","type":"track","messageId":"foreign","version":2} `),
			})
			verdicts, err := d.Deliver(t.Context(), events)
			if err != nil {
				t.Fatal(err)
			}
			if n := count(verdicts, telemetry.Delivered); n != len(events) {
				t.Fatalf("%d of %d events delivered: %v", n, len(events), verdicts)
			}
			got := receiver.Events()
			for i, e := range events {
				if want := bytes.TrimSpace(e.Payload); !bytes.Equal(got[i].Raw, want) {
					t.Errorf("arrived as\n%s\nstaged as\n%s", got[i].Raw, want)
				}
				if !equalJSON(t, got[i].JSON, e.Payload) {
					t.Errorf("after merging the batch's context the call is\n%s\nstaged as\n%s", got[i].JSON, e.Payload)
				}
			}
			if r := receiver.Report(); r.Requests != 1 || len(r.Violations)+len(r.Drops)+len(r.Refusals) > 0 {
				t.Errorf("the receiver complains: %+v", r)
			}
		})
	}
}

// planned returns, for each event of the tracking plan, one with the largest values there are and one with nulls.
func planned() (events []telemetry.Track) {
	for _, event := range catalogue.Plan().Events {
		for _, empty := range []bool{false, true} {
			properties := map[string]any{}
			for _, p := range event.Properties {
				switch {
				case empty && p.Nullable:
					properties[p.Name] = nil
				case empty && p.Optional:
				case p.Type == telemetry.TypeInteger:
					properties[p.Name] = int64(math.MaxInt64)
				case p.Type == telemetry.TypeBoolean:
					properties[p.Name] = false
				case p.Type == telemetry.TypeEnum:
					properties[p.Name] = p.Words[len(p.Words)-1]
				default:
					properties[p.Name] = string(p.Type)
				}
			}
			text, err := json.Marshal(properties)
			if err != nil {
				panic(err)
			}
			e := track(strconv.Itoa(len(events))+"-planned", string(text))
			e.Payload = bytes.Replace(e.Payload, []byte(e.Event), []byte(event.Name), 1)
			e.Event = event.Name
			events = append(events, e)
		}
	}
	return events
}

// equalJSON compares as JSON, numbers digit by digit.
func equalJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var values [2]any
	for i, text := range [][]byte{a, b} {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&values[i]); err != nil {
			t.Fatal(err)
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

func TestAttemptsAreMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := segmenttest.New(segmenttest.Options{})
		receiver.Inject(segmenttest.Fault{Status: 500}, segmenttest.Fault{Reset: true}, segmenttest.Fault{Delay: time.Minute, Accept: true})
		var seen []*http.Request
		var bodies []string
		d, _ := newDestination(t, roundTripper(func(req *http.Request) (*http.Response, error) {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			var b bytes.Buffer
			if _, err := b.ReadFrom(body); err != nil {
				return nil, err
			}
			seen, bodies = append(seen, req), append(bodies, b.String())
			return receiver.RoundTrip(req)
		}), nil)
		if _, err := d.Deliver(t.Context(), tracks(2)); err != nil {
			t.Fatal(err)
		}
		for i, req := range seen {
			want := ""
			if i > 0 {
				want = strconv.Itoa(i)
			}
			if got := req.Header.Get("X-Retry-Count"); got != want {
				t.Errorf("attempt %d has X-Retry-Count %q", i, got)
			}
			if got := req.Header.Get("User-Agent"); got != "segment-bridge/test" {
				t.Errorf("User-Agent is %q", got)
			}
			if got := req.URL.String(); got != "https://api.segment.io/v1/batch" {
				t.Errorf("the request went to %s", got)
			}
			var body struct {
				SentAt time.Time
				Batch  []json.RawMessage
			}
			if err := json.Unmarshal([]byte(bodies[i]), &body); err != nil || len(body.Batch) != 2 {
				t.Errorf("body %q: %v", bodies[i], err)
			}
			if i > 0 && bodies[i][:40] == bodies[i-1][:40] {
				t.Error("sentAt is that of an earlier attempt")
			}
		}
		if len(seen) != 4 {
			t.Errorf("%d attempts", len(seen))
		}
		if r := receiver.Report(); r.Accepted != 2 || r.Duplicates != 2 || len(r.Violations) > 0 {
			t.Errorf("report %+v", r)
		}
		requests, bytes := d.Traffic()
		if requests != 4 || bytes != int64(4*len(bodies[0])) {
			t.Errorf("traffic of %d requests, %d bytes", requests, bytes)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestBisect(t *testing.T) {
	events := tracks(100)
	bad := []string{"event-0000", "event-0041", "event-0042", "event-0099"}
	receiver := segmenttest.New(segmenttest.Options{})
	receiver.Refuse(func(e segmenttest.Event) bool { return slices.Contains(bad, e.MessageID) })
	d, _ := newDestination(t, receiver, nil)
	verdicts, err := d.Deliver(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		want := telemetry.Verdict{Status: telemetry.Delivered}
		if slices.Contains(bad, events[i].MessageID) {
			want = telemetry.Verdict{Status: telemetry.Rejected, Reason: "HTTP 400"}
		}
		if v != want {
			t.Errorf("%s: %+v", events[i].MessageID, v)
		}
	}
	if r := receiver.Report(); r.Accepted != 96 || r.Duplicates != 0 || r.Requests > 60 {
		t.Errorf("report %+v", r)
	}
}

func TestNothingIsRejectedWhenAllIsRefused(t *testing.T) {
	receiver := segmenttest.New(segmenttest.Options{})
	d, _ := newDestination(t, receiver, func(o *segment.Options) { o.Key = load.NewSecret("short") })
	verdicts, err := d.Deliver(t.Context(), tracks(5))
	if err == nil || !strings.Contains(err.Error(), "write key") || count(verdicts, telemetry.Pending) != 5 {
		t.Errorf("got %v, %v", verdicts, err)
	}
	receiver = segmenttest.New(segmenttest.Options{})
	receiver.Refuse(func(segmenttest.Event) bool { return true })
	d, _ = newDestination(t, receiver, nil)
	if verdicts, err := d.Deliver(t.Context(), tracks(1)); err != nil || verdicts[0].Reason != "HTTP 400" {
		t.Errorf("one refused event alone: %v, %v", verdicts, err)
	}
}

func TestFlawedEventsStayHere(t *testing.T) {
	flawed := map[string]telemetry.Track{
		"larger than 32000 bytes":                    track("big", `{"a":"`+strings.Repeat("x", 32_000)+`"}`),
		"not a track call on one line":               {MessageID: "type", Payload: []byte(`{"type":"page","messageId":"type","userId":"u","event":"E"}`)},
		"neither userId nor anonymousId":             {MessageID: "id", Payload: []byte(`{"type":"track","messageId":"id","event":"E"}`)},
		"event without a name":                       {MessageID: "name", Payload: []byte(`{"type":"track","messageId":"name","userId":"u"}`)},
		"properties are not an object":               {MessageID: "p", Payload: []byte(`{"type":"track","messageId":"p","userId":"u","event":"E","properties":[]}`)},
		"message ID missing or longer than 99 bytes": track(strings.Repeat("x", 100), `{}`),
		"message ID is not the staged one":           {MessageID: "other", Payload: []byte(`{"type":"track","messageId":"id","userId":"u","event":"E"}`)},
	}
	events, reasons := []telemetry.Track{track("good", `{}`)}, []string{""}
	for reason, e := range flawed {
		events, reasons = append(events, e), append(reasons, reason)
	}
	for _, payload := range []string{
		"", "{", "null", "[]", `"x"`, "{\"type\":\"track\",\n\"messageId\":\"x\",\"userId\":\"u\",\"event\":\"E\"}",
		"{\"type\":\"track\",\"messageId\":\"x\",\"userId\":\"\xff\",\"event\":\"E\"}",
	} {
		events, reasons = append(events, telemetry.Track{MessageID: "x", Payload: []byte(payload)}), append(reasons, "not a track call on one line")
	}
	receiver := segmenttest.New(segmenttest.Options{})
	d, _ := newDestination(t, receiver, nil)
	verdicts, err := d.Deliver(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		if v.Reason != reasons[i] || (v.Status == telemetry.Delivered) != (i == 0) {
			t.Errorf("%.80s: got %+v, want %q", events[i].Payload, v, reasons[i])
		}
	}
	if r := receiver.Report(); r.Requests != 1 || r.Accepted != 1 {
		t.Errorf("report %+v", r)
	}
}

func TestRequestsStayWithinTheLimits(t *testing.T) {
	tests := []struct {
		name     string
		events   []telemetry.Track
		requests int
	}{
		{"none", nil, 0},
		{"2,500 small events", small(2_500), 1},
		{"2,501 small events", small(2_501), 2},
		{"32 large events", large(32), 3},
		{"475,000 bytes", bytesOf(475_000), 1},
		{"475,001 bytes", bytesOf(475_001), 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			receiver := segmenttest.New(segmenttest.Options{})
			longest := int64(0)
			d, _ := newDestination(t, roundTripper(func(req *http.Request) (*http.Response, error) {
				longest = max(longest, req.ContentLength)
				return receiver.RoundTrip(req)
			}), nil)
			verdicts, err := d.Deliver(t.Context(), tt.events)
			if err != nil || count(verdicts, telemetry.Delivered) != len(tt.events) {
				t.Fatalf("%d delivered, %v", count(verdicts, telemetry.Delivered), err)
			}
			if r := receiver.Report(); r.Requests != tt.requests || r.Accepted != len(tt.events) || longest > 475_000 {
				t.Errorf("report %+v, longest body %d bytes", r, longest)
			}
		})
	}
}

// bytesOf returns events whose body in one request has n bytes.
func bytesOf(n int) []telemetry.Track {
	events := large(15)
	rest := n - len(`{"sentAt":"2026-03-01T12:00:00.000Z","batch":[]}`) - 14 - 14*32_000
	e := track("large-014", `{"a":""}`)
	events[14] = track("large-014", `{"a":"`+strings.Repeat("x", rest-len(e.Payload))+`"}`)
	return events
}

func small(n int) []telemetry.Track {
	events := make([]telemetry.Track, n)
	for i := range events {
		id := "m" + strconv.Itoa(i)
		events[i] = telemetry.Track{MessageID: id, Payload: []byte(`{"type":"track","messageId":"` + id + `","userId":"u","event":"E"}`)}
	}
	return events
}

// large returns events of exactly 32,000 bytes.
func large(n int) []telemetry.Track {
	events := make([]telemetry.Track, n)
	for i := range events {
		id := fmt.Sprintf("large-%03d", i)
		e := track(id, `{"a":""}`)
		events[i] = track(id, `{"a":"`+strings.Repeat("x", 32_000-len(e.Payload))+`"}`)
	}
	return events
}

// BenchmarkDeliver delivers what fills two requests or so, to a server that takes it without reading it.
func BenchmarkDeliver(b *testing.B) {
	events := tracks(2000)
	d, _ := newDestination(b, roundTripper(func(req *http.Request) (*http.Response, error) {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: req}, req.Body.Close()
	}), nil)
	defer d.Close()
	b.ReportAllocs()
	for b.Loop() {
		verdicts, err := d.Deliver(b.Context(), events)
		if err != nil || count(verdicts, telemetry.Delivered) != len(events) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "events/s")
}
