// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/segmentio/analytics-go/v3"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// An item is one event on its way.
type item struct {
	payload []byte
	// ticket stands for the event in the queue of analytics-go. The transport sends the payload.
	ticket  analytics.Track
	verdict *telemetry.Verdict
}

func (it item) delivered() bool { return it.verdict.Status == telemetry.Delivered }

// newItem returns the item of an event, or its flaw: what Segment documents that it refuses, or takes with
// 200 and drops.
func newItem(t *telemetry.Track, verdict *telemetry.Verdict) (it item, flaw string) {
	if len(t.Payload) > maxEventBytes {
		return item{}, fmt.Sprintf("larger than %d bytes", maxEventBytes)
	}
	var call struct {
		Type        string          `json:"type"`
		MessageID   string          `json:"messageId"`
		UserID      string          `json:"userId"`
		AnonymousID string          `json:"anonymousId"`
		Event       string          `json:"event"`
		Properties  json.RawMessage `json:"properties"`
	}
	switch err := json.Unmarshal(t.Payload, &call); {
	case err != nil || !utf8.Valid(t.Payload) || call.Type != "track" || bytes.IndexByte(t.Payload, '\n') >= 0:
		return item{}, "not a track call on one line"
	case call.MessageID != t.MessageID || t.MessageID == "" || len(t.MessageID) > telemetry.MaxMessageIDBytes:
		return item{}, fmt.Sprintf("message ID missing, another than staged or longer than %d bytes", telemetry.MaxMessageIDBytes)
	case call.UserID == "" && call.AnonymousID == "":
		return item{}, "neither userId nor anonymousId"
	case call.Event == "":
		return item{}, "event without a name"
	case call.Properties != nil && call.Properties[0] != '{':
		return item{}, "properties are not an object"
	}
	return item{t.Payload, analytics.Track{
		MessageId: call.MessageID, UserId: call.UserID, AnonymousId: call.AnonymousID, Event: call.Event, Timestamp: t.Time,
	}, verdict}, ""
}
