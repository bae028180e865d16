// SPDX-License-Identifier: Apache-2.0

package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Merger copies the rows of several files with the same columns into one file:
// Read gives rows as bytes that sort as a file is sorted, Write takes them in that
// order. It does not sort, and holds one row in memory. What was written at once
// and what was merged from parts are the same bytes. It is not safe for concurrent
// use.
type Merger struct {
	schema  *parquet.Schema // nil before the first Read
	text    string
	plan    string
	columns []column
	where   [3]int // the columns event, timestamp and message_id
	row     parquet.Row
	buf     []byte
	writer  *parquet.GenericWriter[any]
}

type column struct {
	kind  parquet.Kind
	level int // 1 where a null is allowed
}

// Read passes each row of a file to emit. The bytes are valid until emit returns:
//
//	event 0 time(8) id 0 {0 | 1 length value}... length of what is before the values(4)
func (m *Merger) Read(r io.ReaderAt, size int64, emit func(row []byte) error) error {
	file, err := open(r, size)
	if err != nil {
		return err
	}
	if err := m.adopt(file); err != nil {
		return err
	}
	all := make([]int, len(m.columns))
	for i := range all {
		all[i] = i
	}
	return eachRow(file, all, func(row parquet.Row) (bool, error) {
		b := append(append(m.buf[:0], row[m.where[0]].ByteArray()...), 0)
		b = binary.BigEndian.AppendUint64(b, uint64(row[m.where[1]].Int64())^1<<63)
		b = append(append(b, row[m.where[2]].ByteArray()...), 0)
		key := len(b)
		for _, v := range row {
			if v.IsNull() {
				b = append(b, 0)
				continue
			}
			value := v.Bytes()
			b = binary.AppendUvarint(append(b, 1), uint64(len(value)))
			b = append(b, value...)
		}
		m.buf = binary.BigEndian.AppendUint32(b, uint32(key))
		return true, emit(m.buf)
	})
}

// adopt takes the columns of the first file, and compares those of the others.
func (m *Merger) adopt(file *file) error {
	plan, _ := file.Lookup(metadataPlan)
	if m.schema != nil {
		if file.Schema().String() != m.text || plan != m.plan {
			return errors.New("merge Parquet: the files were written by different plans and cannot become one")
		}
		return nil
	}
	g := newGroup()
	var columns []column
	where := map[string]int{}
	for i, field := range file.Schema().Fields() {
		var c column
		if field.Leaf() {
			c.kind = field.Type().Kind()
		}
		if known := c.kind == parquet.ByteArray || c.kind == parquet.Int64 || c.kind == parquet.Boolean; !known || !field.Leaf() || field.Repeated() {
			return fmt.Errorf("%w: column %q is not one of ours", ErrMalformed, field.Name())
		}
		if field.Optional() {
			c.level = 1
		}
		columns = append(columns, c)
		where[field.Name()] = i
		g.add(field.Name(), copyOf(field))
	}
	for i, name := range []string{columnEvent, columnTimestamp, columnMessageID} {
		kind := parquet.ByteArray
		if name == columnTimestamp {
			kind = parquet.Int64
		}
		at, ok := where[name]
		if !ok || columns[at] != (column{kind: kind}) {
			return fmt.Errorf("%w: column %q is missing or of another type", ErrMalformed, name)
		}
		m.where[i] = at
	}
	m.schema, m.text, m.plan, m.columns = g.schema(), file.Schema().String(), plan, columns
	m.row = make(parquet.Row, len(columns))
	return nil
}

var errMergedRow = errors.New("merge Parquet: a temporary file is damaged")

// Write appends a row that Read gave to the file that goes to w, which is the same
// in every call, and returns its event, without properties.
func (m *Merger) Write(w io.Writer, row []byte) (telemetry.Event, error) {
	if m.writer == nil {
		m.writer = parquet.NewGenericWriter[any](w, options(m.schema, m.plan)...)
	}
	if err := m.parse(row); err != nil {
		return telemetry.Event{}, err
	}
	e := telemetry.Event{
		Name: string(m.row[m.where[0]].ByteArray()), MessageID: string(m.row[m.where[2]].ByteArray()),
		Time: time.UnixMicro(m.row[m.where[1]].Int64()).UTC(),
	}
	if _, err := m.writer.WriteRows([]parquet.Row{m.row}); err != nil {
		return telemetry.Event{}, fmt.Errorf("merge Parquet: %w", err)
	}
	return e, nil
}

// parse reads the values of a row.
func (m *Merger) parse(b []byte) error {
	end := len(b) - 4
	if end < 0 {
		return errMergedRow
	}
	key := int(binary.BigEndian.Uint32(b[end:]))
	if key > end {
		return errMergedRow
	}
	b = b[key:end]
	for i, c := range m.columns {
		if len(b) == 0 {
			return errMergedRow
		}
		present := b[0] == 1
		b = b[1:]
		if !present {
			m.row[i] = parquet.NullValue().Level(0, 0, i)
			continue
		}
		n, head := binary.Uvarint(b)
		if head <= 0 || n > uint64(len(b)-head) || c.kind == parquet.Int64 && n != 8 || c.kind == parquet.Boolean && n != 1 {
			return errMergedRow
		}
		m.row[i] = c.kind.Value(b[head:head+int(n)]).Level(0, c.level, i)
		b = b[head+int(n):]
	}
	return nil
}

// Close writes the end of the file. It does not close the underlying writer.
func (m *Merger) Close() error {
	if m.writer == nil {
		return errors.New("merge Parquet: there are no rows")
	}
	if err := m.writer.Close(); err != nil {
		return fmt.Errorf("merge Parquet: %w", err)
	}
	return nil
}
