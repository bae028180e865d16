// SPDX-License-Identifier: Apache-2.0

package parquetfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// CopyRejected copies the rows of a file for which reason returns a text to w, as a
// file with the same columns and one more, reason. It returns the number of rows.
func CopyRejected(w io.Writer, r io.ReaderAt, size int64, reason func(messageID string) (string, bool)) (int64, error) {
	file, err := open(r, size)
	if err != nil {
		return 0, err
	}
	g := newGroup()
	id := -1
	var columns []int
	for i, field := range file.Schema().Fields() {
		if !field.Leaf() || field.Repeated() || field.Name() == columnReason {
			return 0, fmt.Errorf("%w: column %q is not one of ours", ErrMalformed, field.Name())
		}
		if field.Name() == columnMessageID {
			id = i
		}
		g.add(field.Name(), copyOf(field))
		columns = append(columns, i)
	}
	if id < 0 {
		return 0, fmt.Errorf("%w: column %q is missing", ErrMalformed, columnMessageID)
	}
	g.add(columnReason, words(parquet.String()))

	plan, _ := file.Lookup(metadataPlan)
	writer := parquet.NewGenericWriter[any](w, options(g.schema(), plan)...)
	var n int64
	err = eachRow(file, columns, func(row parquet.Row) (bool, error) {
		why, ok := reason(string(row[id].ByteArray()))
		if !ok {
			return true, nil
		}
		n++
		_, err := writer.WriteRows([]parquet.Row{append(row, parquet.ByteArrayValue([]byte(why)).Level(0, 0, len(columns)))})
		return true, err
	})
	if err := errors.Join(err, writer.Close()); err != nil {
		return 0, fmt.Errorf("write rejected events: %w", err)
	}
	return n, nil
}

// copyOf returns a column like the field.
func copyOf(field parquet.Field) parquet.Node {
	n := parquet.Leaf(field.Type())
	if field.Type().String() == parquet.Int(64).Type().String() {
		n = parquet.Leaf(parquet.Int64Type) // which is read back as if it said so in two ways
	}
	switch {
	case field.Name() == columnMessageID || field.Name() == columnPayload:
		n = plain(n)
	case field.Type().Kind() == parquet.ByteArray:
		n = words(n)
	}
	if field.Optional() {
		n = parquet.Optional(n)
	}
	return n
}
