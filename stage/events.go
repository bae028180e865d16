// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// Tracks yields the events of a batch, in the order of the file, and ends with the
// first error. The first event comes only after the whole file has proved to be
// the one that the manifest means; the error is [ErrCorrupt] when it is not.
func (l *Ledger) Tracks(ctx context.Context, m *Manifest) iter.Seq2[telemetry.Track, error] {
	return func(yield func(telemetry.Track, error) bool) {
		f := m.Files[0]
		data, err := l.fetch(ctx, f)
		if err != nil {
			yield(telemetry.Track{}, err)
			return
		}
		defer data.Close()
		var rows int64
		for track, err := range parquetfile.Tracks(data, f.Size) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(telemetry.Track{}, unreadable(f, err))
				return
			}
			if rows++; !yield(track, nil) {
				return
			}
		}
		if err := f.checkRows(rows); err != nil {
			yield(telemetry.Track{}, err)
		}
	}
}

// A Rejection is an event that a destination refuses for good.
type Rejection struct {
	MessageID string
	// Reason is in the program's own words.
	Reason string
}

// Reject writes the rejected events of a batch where they can be looked into: the
// same columns as in the batch, and the reason. The file belongs into the receipt;
// it is nil when there are no rows.
func (l *Ledger) Reject(ctx context.Context, destination string, m *Manifest, rows []Rejection) (_ *File, err error) {
	if err := checkDestination(destination); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, nil
	}
	reasons := make(map[string]string, len(rows))
	for _, r := range rows {
		reasons[r.MessageID] = r.Reason
	}
	data, err := l.fetch(ctx, m.Files[0])
	if err != nil {
		return nil, err
	}
	defer data.Close()
	temp, err := createTemp(l.options.WorkDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, temp.close()) }()
	n, err := parquetfile.CopyRejected(temp, data, m.Files[0].Size, func(id string) (string, bool) {
		reason, ok := reasons[id]
		return reason, ok
	})
	if err != nil {
		return nil, unreadable(m.Files[0], err)
	}
	if n != int64(len(rows)) {
		return nil, fmt.Errorf("write rejected events: %d of %d are in batch %s", n, len(rows), m.Batch)
	}
	f := File{Key: m.ID().rejectedKey(destination, temp.sum()), Size: temp.size, SHA256: temp.sum(), Rows: n}
	if err := l.putNew(ctx, f, temp); err != nil {
		return nil, err
	}
	return &f, nil
}

// A readAtCloser is the verified content of a file.
type readAtCloser interface {
	io.ReaderAt
	io.Closer
}

// inMemory is up to which size a file is verified in memory. A larger one goes
// through a temporary file.
const inMemory = 2 << 20

// fetch copies a file out of the bucket, so that what is read is what was
// verified.
func (l *Ledger) fetch(ctx context.Context, f File) (readAtCloser, error) {
	object, err := l.open(ctx, f)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	if f.Size <= inMemory {
		var b bytes.Buffer
		b.Grow(int(f.Size))
		if err := copyVerified(&b, object, f); err != nil {
			return nil, err
		}
		return nopCloser{bytes.NewReader(b.Bytes())}, nil
	}
	temp, err := createTemp(l.options.WorkDir)
	if err != nil {
		return nil, err
	}
	if err := copyVerified(temp.file, object, f); err != nil {
		return nil, errors.Join(err, temp.close())
	}
	return removing{temp.file, temp}, nil
}

func (f File) checkRows(rows int64) error {
	if rows != f.Rows {
		return corrupt("read events", f.Key, fmt.Errorf("it has %d rows and its manifest says %d", rows, f.Rows))
	}
	return nil
}

func unreadable(f File, err error) error {
	if errors.Is(err, parquetfile.ErrMalformed) {
		return corrupt("read events", f.Key, err)
	}
	return fmt.Errorf("read events: %w", err)
}

type nopCloser struct{ io.ReaderAt }

func (nopCloser) Close() error { return nil }

type removing struct {
	io.ReaderAt
	temp *tempFile
}

func (r removing) Close() error { return r.temp.close() }
