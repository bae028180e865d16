// SPDX-License-Identifier: Apache-2.0

package parquetfile

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Reader reads a file cell by cell: for those who check what is in it. It is not safe
// for concurrent use.
type Reader struct {
	file *file
	// Plan is the hash of the plan that the file was written by, as it says.
	Plan string
	// Columns in the order of the file.
	Columns []Column
	// The columns that every file has, as indexes of Columns; Reason is -1 unless the file
	// is one of rejected events.
	MessageID, Event, Timestamp, Payload, Reason int
}

// A Column is a column of a file.
type Column struct {
	Name string
	Type ColumnType
	// Optional columns may be null.
	Optional bool
}

// A ColumnType is what a column holds.
type ColumnType int

// The types of columns.
const (
	TextColumn ColumnType = iota
	IntegerColumn
	BooleanColumn
	// TimeColumn has microseconds since 1970.
	TimeColumn
)

// ColumnOf returns the column that a property of the plan has in a file.
func ColumnOf(p *telemetry.PropertySpec) Column {
	types := map[telemetry.Type]ColumnType{
		telemetry.TypeInteger: IntegerColumn, telemetry.TypeBoolean: BooleanColumn, telemetry.TypeTime: TimeColumn,
	}
	return Column{snake(p.Name), types[p.Type], true}
}

// NewReader opens a file. The error is [ErrMalformed] if it is not one, or if a column
// is of a type that no file has.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	file, err := open(r, size)
	if err != nil {
		return nil, err
	}
	reader := &Reader{file: file, MessageID: -1, Event: -1, Timestamp: -1, Payload: -1, Reason: -1}
	reader.Plan, _ = file.Lookup(metadataPlan)
	for i, field := range file.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return nil, fmt.Errorf("%w: column %d is not a plain one", ErrMalformed, i+1)
		}
		c := Column{Name: field.Name(), Optional: field.Optional()}
		switch kind, text := field.Type().Kind(), field.Type().String(); {
		case kind == parquet.ByteArray:
		case kind == parquet.Boolean:
			c.Type = BooleanColumn
		case kind == parquet.Int64 && strings.HasPrefix(text, "TIMESTAMP"):
			c.Type = TimeColumn
		case kind == parquet.Int64:
			c.Type = IntegerColumn
		default:
			return nil, fmt.Errorf("%w: column %d is of another type than text, integer, boolean and time", ErrMalformed, i+1)
		}
		reader.Columns = append(reader.Columns, c)
		switch c {
		case Column{Name: columnMessageID}:
			reader.MessageID = i
		case Column{Name: columnEvent}:
			reader.Event = i
		case Column{columnTimestamp, TimeColumn, false}:
			reader.Timestamp = i
		case Column{Name: columnPayload}:
			reader.Payload = i
		case Column{Name: columnReason}:
			reader.Reason = i
		}
	}
	if min(reader.MessageID, reader.Event, reader.Timestamp, reader.Payload) < 0 {
		return nil, fmt.Errorf("%w: message_id, event, timestamp or payload is missing or of another type", ErrMalformed)
	}
	return reader, nil
}

// A Row is a row of a file. Its values are valid until the next.
type Row struct{ values parquet.Row }

// Null reports whether the column is null in this row.
func (r Row) Null(column int) bool { return r.values[column].IsNull() }

// Text returns the value of a TextColumn.
func (r Row) Text(column int) []byte { return r.values[column].ByteArray() }

// Integer returns the value of an IntegerColumn or a TimeColumn.
func (r Row) Integer(column int) int64 { return r.values[column].Int64() }

// Boolean returns the value of a BooleanColumn.
func (r Row) Boolean(column int) bool { return r.values[column].Boolean() }

// Rows passes each row to visit, in the order of the file, until visit returns an error.
func (r *Reader) Rows(visit func(Row) error) error {
	all := make([]int, len(r.Columns))
	for i := range all {
		all[i] = i
	}
	return eachRow(r.file, all, func(row parquet.Row) (bool, error) { return true, visit(Row{row}) })
}

// maxIndex bounds what Index returns.
const maxIndex = 64 << 20

// Index returns what follows the columns in the file: indexes, statistics, schema and
// metadata, with the texts in them as they are.
func (r *Reader) Index() ([]byte, error) {
	var end int64
	for i := range r.file.Metadata().RowGroups {
		for _, c := range r.file.Metadata().RowGroups[i].Columns {
			start := c.MetaData.DataPageOffset
			if c.MetaData.DictionaryPageOffset > 0 {
				start = min(start, c.MetaData.DictionaryPageOffset)
			}
			end = max(end, start+c.MetaData.TotalCompressedSize)
		}
	}
	size := r.file.Size() - end
	if end < 0 || size < 0 || size > maxIndex {
		return nil, fmt.Errorf("%w: its index has an impossible size", ErrMalformed)
	}
	index := make([]byte, size)
	if _, err := r.file.source.ReadAt(index, end); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read Parquet: %w", err)
	}
	return index, nil
}
