// SPDX-License-Identifier: Apache-2.0

package splunktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// take indexes the events of a body, one after the other, up to the first that is bad.
func (r *Receiver) take(name string, body []byte) reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.LargestBody = max(r.report.LargestBody, len(body))
	switch {
	case len(body) > MaxBodyBytes:
		return reply{status: http.StatusRequestEntityTooLarge, html: true}
	case len(bytes.TrimSpace(body)) == 0:
		return refusal(http.StatusBadRequest, 5)
	}
	number, lost := 0, false
	for object, err := range objects(body) {
		code := 6
		var event Event
		drop := ""
		if err == nil {
			event, code, drop = r.parse(object)
		}
		if code == 0 && r.refuse != nil && r.refuse(event) {
			code = 6
		}
		if code == 7 {
			number++ // names the next one
		}
		if code != 0 {
			return reply{status: http.StatusBadRequest, code: code, number: &number}
		}
		number++
		if drop == "unknown_key" {
			lost = true // this one and all behind it
		}
		switch {
		case drop != "":
			r.report.Drops[drop]++
		case lost:
			r.report.Drops["behind_unknown_key"]++
		default:
			r.events = append(r.events, event)
		}
	}
	answer := reply{status: http.StatusOK}
	if r.options.Ack {
		c := r.channels[name]
		if c == nil {
			c = &channel{pending: map[int64]time.Time{}}
			r.channels[name] = c
		}
		id := c.next
		c.next++
		c.pending[id] = time.Now().Add(r.options.IndexingTakes)
		answer.ack = &id
	}
	return answer
}

// objects yields the objects of a body: one after another, or in an array.
func objects(body []byte) func(func(json.RawMessage, error) bool) {
	return func(yield func(json.RawMessage, error) bool) {
		decoder := json.NewDecoder(bytes.NewReader(body))
		inArray := bytes.HasPrefix(bytes.TrimSpace(body), []byte("["))
		if inArray {
			_, _ = decoder.Token() // the bracket that is there
		}
		for !inArray || decoder.More() {
			var object json.RawMessage
			err := decoder.Decode(&object)
			if errors.Is(err, io.EOF) && !inArray || !yield(object, err) || err != nil {
				return
			}
		}
	}
}

// parse reads one object. The code is 0 if it is good, even when it is dropped.
func (r *Receiver) parse(object json.RawMessage) (event Event, code int, drop string) {
	var keys map[string]json.RawMessage
	if json.Unmarshal(object, &keys) != nil || keys == nil {
		return event, 6, ""
	}
	for key, value := range keys {
		switch key {
		case "time":
			var ok bool
			if event.Time, ok = readTime(value); !ok {
				return event, 6, ""
			}
		case "host", "source", "sourcetype", "index":
			var text string
			if json.Unmarshal(value, &text) != nil {
				return event, 6, ""
			}
			*map[string]*string{"host": &event.Host, "source": &event.Source, "sourcetype": &event.SourceType, "index": &event.Index}[key] = text
		case "event":
			event.Event = value
		case "fields":
			event.Fields = value
		default:
			drop = "unknown_key"
		}
	}
	switch text := strings.TrimSpace(string(event.Event)); {
	case event.Event == nil:
		return event, 12, ""
	case text == "null" || text == "false":
		return event, 6, ""
	case text[0] == '"' && strings.TrimSpace(unquote(text)) == "":
		return event, 13, ""
	case event.Fields != nil && !flat(event.Fields):
		return event, 15, ""
	}
	var call struct{ MessageID string }
	if json.Unmarshal(event.Event, &call) == nil {
		event.MessageID = call.MessageID
	}
	switch {
	case event.Index == "":
		event.Index = r.options.Indexes[0]
	case !r.mayName(event.Index):
		return event, 7, ""
	}
	if !slices.Contains(r.options.Indexes, event.Index) && drop == "" {
		drop = "unknown_index"
	}
	return event, 0, drop
}

// readTime reads seconds; a number of 13 or 19 digits is read as milliseconds or nanoseconds.
func readTime(value json.RawMessage) (seconds float64, ok bool) {
	text := strings.Trim(string(value), `"`)
	seconds, err := strconv.ParseFloat(text, 64)
	switch len(text) {
	case 13:
		if !strings.Contains(text, ".") {
			seconds /= 1e3
		}
	case 19:
		if !strings.Contains(text, ".") {
			seconds /= 1e9
		}
	}
	return math.Round(seconds*1e6) / 1e6, err == nil // it keeps microseconds
}

func unquote(text string) (s string) {
	_ = json.Unmarshal([]byte(text), &s)
	return s
}

// flat reports whether fields has no objects in it.
func flat(fields json.RawMessage) bool {
	var values map[string]json.RawMessage
	if json.Unmarshal(fields, &values) != nil {
		return false
	}
	for _, value := range values {
		if strings.HasPrefix(strings.TrimSpace(string(value)), "{") {
			return false
		}
	}
	return true
}
