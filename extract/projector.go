// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A Kind is a kind of object that becomes a record. The empty Kind means the kind
// that the object itself states.
type Kind string

// The kinds that are collected.
const (
	KindPipelineRun  Kind = "PipelineRun" // tekton.dev
	KindComponent    Kind = "Component"   // appstudio.redhat.com
	KindNamespace    Kind = "Namespace"   // core
	KindInstallation Kind = "Konflux"     // konflux.konflux-ci.dev
)

// KindOf returns the kind that is collected under the given apiVersion and kind, or
// the empty one.
func KindOf(apiVersion, kind []byte) Kind {
	group, version := splitAPIVersion(apiVersion)
	switch k := Kind(kind); {
	case k == KindPipelineRun && group == "tekton.dev" && (version == "v1" || version == "v1beta1"),
		k == KindComponent && group == "appstudio.redhat.com",
		k == KindNamespace && group == "" && version == "v1",
		k == KindInstallation && group == "konflux.konflux-ci.dev":
		return k
	}
	return ""
}

// ErrInvalid says that an object is JSON but cannot be used: it has no UID, or no
// time where one is needed. Such objects are counted and passed over.
var ErrInvalid = errors.New("object cannot be used")

var (
	errShape     = fmt.Errorf("%w: a field is not of its type", ErrInvalid)
	errUID       = fmt.Errorf("%w: it has no proper UID", ErrInvalid)
	errTime      = fmt.Errorf("%w: a time is missing or not RFC 3339", ErrInvalid)
	errName      = fmt.Errorf("%w: it has no proper name", ErrInvalid)
	errNamespace = fmt.Errorf("%w: it has no proper namespace", ErrInvalid)
	errValue     = fmt.Errorf("%w: its stored value is not JSON", ErrInvalid)
)

// A Projector turns objects into records: it reads the dozen values that are needed
// out of each object and hides the names among them in the same step. The names
// stay in memory that the next object overwrites.
//
// It is not safe for concurrent use; each source has its own.
type Projector struct {
	names  *telemetry.Pseudonymizer
	object object
	row    struct{ kind, updated text }
	inner  *scan.Scanner
}

// NewProjector returns a Projector that hides names with names.
func NewProjector(names *telemetry.Pseudonymizer) *Projector {
	return &Projector{names: names, inner: new(scan.Scanner)}
}

// ReadObject reads one object. The record is nil, without an error, when the object
// is not of a kind that is collected, or is a namespace without a tenant. An error
// that is [ErrInvalid] concerns this object alone, which has been read to its end;
// any other means that the stream is broken.
func (p *Projector) ReadObject(s *scan.Scanner, kind Kind) (record.Record, error) {
	if err := p.object.read(s); err != nil {
		return nil, err
	}
	return p.project(kind)
}

// ReadValue reads one object that is stored inside another document: as a string of
// base64 (Tekton Results over REST) or as it is. An object inside base64 that is not
// whole is [ErrInvalid].
func (p *Projector) ReadValue(s *scan.Scanner, kind Kind) (record.Record, error) {
	if err := p.readValue(s); err != nil {
		return nil, err
	}
	return p.project(kind)
}

// ReadBytes reads one object from a document of its own (Tekton Results over gRPC),
// without copying it. A document that is not JSON is [ErrInvalid].
func (p *Projector) ReadBytes(document []byte, kind Kind) (record.Record, error) {
	p.inner.ResetBytes(document)
	p.readInner()
	return p.project(kind)
}

// readValue leaves the value in p.object.
func (p *Projector) readValue(s *scan.Scanner) error {
	if kind, err := s.Next(); err != nil {
		return err
	} else if kind != scan.String {
		return p.object.read(s)
	}
	return s.Base64(func(r io.Reader) {
		p.inner.Reset(r)
		p.readInner()
	})
}

func (p *Projector) readInner() {
	if p.object.read(p.inner) != nil || p.inner.End() != nil {
		p.object.broken = true
	}
}

// project makes the record of the object that was read last.
func (p *Projector) project(kind Kind) (record.Record, error) {
	o := &p.object
	if kind == "" {
		kind = o.ownKind()
	}
	switch {
	case o.broken:
		return nil, errValue
	case kind == "":
		return nil, nil
	case o.misshapen():
		return nil, errShape
	}
	uid, err := telemetry.ParseUID(o.metadata.uid.bytes)
	if err != nil {
		return nil, errUID
	}
	switch kind {
	case KindPipelineRun:
		return p.pipelineRun(o, uid)
	case KindComponent:
		return p.component(o, uid)
	case KindNamespace:
		return p.namespace(o, uid)
	case KindInstallation:
		return p.installation(o, uid)
	default:
		return nil, nil
	}
}

// unknownNamespace is the name whose pseudonym stands for no namespace.
const unknownNamespace = "unknown"

// scope returns the name of the object's namespace.
func (o *object) scope() ([]byte, error) {
	switch namespace := &o.metadata.namespace; {
	case namespace.bad:
		return nil, errNamespace
	case len(namespace.bytes) == 0:
		return []byte(unknownNamespace), nil
	default:
		return namespace.bytes, nil
	}
}

// needed is the time in t, which has to be there.
func (t *text) needed() (time.Time, error) {
	at, err := t.time()
	if err == nil && at.IsZero() {
		err = errTime
	}
	return at, err
}
