// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"bytes"
	"errors"
	"time"

	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// ListMeta is what is read of a list besides its items.
type ListMeta struct {
	// Continue asks for the next page; empty on the last one. It holds names: it goes
	// back to the server and nowhere else.
	Continue string
}

// ReadList reads a list of Kubernetes objects (a whole document) and calls each for
// each item as soon as it is read, with what ReadObject returns for it. The error is
// that of each, or says that the stream is broken.
func (p *Projector) ReadList(s *scan.Scanner, kind Kind, each func(record.Record, error) error) (ListMeta, error) {
	var list ListMeta
	var bad bool
	err := members(s, &bad, func(key []byte) error {
		switch string(key) {
		case "items":
			return elements(s, &bad, func() error {
				r, err := p.ReadObject(s, kind)
				if err != nil && !errors.Is(err, ErrInvalid) {
					return err
				}
				return each(r, err)
			})
		case "metadata":
			return members(s, &bad, func(key []byte) error {
				if string(key) != "continue" {
					return s.Skip()
				}
				return token(s, &list.Continue, &bad)
			})
		default:
			return s.Skip()
		}
	})
	if err == nil && bad {
		err = errList
	}
	return list, err
}

// A Row is one record of Tekton Results.
type Row struct {
	// Record and Err are what ReadObject returns for the stored object.
	Record record.Record
	Err    error
	// Updated is when the row was last written; zero if that was not asked for.
	Updated time.Time
}

// ReadRows reads a page of Tekton Results (a whole document of the REST API) and calls
// each for each row. It returns the token of the next page, empty on the last
// one. Errors are those of ReadList.
func (p *Projector) ReadRows(s *scan.Scanner, each func(Row) error) (next string, err error) {
	var bad bool
	err = members(s, &bad, func(key []byte) error {
		switch string(key) {
		case "records":
			return elements(s, &bad, func() error {
				row, err := p.readRow(s)
				if err != nil {
					return err
				}
				return each(row)
			})
		case "next_page_token", "nextPageToken":
			return token(s, &next, &bad)
		default:
			return s.Skip()
		}
	})
	if err == nil && bad {
		err = errList
	}
	return next, err
}

var errList = errors.New("answer is JSON but not a list")

// readRow reads one row. The error is about the stream.
func (p *Projector) readRow(s *scan.Scanner) (Row, error) {
	kind, updated := &p.row.kind, &p.row.updated
	kind.reset()
	updated.reset()
	p.object.reset()
	var bad bool
	err := members(s, &bad, func(key []byte) error {
		switch string(key) {
		case "data":
			return members(s, &bad, func(key []byte) error {
				switch string(key) {
				case "type":
					return kind.read(s)
				case "value":
					return p.readValue(s)
				default:
					return s.Skip()
				}
			})
		case "update_time", "updateTime":
			return updated.read(s)
		default:
			return s.Skip()
		}
	})
	if err != nil {
		return Row{}, err
	}
	var row Row
	if row.Updated, err = updated.time(); err != nil {
		bad = true
	}
	if bad {
		row.Err = errShape
		return row, nil
	}
	row.Record, row.Err = p.project(kindOfRow(kind.bytes))
	return row, nil
}

// kindOfRow returns the kind that is stored in a row of a type such as
// "tekton.dev/v1.PipelineRun".
func kindOfRow(dataType []byte) Kind {
	dot := bytes.LastIndexByte(dataType, '.')
	if dot < 0 {
		return ""
	}
	return KindOf(dataType[:dot], dataType[dot+1:])
}

// token reads an opaque token that has to be given back whole.
func token(s *scan.Scanner, into *string, bad *bool) error {
	var t text
	err := t.read(s)
	*into, *bad = string(t.bytes), *bad || t.bad
	return err
}
