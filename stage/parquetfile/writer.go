// SPDX-License-Identifier: Apache-2.0

package parquetfile

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Writer writes events to one file. They must be written in ascending order of
// name, time and message ID. The same events make the same bytes. It is not safe
// for concurrent use.
type Writer struct {
	schema  *Schema
	library telemetry.Library
	parquet *parquet.GenericWriter[any]
	nulls   parquet.Row // a row without values

	rows  [batchRows]parquet.Row // of which the first n wait to be written
	n     int
	bytes []byte // what the values of those rows refer to
}

// batchRows is how many rows go to the Parquet writer at once.
const batchRows = 64

// NewWriter returns a Writer to w; library is who sends the events.
func NewWriter(w io.Writer, schema *Schema, library telemetry.Library) *Writer {
	nulls := make(parquet.Row, schema.width)
	for i := range nulls {
		nulls[i] = parquet.NullValue().Level(0, 0, i)
	}
	return &Writer{
		schema: schema, library: library, nulls: nulls,
		parquet: parquet.NewGenericWriter[any](w, options(schema.parquet, schema.plan.Hash())...),
		bytes:   make([]byte, 0, batchRows*1024),
	}
}

// Write appends one event.
func (w *Writer) Write(e *telemetry.Event) error {
	row := append(w.rows[w.n][:0], w.nulls...)
	row[0] = w.text(e.MessageID).Level(0, 0, 0)
	row[1] = w.text(e.Name).Level(0, 0, 1)
	row[2] = parquet.Int64Value(e.Time.UnixMicro()).Level(0, 0, 2)
	for _, p := range e.Properties {
		column, ok := w.schema.columns[p.Name]
		if !ok {
			return fmt.Errorf("write Parquet: property %q is not in the plan", p.Name)
		}
		if column != noColumn && !p.Value.IsNull() {
			row[column] = w.value(p.Value).Level(0, 1, column)
		}
	}
	start := len(w.bytes)
	w.bytes = e.AppendTrack(w.bytes, w.library)
	last := w.schema.width - 1
	row[last] = parquet.ByteArrayValue(w.bytes[start:]).Level(0, 0, last)

	w.rows[w.n] = row
	if w.n++; w.n == batchRows {
		return w.flush()
	}
	return nil
}

func (w *Writer) flush() error {
	_, err := w.parquet.WriteRows(w.rows[:w.n])
	w.n, w.bytes = 0, w.bytes[:0]
	if err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	return nil
}

// Close writes what is left and the end of the file. It does not close the
// underlying writer.
func (w *Writer) Close() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.parquet.Close(); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	return nil
}

func (w *Writer) value(v telemetry.Value) parquet.Value {
	switch v.Type() {
	case telemetry.TypeInteger:
		return parquet.Int64Value(v.Integer())
	case telemetry.TypeBoolean:
		return parquet.BooleanValue(v.Integer() == 1)
	case telemetry.TypeTime:
		return parquet.Int64Value(v.Integer() * 1_000_000)
	case telemetry.TypePseudonym:
		start := len(w.bytes)
		w.bytes = v.AppendJSON(w.bytes)
		return parquet.ByteArrayValue(w.bytes[start+1 : len(w.bytes)-1]) // without the quotes
	case telemetry.TypeEnum, telemetry.TypeVersion:
		return w.text(v.String())
	default:
		return w.text(v.String())
	}
}

// text copies s to where it stays until the rows are written. When bytes grows,
// what was there stays where it is.
func (w *Writer) text(s string) parquet.Value {
	start := len(w.bytes)
	w.bytes = append(w.bytes, s...)
	return parquet.ByteArrayValue(w.bytes[start:])
}
