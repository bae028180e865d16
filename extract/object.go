// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"bytes"
	"errors"
	"time"

	"github.com/segment-bridge/segment-bridge/extract/scan"
)

// An object holds what is read of an object of any kind: raw names, which must not
// be kept, formatted or logged. Its memory is reused for the next object.
//
// A key that comes twice counts as its last value, as in encoding/json.
type object struct {
	apiVersion, kind text
	metadata         metadata
	spec             struct {
		application text
		bad         bool
	}
	status status
	bad    bool // not an object at all
	broken bool // not JSON
}

type metadata struct {
	uid, name, namespace, created, deleted text

	labels struct {
		pipelineType, tenancy, sender text
		pipeline                      bool // is there
		bad                           bool
	}
	annotations struct {
		sender text
		bad    bool
	}
	bad bool
}

type status struct {
	started, completed text
	conditions         struct {
		succeeded, ready, spare condition
		bad                     bool
	}
	children struct {
		count int
		bad   bool
	}
	bad bool
}

type condition struct{ kind, status, reason, since text }

// A text is a string of the object.
type text struct {
	bytes []byte
	set   bool // a string was there, if only an empty one
	bad   bool // something else was there, or more than scan.MaxText bytes
}

func (t *text) reset() { *t = text{bytes: t.bytes[:0]} }

func (t *text) read(s *scan.Scanner) error {
	t.reset()
	kind, err := s.Next()
	if err != nil {
		return err
	}
	if kind != scan.String {
		t.bad = kind != scan.Null
		return s.Skip()
	}
	captured, long, err := s.Text()
	t.bytes, t.set, t.bad = append(t.bytes, captured...), true, long
	return err
}

// time returns the time in t, in UTC and whole seconds; zero when there is none.
func (t *text) time() (time.Time, error) {
	if t.bad {
		return time.Time{}, errTime
	}
	if !t.set {
		return time.Time{}, nil
	}
	var at time.Time
	if err := at.UnmarshalText(t.bytes); err != nil {
		return time.Time{}, errTime // the cause quotes the text
	}
	at = at.UTC().Truncate(time.Second)
	if year := at.Year(); year < 1 || year > 9999 { // an offset can lead there, and JSON has no such times
		return time.Time{}, errTime
	}
	return at, nil
}

func (o *object) reset() {
	o.apiVersion.reset()
	o.kind.reset()
	o.metadata.reset()
	o.spec.application.reset()
	o.spec.bad = false
	o.status.reset()
	o.bad, o.broken = false, false
}

func (m *metadata) reset() {
	for _, t := range [...]*text{&m.uid, &m.name, &m.namespace, &m.created, &m.deleted} {
		t.reset()
	}
	m.bad = false
	m.resetLabels()
	m.resetAnnotations()
}

func (m *metadata) resetLabels() {
	l := &m.labels
	l.pipelineType.reset()
	l.tenancy.reset()
	l.sender.reset()
	l.pipeline, l.bad = false, false
}

func (m *metadata) resetAnnotations() {
	m.annotations.sender.reset()
	m.annotations.bad = false
}

func (st *status) reset() {
	st.started.reset()
	st.completed.reset()
	st.resetConditions()
	st.children.count, st.children.bad = 0, false
	st.bad = false
}

func (st *status) resetConditions() {
	st.conditions.succeeded.reset()
	st.conditions.ready.reset()
	st.conditions.bad = false
}

func (c *condition) reset() {
	c.kind.reset()
	c.status.reset()
	c.reason.reset()
	c.since.reset()
}

// misshapen reports whether an object or array that is read was something else.
func (o *object) misshapen() bool {
	m, st := &o.metadata, &o.status
	return o.bad || m.bad || m.labels.bad || m.annotations.bad || o.spec.bad ||
		st.bad || st.conditions.bad || st.children.bad
}

// ownKind returns the kind that the object states.
func (o *object) ownKind() Kind {
	if o.kind.bad || o.apiVersion.bad {
		return ""
	}
	return KindOf(o.apiVersion.bytes, o.kind.bytes)
}

// members reads an object; anything else sets bad and is passed over.
func members(s *scan.Scanner, bad *bool, field func(key []byte) error) error {
	err := s.Object(field)
	if errors.Is(err, scan.ErrKind) {
		*bad = true
		return s.Skip()
	}
	return err
}

