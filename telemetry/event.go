// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxMessageIDBytes is the longest message ID that Segment keeps.
const MaxMessageIDBytes = 99

// anonymousID is the identity of every event: nobody.
const anonymousID = "anonymous"

// An Event is one thing that happened in a cluster.
type Event struct {
	// Name is the name of the event in the tracking plan.
	Name string
	// MessageID identifies the event for ever: the same event read twice has the
	// same ID. At most [MaxMessageIDBytes] bytes.
	MessageID string
	// Time is when it happened, in UTC, whole seconds.
	Time time.Time
	// Cluster is where it happened.
	Cluster Pseudonym
	// Properties are the values, in the order of the plan.
	Properties []Property
}

// Library names the program that made an event (context.library).
type Library struct{ Name, Version string }

// A Track is an event in the form in which it is staged, previewed and sent.
type Track struct {
	// MessageID, Event and Time repeat what the payload says.
	MessageID string
	Event     string
	Time      time.Time
	// Payload is the whole track call, one JSON object without a line break.
	Payload []byte
}

// Track returns the event as a track call of the Segment specification.
func (e *Event) Track(library Library) Track {
	return Track{
		MessageID: e.MessageID, Event: e.Name, Time: e.Time,
		Payload: e.AppendTrack(make([]byte, 0, 640), library),
	}
}

// AppendTrack appends the event as a track call, one JSON object on one line.
func (e *Event) AppendTrack(b []byte, library Library) []byte {
	b = append(b, `{"type":"track","messageId":`...)
	b = appendJSONString(b, e.MessageID)
	b = append(b, `,"anonymousId":"`+anonymousID+`","event":`...)
	b = appendJSONString(b, e.Name)
	b = append(b, `,"timestamp":`...)
	b = TimeValue(e.Time).AppendJSON(b)
	b = append(b, `,"context":{"library":{"name":`...)
	b = appendJSONString(b, library.Name)
	b = append(b, `,"version":`...)
	b = appendJSONString(b, library.Version)
	b = append(b, `},"device":{"id":`...)
	b = PseudonymValue(e.Cluster).AppendJSON(b)
	b = append(b, `}},"properties":{`...)
	for i, p := range e.Properties {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, p.Name)
		b = append(b, ':')
		b = p.Value.AppendJSON(b)
	}
	return append(b, "}}"...)
}

// typeCodes gives each type its number in the binary form. Only ever appended to.
var typeCodes = []Type{"", TypePseudonym, TypeEnum, TypeInteger, TypeBoolean, TypeTime, TypeVersion, TypeSet, TypeCounts}

// AppendBinary appends a compact form of the event, meant for temporary files of
// the same program. It implements [encoding.BinaryAppender].
func (e *Event) AppendBinary(b []byte) ([]byte, error) {
	b = appendString(b, e.Name)
	b = appendString(b, e.MessageID)
	b = binary.AppendVarint(b, e.Time.Unix())
	b = binary.AppendVarint(b, PseudonymValue(e.Cluster).number)
	b = binary.AppendUvarint(b, uint64(len(e.Properties)))
	for _, p := range e.Properties {
		code := -1
		for i, t := range typeCodes {
			if t == p.Value.typ {
				code = i
			}
		}
		if code < 0 {
			return b, fmt.Errorf("encode event: unknown type %q", p.Value.typ)
		}
		b = appendString(b, p.Name)
		b = append(b, byte(code))
		b = binary.AppendVarint(b, p.Value.number)
		b = appendString(b, p.Value.text)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote. It reuses e.Properties, and the names and words that e has in the same
// places: events come in an order in which most of them stay.
func (e *Event) UnmarshalBinary(b []byte) error {
	r := binaryReader{rest: b}
	before, properties := e.Properties, e.Properties[:0]
	*e = Event{Name: r.string(e.Name), MessageID: r.string(""), Time: time.Unix(r.varint(), 0).UTC(), Cluster: pseudonymOf(r.varint())}
	for n := r.uvarint(); n > 0 && r.ok(); n-- {
		var was Property
		if i := len(properties); i < len(before) {
			was = before[i]
		}
		p := Property{Name: r.string(was.Name)}
		code := int(r.byte())
		if code >= len(typeCodes) {
			return errMalformedEvent
		}
		p.Value = Value{typ: typeCodes[code], number: r.varint(), text: r.string(was.Value.text)}
		if (p.Value.typ == TypeSet || p.Value.typ == TypeCounts) && !compactJSON(p.Value.text) {
			return errMalformedEvent
		}
		properties = append(properties, p)
	}
	e.Properties = properties
	if !r.ok() || len(r.rest) > 0 {
		return errMalformedEvent
	}
	return nil
}

var errMalformedEvent = errors.New("decode event: malformed bytes")

// compactJSON reports whether text is JSON without white space between its parts.
func compactJSON(text string) bool {
	var b bytes.Buffer
	return json.Compact(&b, []byte(text)) == nil && b.String() == text
}

func pseudonymOf(n int64) Pseudonym {
	return Pseudonym{hash: [pseudonymBytes]byte(Value{number: n}.pseudonym()), set: true}
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// binaryReader reads from rest until it runs out; then it returns zeros.
type binaryReader struct {
	rest   []byte
	failed bool
}

func (r *binaryReader) ok() bool { return !r.failed }

func (r *binaryReader) fail() { r.rest, r.failed = nil, true }

func (r *binaryReader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

func (r *binaryReader) varint() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *binaryReader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// string returns was if that is what comes.
func (r *binaryReader) string(was string) string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	if string(b) == was {
		return was
	}
	return string(b)
}
