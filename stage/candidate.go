// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// While it is being staged, an event is a row: bytes that sort by event, time and
// message ID.
//
//	name 0 time(8) id 0 event
//
// A candidate is a row, or the ID of a committed event, as bytes that sort by
// message ID, the committed one first, then the copy with the most tasks.
//
//	id 0 0
//	id 0 1 tasks(8, inverted) row
//
// Names and IDs have no zero byte: Plan.Check sees to that.
const (
	markCommitted = 0
	markCopy      = 1
)

func appendCommitted[T ~string | ~[]byte](b []byte, id T) []byte {
	return append(append(b, id...), 0, markCommitted)
}

func appendCandidate(b []byte, e *telemetry.Event) ([]byte, error) {
	var tasks int64
	for _, p := range e.Properties {
		if p.Name == catalogue.TaskCount {
			tasks = p.Value.Integer()
		}
	}
	b = append(append(b, e.MessageID...), 0, markCopy)
	b = binary.BigEndian.AppendUint64(b, ^uint64(tasks))
	return appendRow(b, e)
}

// parseCandidate returns the ID, and the row unless the ID is that of a committed
// event.
func parseCandidate(b []byte) (id, row []byte) {
	id, rest, _ := bytes.Cut(b, []byte{0})
	if len(rest) < 9 || rest[0] != markCopy {
		return id, nil
	}
	return id, rest[9:]
}

func appendRow(b []byte, e *telemetry.Event) ([]byte, error) {
	b = append(append(b, e.Name...), 0)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.Unix()))
	b = append(append(b, e.MessageID...), 0)
	rest := *e
	rest.Name, rest.MessageID = "", "" // they are in the key
	return rest.AppendBinary(b)
}

// rowTime returns the time of the event in a row.
func rowTime(row []byte) time.Time {
	seconds := row[bytes.IndexByte(row, 0)+1:]
	return time.Unix(int64(binary.BigEndian.Uint64(seconds)), 0).UTC()
}

var errRow = errors.New("a temporary file is damaged")

// parseRow reads a row into e, reusing what the row before it left there.
func parseRow(b []byte, e *telemetry.Event) error {
	name, rest, ok := bytes.Cut(b, []byte{0})
	if !ok || len(rest) < 8 {
		return errRow
	}
	seconds := binary.BigEndian.Uint64(rest)
	id, event, ok := bytes.Cut(rest[8:], []byte{0})
	was := e.Name
	if !ok || e.UnmarshalBinary(event) != nil {
		return errRow
	}
	if e.Name = was; string(name) != was {
		e.Name = string(name)
	}
	e.MessageID, e.Time = string(id), time.Unix(int64(seconds), 0).UTC()
	return nil
}
