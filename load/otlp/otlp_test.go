// SPDX-License-Identifier: Apache-2.0

package otlp_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/load/internal/memory"
	"github.com/segment-bridge/segment-bridge/load/loadtest"
	"github.com/segment-bridge/segment-bridge/load/otlp"
	"github.com/segment-bridge/segment-bridge/load/otlp/otlptest"
	"github.com/segment-bridge/segment-bridge/load/secret"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// newDestination returns a destination whose collector is the handler, and its log.
func newDestination(t testing.TB, handler http.Handler, change func(*otlp.Options)) (*otlp.Destination, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	o := otlp.Options{
		URL: "https://otlp.example:4318/v1/logs", Headers: map[string]secret.Secret{"authorization": secret.New(otlptest.Token)},
		Version: "v2", Transport: memory.Transport(handler), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	if change != nil {
		change(&o)
	}
	d, err := otlp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d, &log
}

func TestContract(t *testing.T) {
	for name, change := range map[string]func(*otlp.Options){"plain": nil, "gzip": func(o *otlp.Options) { o.Gzip = true }} {
		t.Run(name, func(t *testing.T) {
			loadtest.Destination(t, func(t *testing.T) *loadtest.World {
				receiver := otlptest.New()
				d, _ := newDestination(t, receiver, change)
				return &loadtest.World{
					Destination: d, Arrived: receiver.MessageIDs, Fail: receiver.Down,
					Secrets: []string{otlptest.Token, otlptest.Canary, "otlp.example"},
				}
			})
		})
	}
}

// TestRecord shows what an event becomes.
func TestRecord(t *testing.T) {
	receiver := otlptest.New()
	d, _ := newDestination(t, receiver, func(o *otlp.Options) { o.Service = "acme-gateway" })
	at := time.Date(2026, 3, 1, 12, 0, 7, 0, time.UTC)
	events := []telemetry.Track{{
		MessageID: "id-1", Event: "Cluster Inventory", Time: at, Payload: []byte(`{"type":"track","messageId":"id-1","anonymousId":"anonymous","event":"Cluster Inventory",` +
			`"timestamp":"2026-03-01T12:00:07Z","context":{"library":{"name":"acme-gateway","version":"v1"},"device":{"id":"0123456789ab"}},"properties":{` +
			`"signal":"start","podCount":50,"ready":true,"largest":9007199254740993,"share":0.5,"pipelineType":null,"flags":["a","b"],"nodes":{"arm64":1,"amd64":2},"huge":1e999}}`),
	}}
	if verdicts, err := d.Deliver(t.Context(), events); err != nil || verdicts[0].Status != telemetry.Delivered {
		t.Fatalf("%v, %v", verdicts, err)
	}
	want := otlptest.Record{
		EventName: "Cluster Inventory", Body: "Cluster Inventory", Time: at, Severity: 9, Scope: "acme-gateway v1",
		Resource: map[string]string{"service.name": `{"stringValue":"acme-gateway"}`, "service.version": `{"stringValue":"v2"}`},
		Attributes: map[string]string{
			"messageId": `{"stringValue":"id-1"}`, "signal": `{"stringValue":"start"}`, "podCount": `{"intValue":"50"}`, "ready": `{"boolValue":true}`,
			"largest": `{"intValue":"9007199254740993"}`, "share": `{"doubleValue":0.5}`, "huge": `{"stringValue":"1e999"}`,
			"flags": `{"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"}]}}`,
			"nodes": `{"kvlistValue":{"values":[{"key":"amd64","value":{"intValue":"2"}},{"key":"arm64","value":{"intValue":"1"}}]}}`,
		},
	}
	if got := receiver.Records(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestFlaws(t *testing.T) {
	at := time.Now()
	payload := func(properties string) []byte {
		return []byte(`{"messageId":"a","event":"e","properties":` + properties + `}`)
	}
	for reason, event := range map[string]telemetry.Track{
		"not a track call":          {MessageID: "a", Time: at, Payload: append(payload(`{}`), '}')},
		"not the staged one":        {MessageID: "b", Time: at, Payload: payload(`{}`)},
		"before 1970":               {MessageID: "a", Time: time.Unix(-1, 0), Payload: payload(`{}`)},
		"after 2262":                {MessageID: "a", Time: at.AddDate(900, 0, 0), Payload: payload(`{}`)},
		"messageId would stand tw":  {MessageID: "a", Time: at, Payload: payload(`{"messageId":1}`)},
		"not a track call ":         {MessageID: "a", Time: at, Payload: payload("{\"x\":\"\xff\"}")},
		"not a track call" + "\x00": {},
	} {
		reason = strings.Trim(reason, " \x00")
		d, _ := newDestination(t, otlptest.New(), nil)
		verdicts, err := d.Deliver(t.Context(), []telemetry.Track{event})
		if err != nil || verdicts[0].Status != telemetry.Rejected || !strings.Contains(verdicts[0].Reason, reason) {
			t.Errorf("%s: %v, %v", reason, verdicts, err)
		}
	}
}

// TestAnswers has what a collector may say to a request, and what becomes of the events.
func TestAnswers(t *testing.T) {
	const proto, jsonForm = "application/x-protobuf", "application/json"
	partial := func(refused byte) string { return string([]byte{0x0a, 2, 0x08, refused}) }
	busy := func(status int) []otlptest.Fault { return []otlptest.Fault{{Status: status}} }
	tests := []struct {
		name                         string
		faults                       []otlptest.Fault
		reply                        otlptest.Reply
		requests                     int
		delivered, rejected, arrived int // of three events
		least, most                  time.Duration
		wantErr, wantLog             string
	}{
		{name: "taken", requests: 1, delivered: 3, arrived: 3},
		{name: "too many requests", faults: busy(429), requests: 2, delivered: 3, arrived: 3, least: 250 * time.Millisecond, most: time.Second},
		{name: "bad gateway", faults: busy(502), requests: 2, delivered: 3, arrived: 3, least: 250 * time.Millisecond, most: time.Second},
		{name: "unavailable", faults: busy(503), requests: 2, delivered: 3, arrived: 3, least: 250 * time.Millisecond, most: time.Second},
		{name: "gateway timeout", faults: busy(504), requests: 2, delivered: 3, arrived: 3, least: 250 * time.Millisecond, most: time.Second},
		{name: "asks to wait", faults: []otlptest.Fault{{Status: 503, RetryAfter: "17"}}, requests: 2, delivered: 3, arrived: 3, least: 17 * time.Second, most: 17 * time.Second, wantLog: "seconds=17"},
		{name: "reset before", faults: []otlptest.Fault{{Reset: true}}, requests: 2, delivered: 3, arrived: 3, most: time.Second},
		{name: "answer lost", faults: []otlptest.Fault{{Reset: true, Accept: true}}, requests: 2, delivered: 3, arrived: 6, most: time.Second},
		{name: "answer broken off", faults: []otlptest.Fault{{Truncate: true}}, requests: 2, delivered: 3, arrived: 6, most: time.Second},
		{name: "slow", faults: []otlptest.Fault{{Delay: time.Minute}}, requests: 2, delivered: 3, arrived: 6, least: 10 * time.Second, most: 11 * time.Second},
		{name: "internal error", faults: busy(500), requests: 1, wantErr: "HTTP 500: something behind the collector fails"},
		{name: "no rights", faults: busy(401), requests: 1, wantErr: "check the headers"},
		{name: "not there", faults: busy(404), requests: 1, wantErr: "/v1/logs"},
		{name: "redirect", faults: []otlptest.Fault{{Status: 307, Location: "/v1/logs"}}, requests: 1, wantErr: "redirects"},
		{name: "another protocol", faults: busy(415), requests: 1, wantErr: "check the URL"},
		{name: "all refused", faults: slices.Repeat(busy(400), 9), requests: 5, wantErr: "every event was refused"},
		{name: "empty answer", reply: otlptest.Reply{Status: 204}, requests: 1, delivered: 3, arrived: 3},
		{name: "empty JSON", reply: otlptest.Reply{ContentType: jsonForm, Body: "{}"}, requests: 1, delivered: 3, arrived: 3},
		{name: "partial in JSON", reply: otlptest.Reply{ContentType: jsonForm, Body: `{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"` + otlptest.Canary + `"}}`}, requests: 1, rejected: 3, arrived: 3, wantLog: "has a remark"},
		{name: "partial in JSON, a number", reply: otlptest.Reply{ContentType: jsonForm + "; charset=utf-8", Body: `{"partialSuccess":{"rejectedLogRecords":1}}`}, requests: 1, rejected: 3, arrived: 3},
		{name: "a part refused", reply: otlptest.Reply{ContentType: proto, Body: partial(1)}, requests: 1, rejected: 3, arrived: 3},
		{name: "the whole refused as a part", reply: otlptest.Reply{ContentType: proto, Body: partial(3)}, requests: 1, arrived: 3, wantErr: "every event was refused"},
		{name: "more refused than sent", reply: otlptest.Reply{ContentType: proto, Body: partial(9)}, requests: 1, arrived: 3, wantErr: "every event was refused"},
		{name: "a remark alone", reply: otlptest.Reply{ContentType: proto, Body: string([]byte{0x0a, 3, 0x12, 1, 'x'})}, requests: 1, delivered: 3, arrived: 3, wantLog: "has a remark"},
		{name: "unknown fields", reply: otlptest.Reply{ContentType: proto, Body: string([]byte{0x0a, 2, 0x18, 1, 0x10, 1})}, requests: 1, delivered: 3, arrived: 3},
		{name: "login page", reply: otlptest.Reply{ContentType: "text/html", Body: otlptest.Canary}, requests: 1, arrived: 3, wantErr: "login page"},
		{name: "garbage", reply: otlptest.Reply{ContentType: proto, Body: otlptest.Canary}, requests: 1, arrived: 3, wantErr: "not OTLP's"},
		{name: "garbage in JSON", reply: otlptest.Reply{ContentType: jsonForm, Body: "[]"}, requests: 1, arrived: 3, wantErr: "not OTLP's"},
		{name: "half a number in JSON", reply: otlptest.Reply{ContentType: jsonForm, Body: `{"partialSuccess":{"rejectedLogRecords":0.5}}`}, requests: 1, arrived: 3, wantErr: "not OTLP's"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver := otlptest.New()
				receiver.Inject(tt.faults...)
				if tt.reply != (otlptest.Reply{}) {
					receiver.Reply(tt.reply)
				}
				d, log := newDestination(t, receiver, nil)
				start := time.Now()
				verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(3))
				elapsed := time.Since(start)
				if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("error %v, want %q", err, tt.wantErr)
				}
				if n := loadtest.Count(verdicts, telemetry.Delivered); n != tt.delivered || loadtest.Count(verdicts, telemetry.Rejected) != tt.rejected {
					t.Errorf("verdicts %v", verdicts)
				}
				if receiver.Requests() != tt.requests || len(receiver.Records()) != tt.arrived || elapsed < tt.least || elapsed > tt.most {
					t.Errorf("%d requests and %d records in %v", receiver.Requests(), len(receiver.Records()), elapsed)
				}
				if !strings.Contains(log.String(), tt.wantLog) || tt.wantLog == "" && log.Len() > 0 {
					t.Errorf("log %q", log.String())
				}
				for _, text := range []string{log.String(), errorText(err), verdicts[0].Reason} {
					if strings.Contains(text, otlptest.Canary) || strings.Contains(text, "otlp.example") {
						t.Errorf("it says %q", text)
					}
				}
			})
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func record(ids ...string) func(otlptest.Record) bool {
	return func(r otlptest.Record) bool {
		return slices.ContainsFunc(ids, func(id string) bool { return r.Attributes["messageId"] == `{"stringValue":"`+id+`"}` })
	}
}

// TestBadEventsAreFound among those of a request that is refused as a whole.
func TestBadEventsAreFound(t *testing.T) {
	for _, bad := range [][]string{{"event-00000"}, {"event-00613"}, {"event-00000", "event-00001", "event-00007"}} {
		receiver := otlptest.New()
		receiver.Refuse(record(bad...))
		d, _ := newDestination(t, receiver, nil)
		verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(700))
		if err != nil || loadtest.Count(verdicts, telemetry.Rejected) != len(bad) || loadtest.Count(verdicts, telemetry.Delivered) != 700-len(bad) || len(receiver.Records()) != 700-len(bad) {
			t.Errorf("%q: %v; %d records", bad, err, len(receiver.Records()))
		}
		if v := verdicts[slices.Index(receiverIDs(700), bad[0])]; v.Reason != "HTTP 400" {
			t.Errorf("verdict %+v", v)
		}
	}
}

func receiverIDs(n int) (ids []string) {
	for _, track := range loadtest.Tracks(n) {
		ids = append(ids, track.MessageID)
	}
	return ids
}

// TestCollectorThatRefusesEverything is not asked about every event.
func TestCollectorThatRefusesEverything(t *testing.T) {
	receiver := otlptest.New()
	receiver.Refuse(func(otlptest.Record) bool { return true })
	d, _ := newDestination(t, receiver, nil)
	verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(3000))
	if err == nil || !strings.Contains(err.Error(), "HTTP 400: every event was refused") || loadtest.Count(verdicts, telemetry.Pending) != 3000 || receiver.Requests() > 30 {
		t.Errorf("%v after %d requests; %d pending", err, receiver.Requests(), loadtest.Count(verdicts, telemetry.Pending))
	}
	verdicts, err = d.Deliver(t.Context(), loadtest.Tracks(1))
	if err != nil || verdicts[0].Status != telemetry.Rejected {
		t.Errorf("an event alone: %v, %v", verdicts, err)
	}
}

