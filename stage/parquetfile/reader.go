// SPDX-License-Identifier: Apache-2.0

package parquetfile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// ErrMalformed says that bytes are not a file of events that this release can
// read.
var ErrMalformed = errors.New("malformed file of events")

// readBufferBytes is how much of a column is read at once, which is one request
// when the file lies in a bucket.
const readBufferBytes = 256 << 10

// Tracks yields the events of a file as track calls, in the order of the file, and
// ends with the first error. Columns that this release does not know are left
// alone. A payload is the caller's to keep.
func Tracks(r io.ReaderAt, size int64) iter.Seq2[telemetry.Track, error] {
	return func(yield func(telemetry.Track, error) bool) {
		err := scan(r, size, []string{columnMessageID, columnEvent, columnTimestamp, columnPayload}, func(row parquet.Row) bool {
			return yield(telemetry.Track{
				MessageID: string(row[0].ByteArray()),
				Event:     string(row[1].ByteArray()),
				Time:      time.UnixMicro(row[2].Int64()).UTC(),
				Payload:   append([]byte(nil), row[3].ByteArray()...),
			}, nil)
		})
		if err != nil {
			yield(telemetry.Track{}, err)
		}
	}
}

// MessageIDs yields the message IDs of a file, in the order of the file, and ends
// with the first error. It reads that column and the footer alone. An ID is valid
// until the next.
func MessageIDs(r io.ReaderAt, size int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		err := scan(r, size, []string{columnMessageID}, func(row parquet.Row) bool {
			return yield(row[0].ByteArray(), nil)
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// scan passes the values of the named columns to visit, row by row, until visit
// returns false.
func scan(r io.ReaderAt, size int64, names []string, visit func(parquet.Row) bool) error {
	file, err := open(r, size)
	if err != nil {
		return err
	}
	columns := make([]int, len(names))
	for i, name := range names {
		leaf, ok := file.Schema().Lookup(name)
		kind := parquet.ByteArray
		if name == columnTimestamp {
			kind = parquet.Int64
		}
		if !ok || !leaf.Node.Required() || leaf.Node.Type().Kind() != kind {
			return fmt.Errorf("%w: column %q is missing or of another type", ErrMalformed, name)
		}
		columns[i] = leaf.ColumnIndex
	}
	return eachRow(file, columns, func(row parquet.Row) (bool, error) { return visit(row), nil })
}

// A file is an opened file.
type file struct {
	*parquet.File
	source *source
}

// open reads the footer, and with it the end of the file.
func open(r io.ReaderAt, size int64) (*file, error) {
	f := &file{source: &source{reader: r, tailAt: max(0, size-readBufferBytes)}}
	tail := make([]byte, size-f.source.tailAt)
	if n, err := f.source.ReadAt(tail, f.source.tailAt); n < len(tail) {
		return nil, fmt.Errorf("read Parquet: %w", cmp.Or(f.source.err, err))
	}
	f.source.tail = tail
	// The library would make room for whatever the length of the footer says.
	if size < 12 || int64(binary.LittleEndian.Uint32(tail[len(tail)-8:])) > size-12 {
		return nil, fmt.Errorf("%w: it is too short", ErrMalformed)
	}
	err := f.source.guard(func() (err error) {
		f.File, err = parquet.OpenFile(f.source, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true),
			parquet.ReadBufferSize(readBufferBytes))
		return err
	})
	if err != nil {
		return nil, err
	}
	if version, _ := f.Lookup(metadataFormat); version != format {
		return nil, fmt.Errorf("%w: its format is not %s: use the release that wrote it, or a later one", ErrMalformed, format)
	}
	return f, nil
}

// eachRow passes the values of the columns of each row to visit, until it returns
// false or an error. The values are valid until visit returns.
func eachRow(file *file, columns []int, visit func(parquet.Row) (bool, error)) error {
	rows := make([]parquet.Row, batchRows)
	for _, group := range file.RowGroups() {
		all := group.ColumnChunks()
		chunks := make([]parquet.ColumnChunk, len(columns))
		for i, column := range columns {
			chunks[i] = all[column]
		}
		var reader parquet.RowReadSeekCloser
		open := func() error { reader = parquet.NewColumnChunkRowReader(chunks); return nil }
		if err := file.source.guard(open); err != nil {
			return err
		}
		more, err := eachRowOf(file, reader, rows, group.NumRows(), len(columns), visit)
		if closeErr := file.source.guard(reader.Close); err == nil {
			err = closeErr
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func eachRowOf(file *file, reader parquet.RowReader, rows []parquet.Row, want int64, width int, visit func(parquet.Row) (bool, error)) (more bool, err error) {
	var seen int64
	for end := false; !end; {
		var n int
		err := file.source.guard(func() (err error) {
			if n, err = reader.ReadRows(rows); errors.Is(err, io.EOF) {
				end, err = true, nil
			}
			return err
		})
		if err != nil {
			return false, err
		}
		if n == 0 && !end {
			return false, fmt.Errorf("%w: a column ends early", ErrMalformed)
		}
		for _, row := range rows[:n] {
			if len(row) != width {
				return false, fmt.Errorf("%w: its columns have different lengths", ErrMalformed)
			}
			if more, err := visit(row); err != nil || !more {
				return false, err
			}
		}
		seen += int64(n)
	}
	if seen != want {
		return false, fmt.Errorf("%w: it has %d rows where it says %d", ErrMalformed, seen, want)
	}
	return true, nil
}

// A source remembers the first error of the underlying reader, to tell bytes that
// could not be read from bytes that are not Parquet.
type source struct {
	reader io.ReaderAt
	err    error
	tail   []byte // the end of the file, from tailAt on
	tailAt int64
}

// ReadAt implements io.ReaderAt.
func (s *source) ReadAt(b []byte, offset int64) (int, error) {
	if offset < 0 { // a malformed file says so
		return 0, ErrMalformed
	}
	if s.tail != nil && offset >= s.tailAt {
		return bytes.NewReader(s.tail).ReadAt(b, offset-s.tailAt)
	}
	n, err := s.reader.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) && s.err == nil {
		s.err = err
	}
	return n, err
}

// guard runs a step of the Parquet library. The library may panic at bytes that
// are not Parquet, and its errors may quote them: neither passes on.
func (s *source) guard(step func() error) (err error) {
	defer func() {
		if recover() != nil || err != nil {
			err = fmt.Errorf("%w: it cannot be decoded", ErrMalformed)
			if s.err != nil {
				err = fmt.Errorf("read Parquet: %w", s.err)
			}
		}
	}()
	return step()
}
