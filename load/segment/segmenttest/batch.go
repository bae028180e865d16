// SPDX-License-Identifier: Apache-2.0

package segmenttest

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// object is a JSON object whose keys are exact: encoding/json would match "messageID" to a field
// "messageId", which Segment does not.
type object = map[string]json.RawMessage

// take answers one request as Segment would: with an empty reason for 200, or with the reason for 400.
func (r *Receiver) take(req *http.Request, body []byte) (refusal string) {
	r.violations(req)
	if media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return "content_type"
	}
	if len(body) > MaxBodyBytes {
		return "body_too_big"
	}
	var envelope object
	if err := json.Unmarshal(body, &envelope); err != nil || envelope == nil {
		return "invalid_json"
	}
	var items []json.RawMessage
	if batch, ok := envelope["batch"]; ok && json.Unmarshal(batch, &items) != nil {
		return "batch_not_array"
	}
	key, fromHeader := writeKey(req, envelope)
	if len(key) < minKeyBytes {
		return "write_key"
	}
	if sent, ok := text(envelope["sentAt"]); !ok || !isTime(sent) {
		r.count(r.report.Violations, "sent_at")
	}
	if inBody, ok := text(envelope["writeKey"]); ok && fromHeader && inBody != key {
		r.count(r.report.Violations, "two_write_keys")
	}

	events := make([]Event, 0, len(items))
	var drops []string
	for _, item := range items {
		if len(item) > MaxEventBytes {
			return "event_too_big"
		}
		event, drop := parse(item, envelope)
		if drop != "" {
			drops = append(drops, drop)
			continue
		}
		events = append(events, event)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil && slices.ContainsFunc(events, r.refuse) {
		return "refused_event"
	}
	dropAll := ""
	switch {
	case slices.Contains(r.disabled, key):
		dropAll = "source_disabled"
	case !slices.Contains(r.keys, key):
		dropAll = "unknown_write_key"
	case len(items) > MaxEvents:
		dropAll = "too_many_events"
	case len(items) == 0:
		r.report.Drops["empty_batch"]++
	}
	if dropAll != "" {
		r.report.Drops[dropAll] += len(items)
		return ""
	}
	for _, drop := range drops {
		r.report.Drops[drop]++
	}
	r.record(events)
	return ""
}

// record keeps each message ID once within the window. The caller holds the lock.
func (r *Receiver) record(events []Event) {
	now := r.now()
	for _, event := range events {
		if event.MessageID == "" { // Segment mints one on each receipt
			event.MessageID = "minted-" + strconv.Itoa(len(r.events))
		}
		if first, ok := r.seen[event.MessageID]; ok && now.Sub(first) < DedupWindow {
			r.duplicates = append(r.duplicates, event)
			continue
		}
		if event.oddTime {
			r.report.Violations["timestamp"]++
		}
		r.seen[event.MessageID] = now
		r.events = append(r.events, event)
	}
}

// parse reads one item of a batch. The reason for dropping it is one of those that Segment shows its
// users, or a name of ours where Segment gives none.
func parse(item json.RawMessage, envelope object) (event Event, drop string) {
	var call object
	if json.Unmarshal(item, &call) != nil || call == nil {
		return event, "not_an_object"
	}
	event.Raw, event.JSON = item, item
	var ok bool
	if event.Type, ok = text(call["type"]); !ok {
		return event, "type_missing"
	}
	if !slices.Contains([]string{"track", "identify", "group", "page", "screen", "alias"}, event.Type) {
		return event, "type_unknown"
	}
	user, _ := text(call["userId"])
	anonymous, _ := text(call["anonymousId"])
	if user == "" && anonymous == "" {
		return event, "no_user_anon_id"
	}
	if id, sent := call["messageId"]; sent {
		if event.MessageID, ok = text(id); !ok || event.MessageID == "" || len(event.MessageID) > 100 {
			return event, "message_id"
		}
	}
	if timestamp, sent := call["timestamp"]; sent {
		t, ok := text(timestamp)
		event.oddTime = !ok || !isTime(t)
	}
	if event.Type == "track" {
		name, sent := call["event"]
		if !sent {
			return event, "event_not_defined"
		}
		if event.Name, ok = text(name); !ok {
			return event, "event_not_string"
		}
		if event.Name == "" {
			return event, "event_not_defined"
		}
		if properties, sent := call["properties"]; sent && !isObject(properties) {
			return event, "properties_not_object"
		}
	}
	merged := false
	for _, field := range []string{"context", "integrations"} {
		var shared, own object
		if json.Unmarshal(envelope[field], &shared) != nil || len(shared) == 0 {
			continue
		}
		if json.Unmarshal(call[field], &own) == nil {
			maps.Copy(shared, own)
		}
		call[field], merged = encode(shared), true
	}
	if merged {
		event.JSON = encode(call)
	}
	return event, ""
}

// writeKey is the user name of HTTP Basic, or else the key in the body.
func writeKey(req *http.Request, envelope object) (key string, fromHeader bool) {
	if user, _, ok := req.BasicAuth(); ok {
		return user, true
	}
	key, _ = text(envelope["writeKey"])
	return key, false
}

func (r *Receiver) violations(req *http.Request) {
	if req.UserAgent() == "" {
		r.count(r.report.Violations, "user_agent")
	}
	if retries := req.Header.Get("X-Retry-Count"); retries != "" {
		if n, err := strconv.ParseUint(retries, 10, 16); err != nil || n == 0 {
			r.count(r.report.Violations, "retry_count")
		}
	}
}

func (r *Receiver) count(counts map[string]int, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts[reason]++
}

// readBody reads at most one byte more than the limit, unpacked.
func text(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return err == nil
}

func encode(o object) json.RawMessage {
	b, err := json.Marshal(o)
	if err != nil { // its values were parsed from JSON
		panic(fmt.Sprintf("segmenttest: %v", err))
	}
	return b
}
