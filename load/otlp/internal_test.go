// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/segment-bridge/segment-bridge/load/loadtest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// FuzzAnswer reads answers as OpenTelemetry's own code does.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"", "\x0a\x02\x08\x07", "\x0a\x03\x12\x01x", "\x0a\x00", "\x0a\x02\x08\x07\x0a\x02\x08\x00", "\x12\x01x", "\x0a\x80", "\x08\x01", "\x0a\x02\x12\x80", "\x0b\x0c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := readAnswer(200, mediaType, body)
		var want collectorpb.ExportLogsServiceResponse
		if err := proto.Unmarshal(body, &want); err != nil {
			return // text that is not UTF-8, or a field of another type, is of no interest
		}
		if got.foreign {
			return // stricter: fields that are known have the type that they are known to have
		}
		partial := want.GetPartialSuccess()
		if got.refused != max(partial.GetRejectedLogRecords(), 0) || got.advice != (partial.GetErrorMessage() != "") {
			t.Fatalf("%q read as %+v, not %v", body, got, partial)
		}
	})
}

// FuzzItem takes an event or says its flaw; what it takes can be sent.
func FuzzItem(f *testing.F) {
	f.Add(loadtest.Tracks(1)[0].Payload)
	for _, seed := range []string{`{"messageId":"event-00000","event":"e","properties":{"a":[1,[null,{"b":1.5}]],"c":{}}}`, `{"messageId":"event-00000","event":"e"} {}`, "{}", "[", ""} {
		f.Add([]byte(seed))
	}
	d := &Destination{service: "fuzz"}
	f.Fuzz(func(t *testing.T, payload []byte) {
		it, flaw := newItem(&telemetry.Track{MessageID: "event-00000", Time: time.Unix(1, 0), Payload: payload})
		if flaw != "" {
			return
		}
		if _, err := proto.Marshal(d.request([]item{it})); err != nil {
			t.Fatalf("%q cannot be sent: %v", payload, err)
		}
		var call struct{ Properties map[string]any }
		if err := json.Unmarshal(payload, &call); err != nil {
			return // a number beyond every float
		}
		maps.DeleteFunc(call.Properties, func(_ string, v any) bool { return v == nil })
		var names []string
		for _, a := range it.record.GetAttributes()[1:] {
			names = append(names, a.GetKey())
		}
		if want := slices.Sorted(maps.Keys(call.Properties)); !slices.Equal(names, want) {
			t.Fatalf("attributes %q, want %q", names, want)
		}
	})
}
