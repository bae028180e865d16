// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// An item is one event on its way.
type item struct {
	payload []byte
	verdict *telemetry.Verdict
}

func (it item) delivered() bool { return it.verdict.Status == telemetry.Delivered }

// anonymous is who this program's events are by.
const anonymous = "anonymous"

const notATrack = "not a track call on one line"

// newItem returns the item of an event, or its flaw: what Segment documents that it refuses, or takes with
// 200 and drops.
func newItem(t *telemetry.Track, verdict *telemetry.Verdict) (it item, flaw string) {
	switch {
	case len(t.Payload) > maxEventBytes:
		return item{}, fmt.Sprintf("larger than %d bytes", maxEventBytes)
	case t.MessageID == "" || len(t.MessageID) > telemetry.MaxMessageIDBytes:
		return item{}, fmt.Sprintf("message ID missing or longer than %d bytes", telemetry.MaxMessageIDBytes)
	case !utf8.Valid(t.Payload) || bytes.IndexByte(t.Payload, '\n') >= 0:
		return item{}, notATrack
	case !familiar(t):
		if flaw = examine(t); flaw != "" {
			return item{}, flaw
		}
	}
	return item{t.Payload, verdict}, ""
}

// familiar reports whether the payload begins and ends as this program writes them, and so has all that Segment
// asks for. Parsing costs more than all the rest of a delivery.
func familiar(t *telemetry.Track) bool {
	rest, ok := bytes.CutPrefix(t.Payload, []byte(`{"type":"track","messageId":"`))
	for _, part := range []string{t.MessageID, `","anonymousId":"` + anonymous + `","event":"`, t.Event, `","timestamp":"`} {
		ok = ok && len(rest) >= len(part) && string(rest[:len(part)]) == part
		if !ok {
			return false
		}
		rest = rest[len(part):]
	}
	return t.Event != "" && bytes.Contains(rest, []byte(`},"properties":{`)) && bytes.HasSuffix(rest, []byte("}}"))
}

// examine returns the flaw of an event that another program may have written.
func examine(t *telemetry.Track) (flaw string) {
	var call map[string]json.RawMessage // a struct would match keys in any case, which Segment does not
	if json.Unmarshal(t.Payload, &call) != nil || text(call["type"]) != "track" {
		return notATrack
	}
	properties, sent := call["properties"]
	switch {
	case text(call["messageId"]) != t.MessageID:
		return "message ID is not the staged one"
	case text(call["userId"]) == "" && text(call["anonymousId"]) == "":
		return "neither userId nor anonymousId"
	case text(call["event"]) == "":
		return "event without a name"
	case sent && properties[0] != '{':
		return "properties are not an object"
	}
	return ""
}

// text returns the value of a JSON string, and "" for everything else.
func text(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
