// SPDX-License-Identifier: Apache-2.0

package splunk

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// An item is one event on its way.
type item struct {
	object  []byte // of HEC, with a line break at its end
	verdict *telemetry.Verdict
}

func anyDelivered(items []item) bool {
	return slices.ContainsFunc(items, func(it item) bool { return it.verdict.Status == telemetry.Delivered })
}

const notATrack = "not a track call"

// maxSeconds is the last time with ten digits: Splunk reads more digits as milliseconds.
const maxSeconds = 9_999_999_999

// newItem returns the item of an event, or its flaw: what HEC refuses, or takes with 200 and misreads.
func (d *Destination) newItem(t *telemetry.Track) (it item, flaw string) {
	var call struct {
		MessageID string
		Context   struct{ Device struct{ ID string } }
	}
	seconds := t.Time.Unix()
	switch {
	case !utf8.Valid(t.Payload) || len(t.Payload) == 0 || t.Payload[0] != '{' || json.Unmarshal(t.Payload, &call) != nil:
		return it, notATrack
	case t.MessageID == "" || call.MessageID != t.MessageID:
		return it, "message ID is missing or not the staged one"
	case seconds < 0 || seconds > maxSeconds:
		return it, "time before 1970 or after 2286"
	}
	host := d.host
	if host == "" {
		host = call.Context.Device.ID
	}
	b := make([]byte, 0, len(t.Payload)+160)
	b = append(b, `{"time":`...)
	b = strconv.AppendInt(b, seconds, 10)
	if ms := t.Time.Nanosecond() / int(time.Millisecond); ms > 0 {
		b = fmt.Appendf(b, ".%03d", ms)
	}
	for _, key := range []struct{ name, value string }{{"host", host}, {"source", d.source}, {"sourcetype", d.kind}, {"index", d.index}} {
		if key.value != "" {
			b = append(b, `,"`+key.name+`":`...)
			b = appendString(b, key.value)
		}
	}
	b = append(b, `,"event":`...)
	b = append(b, t.Payload...)
	b = append(b, '}', '\n')
	if len(b) > maxBodyBytes {
		return it, fmt.Sprintf("larger than %d bytes", maxBodyBytes)
	}
	return item{object: b}, ""
}

func appendString(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string can always be
	return append(b, text...)
}

// batches cuts the items into what fits one request each.
func batches(items []item) iter.Seq[[]item] {
	return func(yield func([]item) bool) {
		start, size := 0, 0
		for i, it := range items {
			if size += len(it.object); size > maxBodyBytes {
				if !yield(items[start:i]) {
					return
				}
				start, size = i, len(it.object)
			}
		}
		if start < len(items) {
			yield(items[start:])
		}
	}
}