// elements reads an array; anything else sets bad and is passed over.
func elements(s *scan.Scanner, bad *bool, element func() error) error {
	err := s.Array(element)
	if errors.Is(err, scan.ErrKind) {
		*bad = true
		return s.Skip()
	}
	return err
}

// read reads one object. The error is about the stream.
func (o *object) read(s *scan.Scanner) error {
	o.reset()
	kind, err := s.Next()
	if err != nil {
		return err
	}
	o.bad = kind == scan.Null
	return members(s, &o.bad, func(key []byte) error { return o.member(s, key) })
}

func (o *object) member(s *scan.Scanner, key []byte) error {
	switch string(key) {
	case "apiVersion":
		return o.apiVersion.read(s)
	case "kind":
		return o.kind.read(s)
	case "metadata":
		return o.metadata.read(s)
	case "spec":
		o.spec.application.reset()
		o.spec.bad = false
		return members(s, &o.spec.bad, func(key []byte) error {
			if string(key) == "application" {
				return o.spec.application.read(s)
			}
			return s.Skip()
		})
	case "status":
		return o.status.read(s)
	default:
		return s.Skip()
	}
}

func (m *metadata) read(s *scan.Scanner) error {
	m.reset()
	return members(s, &m.bad, func(key []byte) error {
		switch string(key) {
		case "uid":
			return m.uid.read(s)
		case "name":
			return m.name.read(s)
		case "namespace":
			return m.namespace.read(s)
		case "creationTimestamp":
			return m.created.read(s)
		case "deletionTimestamp":
			return m.deleted.read(s)
		case "labels":
			m.resetLabels()
			return members(s, &m.labels.bad, func(key []byte) error { return m.label(s, key) })
		case "annotations":
			m.resetAnnotations()
			return members(s, &m.annotations.bad, func(key []byte) error {
				if string(key) == senderKey {
					return m.annotations.sender.read(s)
				}
				return s.Skip()
			})
		default:
			return s.Skip()
		}
	})
}

const senderKey = "pipelinesascode.tekton.dev/sender"

func (m *metadata) label(s *scan.Scanner, key []byte) error {
	switch string(key) {
	case "tekton.dev/pipeline":
		m.labels.pipeline = true
		return s.Skip()
	case "pipelines.appstudio.openshift.io/type":
		return m.labels.pipelineType.read(s)
	case "konflux-ci.dev/type":
		return m.labels.tenancy.read(s)
	case senderKey:
		return m.labels.sender.read(s)
	default:
		return s.Skip()
	}
}

func (st *status) read(s *scan.Scanner) error {
	st.reset()
	return members(s, &st.bad, func(key []byte) error {
		switch string(key) {
		case "startTime":
			return st.started.read(s)
		case "completionTime":
			return st.completed.read(s)
		case "conditions":
			st.resetConditions()
			return elements(s, &st.conditions.bad, func() error { return st.condition(s) })
		case "childReferences":
			st.children.count, st.children.bad = 0, false
			return elements(s, &st.children.bad, func() error {
				st.children.count++
				return s.Skip()
			})
		default:
			return s.Skip()
		}
	})
}

// condition reads one condition and keeps it if it is the first of a wanted type.
func (st *status) condition(s *scan.Scanner) error {
	c := &st.conditions.spare
	c.reset()
	err := members(s, &st.conditions.bad, func(key []byte) error {
		switch string(key) {
		case "type":
			return c.kind.read(s)
		case "status":
			return c.status.read(s)
		case "reason":
			return c.reason.read(s)
		case "lastTransitionTime":
			return c.since.read(s)
		default:
			return s.Skip()
		}
	})
	for _, wanted := range [...]struct {
		kind string
		at   *condition
	}{{"Succeeded", &st.conditions.succeeded}, {"Ready", &st.conditions.ready}} {
		if string(c.kind.bytes) == wanted.kind && !wanted.at.kind.set {
			*c, *wanted.at = *wanted.at, *c
		}
	}
	return err
}

// splitAPIVersion splits "group/version" or "version".
func splitAPIVersion(apiVersion []byte) (group, version string) {
	before, after, found := bytes.Cut(apiVersion, []byte("/"))
	if !found {
		return "", string(before)
	}
	return string(before), string(after)
}