// TestPartialSuccess is final: OTLP forbids to send such a request again.
func TestPartialSuccess(t *testing.T) {
	receiver := otlptest.New()
	receiver.RefusePart(record("event-00003", "event-00600"))
	d, _ := newDestination(t, receiver, nil)
	verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(1030)) // three requests
	if err != nil || receiver.Requests() != 3 || len(receiver.Records()) != 1028 || loadtest.Count(verdicts, telemetry.Rejected) != 1024 || loadtest.Count(verdicts, telemetry.Delivered) != 6 {
		t.Errorf("%v; %d requests, %d records, %d delivered", err, receiver.Requests(), len(receiver.Records()), loadtest.Count(verdicts, telemetry.Delivered))
	}
	if want := "the collector refused 1 of 512 log records and does not say which"; verdicts[0].Reason != want || verdicts[600].Reason != want {
		t.Errorf("reason %q", verdicts[0].Reason)
	}
	verdicts, err = d.Deliver(t.Context(), loadtest.Tracks(4)[3:])
	if want := (telemetry.Verdict{Status: telemetry.Rejected, Reason: "the collector refused the log record"}); err != nil || verdicts[0] != want {
		t.Errorf("an event alone: %v, %v", verdicts, err)
	}
}

// TestLargeRequests become smaller ones.
func TestLargeRequests(t *testing.T) {
	receiver := otlptest.New()
	d, _ := newDestination(t, receiver, nil)
	events := loadtest.Tracks(200)
	for i := range events {
		events[i].Payload = bytes.Replace(events[i].Payload, []byte(`"taskCount"`), []byte(`"padding":"`+strings.Repeat("x", 10_000)+`","taskCount"`), 1)
	}
	verdicts, err := d.Deliver(t.Context(), events)
	if err != nil || loadtest.Count(verdicts, telemetry.Delivered) != 200 || receiver.Requests() < 4 || !slices.Equal(receiver.MessageIDs(), receiverIDs(200)) {
		t.Errorf("%v; %d requests", err, receiver.Requests())
	}
}

// TestOutageInBetween keeps what was taken before it, and sends that no second time.
func TestOutageInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := otlptest.New()
		receiver.Inject(otlptest.Fault{}, otlptest.Fault{Status: 401})
		d, _ := newDestination(t, receiver, nil)
		verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(1500))
		if err == nil || loadtest.Count(verdicts, telemetry.Delivered) != 512 || loadtest.Count(verdicts, telemetry.Pending) != 1500-512 {
			t.Errorf("%v; %d delivered", err, loadtest.Count(verdicts, telemetry.Delivered))
		}
	})
}

// TestRetriesEnd with the patience.
func TestRetriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := otlptest.New()
		receiver.Down(true)
		d, _ := newDestination(t, receiver, func(o *otlp.Options) { o.Patience = 5 * time.Second })
		start := time.Now()
		_, err := d.Deliver(t.Context(), loadtest.Tracks(3))
		if err == nil || !strings.Contains(err.Error(), "HTTP 503") || time.Since(start) > 5*time.Second || errors.Is(err, context.Canceled) {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
