// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Sensitivity says how close to a person or an organisation a property is.
type Sensitivity string

const (
	// SensitivityPseudonym marks a hash that stands for a name.
	SensitivityPseudonym Sensitivity = "pseudonym"
	// SensitivityTechnical marks facts about the product or the platform.
	SensitivityTechnical Sensitivity = "technical"
	// SensitivityActivity marks facts about what was done and when.
	SensitivityActivity Sensitivity = "activity"
)

// A PropertySpec is the plan's entry for one property of one event.
type PropertySpec struct {
	// Name is the key in the track call.
	Name string `json:"name"`
	// Type is the only type a value may have.
	Type Type `json:"type"`
	// Unit is the unit of an integer, such as "seconds".
	Unit string `json:"unit,omitempty"`
	// Words is the closed list of an enum, a set or counts.
	Words []string `json:"words,omitempty"`
	// Buckets are the only numbers that an integer, or each of counts, may be: the
	// lower ends of ranges, ascending. Empty means any number. See [Scale].
	Buckets []int64 `json:"buckets,omitempty"`
	// Minimum is the least value of an integer; integers are never negative
	// unless it says so.
	Minimum int64 `json:"minimum,omitempty"`
	// Nullable allows null; Optional allows the property to be left out.
	Nullable bool `json:"nullable,omitempty"`
	Optional bool `json:"optional,omitempty"`
	// PayloadOnly keeps the property out of the columns of staged files: it is in the
	// payload alone.
	PayloadOnly bool `json:"payloadOnly,omitempty"`
	// Reason says why the property is collected, Source where it is read. Question
	// is the one that it answers, when that is not plainly the event's.
	Reason   string `json:"reason"`
	Question string `json:"question,omitempty"`
	Source   string `json:"source"`
	// Sensitivity says how the property must be treated.
	Sensitivity Sensitivity `json:"sensitivity"`
	// Since is the first release that may send it.
	Since string `json:"since"`
}

// An EventSpec is the plan's entry for one event.
type EventSpec struct {
	// Name is the name of the event.
	Name string `json:"name"`
	// MessageID is the form of the message ID, such as "<uid>-started".
	MessageID string `json:"messageId"`
	// Timestamp says which instant the event carries.
	Timestamp string `json:"timestamp"`
	// Question is the question that the event helps to answer.
	Question string `json:"question"`
	// Source is the object it comes from.
	Source string `json:"source"`
	// OncePerObject marks an event that happens once in the life of an object,
	// however often the state behind it flips.
	OncePerObject bool `json:"oncePerObject,omitempty"`
	// Since is the first release that may send it.
	Since string `json:"since"`
	// Properties in the order in which they are sent.
	Properties []PropertySpec `json:"properties"`
}

// A Plan lists every event and property that may leave. Make one with [NewPlan].
type Plan struct {
	// Name is that of the program whose plan it is. Events is what may leave. Both are for
	// reading: a plan that is changed is not the one that its hash says.
	Name   string      `json:"name"`
	Events []EventSpec `json:"events"`

	byName map[string]*EventSpec
	hash   string
}

