// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"bytes"
	"fmt"

	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// maxNesting is how deeply lists may be nested in a document.
const maxNesting = 16

var (
	errNesting = fmt.Errorf("%w: lists are nested too deeply", ErrInvalid)
	errNoKind  = fmt.Errorf("%w: neither it nor its list, ahead of its items, states a kind", ErrInvalid)
)

// ReadDocument reads a document that may be an object, a list of objects, a page of
// Tekton Results, or an array of these, also nested. It calls each for each object
// with what ReadObject returns for it. The error is that of each, or says that the
// stream is broken.
func (p *Projector) ReadDocument(s *scan.Scanner, each func(record.Record, error) error) error {
	d := documents{projector: p, scanner: s, each: each}
	return d.read(listed{}, maxNesting)
}

// ReadDocumentBytes is ReadDocument for one document in memory, in which a list may
// state its kind behind its items.
func (p *Projector) ReadDocumentBytes(document []byte, each func(record.Record, error) error) error {
	d := documents{projector: p, scanner: scan.NewBytes(document), each: each}
	of, err := d.peek()
	if err != nil {
		return err
	}
	d.scanner.ResetBytes(document)
	return d.read(of, maxNesting)
}

type documents struct {
	projector *Projector
	scanner   *scan.Scanner
	each      func(record.Record, error) error
}

// listed is what a list says of its items that do not state a kind themselves.
type listed struct {
	kind Kind // empty if it is not collected
	item bool // there is a list
	said bool // it has said so
}

// peek reads what a list says of its items, and nothing else.
func (d *documents) peek() (listed, error) {
	o, s := &d.projector.object, d.scanner
	o.reset()
	err := members(s, &o.bad, func(key []byte) error {
		if k := string(key); k == "apiVersion" || k == "kind" {
			return o.member(s, key)
		}
		return s.Skip()
	})
	return o.listed(), err
}

// read reads a document or the item of a list.
func (d *documents) read(of listed, nesting int) error {
	o, s := &d.projector.object, d.scanner
	next, err := s.Next()
	switch {
	case err != nil:
		return err
	case nesting == 0:
		if err := s.Skip(); err != nil {
			return err
		}
		return d.each(nil, errNesting)
	case next == scan.Array:
		return s.Array(func() error { return d.read(of, nesting-1) })
	case next == scan.Null:
		return s.Skip()
	}
	o.reset()
	var list, bad bool
	err = members(s, &bad, func(key []byte) error {
		switch string(key) {
		case "items":
			list = true
			if found := o.listed(); found.said || !of.said {
				of = found
			}
			of.item = true
			return elements(s, &bad, func() error { return d.read(of, nesting-1) })
		case "records":
			list = true
			return elements(s, &bad, func() error {
				row, err := d.projector.readRow(s)
				if err != nil {
					return err
				}
				return d.each(row.Record, row.Err)
			})
		default:
			return o.member(s, key)
		}
	})
	switch {
	case err != nil:
		return err
	case bad:
		return d.each(nil, errShape)
	case list:
		return nil
	case o.kind.set:
		of = listed{}
	case of.item && !of.said:
		return d.each(nil, errNoKind)
	}
	r, err := d.projector.project(of.kind)
	return d.each(r, err)
}

// listed returns what the object says of its items, as far as it has been read.
func (o *object) listed() listed {
	kind, found := bytes.CutSuffix(o.kind.bytes, []byte("List"))
	if !found || len(kind) == 0 || o.kind.bad || !o.apiVersion.set {
		return listed{}
	}
	return listed{kind: KindOf(o.apiVersion.bytes, kind), said: true}
}