// NewPlan checks the entries and returns the plan. The error lists all that is
// wrong: a missing reason, source, sensitivity or version, a repeated name, an
// enum without words, or one property name with two types.
func NewPlan(name string, events ...EventSpec) (*Plan, error) {
	plan := &Plan{Name: name, Events: events, byName: make(map[string]*EventSpec, len(events))}
	types := map[string]Type{}
	var errs []error
	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for i := range events {
		e := &events[i]
		if plan.byName[e.Name] != nil {
			complain("event %q is listed twice", e.Name)
		}
		plan.byName[e.Name] = e
		if e.Name == "" || e.MessageID == "" || e.Timestamp == "" || e.Question == "" || e.Source == "" || e.Since == "" {
			complain("event %q lacks a name, message ID, timestamp, question, source or since", e.Name)
		}
		seen := map[string]bool{}
		for _, p := range e.Properties {
			if p.Name == "" || p.Reason == "" || p.Source == "" || p.Sensitivity == "" || p.Since == "" {
				complain("property %q of event %q lacks a name, reason, source, sensitivity or since", p.Name, e.Name)
			}
			if seen[p.Name] {
				complain("property %q of event %q is listed twice", p.Name, e.Name)
			}
			seen[p.Name] = true
			if t, ok := types[p.Name]; ok && t != p.Type {
				complain("property %q has type %s and type %s", p.Name, t, p.Type)
			}
			types[p.Name] = p.Type
			if !slices.Contains(typeCodes[1:], p.Type) {
				complain("property %q of event %q has the unknown type %q", p.Name, e.Name, p.Type)
			}
			if p.hasWords() != (len(p.Words) > 0) {
				complain("property %q of event %q: an enum, a set and counts have words, and nothing else has", p.Name, e.Name)
			}
			if len(p.Buckets) > 0 && (p.Type != TypeInteger && p.Type != TypeCounts || !ascending(p.Buckets) || p.Buckets[0] != p.Minimum) {
				complain("property %q of event %q: buckets are of an integer or of counts, and ascend from the minimum", p.Name, e.Name)
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	sum := sha256.Sum256(plan.JSON())
	plan.hash = hex.EncodeToString(sum[:planHashDigits/2])
	return plan, nil
}

// Event returns the entry of the named event, or nil.
func (p *Plan) Event(name string) *EventSpec { return p.byName[name] }

// Columns returns every property of the plan once, in the order of first mention,
// as it is first listed; those that are in the payload alone are left out. Properties of
// the same name have the same type.
func (p *Plan) Columns() []PropertySpec {
	var columns []PropertySpec
	seen := map[string]bool{}
	for _, e := range p.Events {
		for _, property := range e.Properties {
			if !seen[property.Name] && !property.PayloadOnly {
				seen[property.Name] = true
				columns = append(columns, property)
			}
		}
	}
	return columns
}

// Hash identifies the content of the plan: 16 hexadecimal digits.
func (p *Plan) Hash() string { return p.hash }

// JSON returns the plan as indented JSON.
func (p *Plan) JSON() []byte {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil { // a plan holds strings and numbers
		panic(err)
	}
	return append(b, '\n')
}

// A Violation says how an event breaks the plan. It holds names from the plan and
// from the program, never a value.
type Violation struct {
	// Event and Property name the entry of the plan that is broken; Property is "" when it
	// is the event's own. Rule says what holds there.
	Event    string `json:"event"`
	Property string `json:"property,omitempty"`
	Rule     string `json:"rule"`
}

// Error implements error.
func (v *Violation) Error() string {
	if v.Property == "" {
		return fmt.Sprintf("event %q breaks the tracking plan: %s", v.Event, v.Rule)
	}
	return fmt.Sprintf("property %q of event %q breaks the tracking plan: %s", v.Property, v.Event, v.Rule)
}

// Check returns a [*Violation] when the event may not leave, and nil otherwise.
// It allocates nothing for an event that may, sets and counts aside.
func (p *Plan) Check(e *Event) error {
	spec := p.byName[e.Name]
	switch {
	case spec == nil:
		return &Violation{Event: "(not in the plan)", Rule: "the event is not listed"}
	case e.MessageID == "" || len(e.MessageID) > MaxMessageIDBytes:
		return &Violation{Event: e.Name, Rule: "the message ID has no or too many bytes"}
	case !validMessageID(e.MessageID, spec.MessageID):
		return &Violation{Event: e.Name, Rule: "the message ID has another form than " + spec.MessageID}
	case !validTime(e.Time):
		return &Violation{Event: e.Name, Rule: "the timestamp is missing or not within the years 2000 to 2199"}
	case e.Cluster.IsZero():
		return &Violation{Event: e.Name, Rule: "the cluster is missing"}
	}
	next := 0
	for i := range spec.Properties {
		want := &spec.Properties[i]
		if next == len(e.Properties) || e.Properties[next].Name != want.Name {
			if !want.Optional {
				return &Violation{Event: e.Name, Property: want.Name, Rule: "the property is missing or out of order"}
			}
			continue
		}
		if rule := want.check(e.Properties[next].Value); rule != "" {
			return &Violation{Event: e.Name, Property: want.Name, Rule: rule}
		}
		next++
	}
	if next < len(e.Properties) {
		return &Violation{Event: e.Name, Property: "(not in the plan)", Rule: "the property is not listed, repeated or out of order"}
	}
	return nil
}

func (s *PropertySpec) check(v Value) string {
	switch {
	case v.IsNull():
		if !s.Nullable {
			return "the value is null"
		}
	case v.typ != s.Type:
		return "the value is of type " + string(v.typ)
	case s.Type == TypeEnum && !slices.Contains(s.Words, v.text):
		return "the value is not in the closed list"
	case s.Type == TypeInteger && v.number < s.Minimum:
		return "the value is below the minimum"
	case s.Type == TypeInteger && s.bucket(v.number) != v.number:
		return "the value is not one of the buckets"
	case (s.Type == TypeSet || s.Type == TypeCounts) && !s.isComposite(v):
		return "the value is not made of the closed list and the buckets, in their order"
	case s.Type == TypeTime && !validTime(time.Unix(v.number, 0)):
		return "the time is not within the years 2000 to 2199"
	}
	return ""
}

// validMessageID reports whether id is made of the characters of a UID, "_" and
// ":", and ends as form does after its last placeholder.
func validMessageID(id, form string) bool {
	if !every([]byte(id), func(c byte) bool { return isUIDByte(c) || c == ':' || c == '_' }) {
		return false
	}
	suffix := form[strings.LastIndexByte(form, '>')+1:]
	return len(id) > len(suffix) && strings.HasSuffix(id, suffix)
}

// Kubernetes objects are younger than 2000; times beyond 2199 are mistakes and
// overflow the formats downstream.
const (
	earliest = 946684800  // 2000-01-01T00:00:00Z
	latest   = 7258118400 // 2200-01-01T00:00:00Z
)

func validTime(t time.Time) bool {
	return t.Unix() >= earliest && t.Unix() < latest
}
