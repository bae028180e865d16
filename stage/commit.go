// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/stage/extsort"
	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A dataFile is the data of a batch in a temporary file, and what the manifest
// says about it.
type dataFile struct {
	*tempFile
	rows             int64
	events           map[string]int64
	minTime, maxTime time.Time
	once             []string // message IDs of events that happen once per object
	heartbeat        time.Time
}

// writeData writes the rows to a temporary file: the name of the object contains
// the hash of its content.
func (l *Ledger) writeData(ctx context.Context, schema *parquetfile.Schema, rows *extsort.Sorter) (_ *dataFile, err error) {
	temp, err := createTemp(l.options.WorkDir)
	if err != nil {
		return nil, err
	}
	data := &dataFile{tempFile: temp, events: map[string]int64{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, data.close())
		}
	}()
	w := parquetfile.NewWriter(temp, schema, l.options.Library)
	ids := idSum{Hash: sha256.New()}
	var e telemetry.Event
	for row, err := range rows.Sorted() {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
		if err := parseRow(row, &e); err != nil {
			return nil, err
		}
		if err := w.Write(&e); err != nil {
			return nil, err
		}
		addID(&ids, e.MessageID)
		data.count(&e, l.options.Plan.Event(e.Name).OncePerObject)
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return data, data.verify(ids.Sum(nil))
}

func (d *dataFile) count(e *telemetry.Event, once bool) {
	d.rows++
	d.events[e.Name]++
	if d.rows == 1 || e.Time.Before(d.minTime) {
		d.minTime = e.Time
	}
	d.maxTime = later(d.maxTime, e.Time)
	if once {
		d.once = append(d.once, e.MessageID)
	}
	if e.Name == catalogue.Heartbeat {
		d.heartbeat = later(d.heartbeat, e.Time)
	}
}

// verify reads the file back: it must hold all the events, whatever the library
// that wrote it says.
func (d *dataFile) verify(want []byte) error {
	ids := idSum{Hash: sha256.New()}
	var rows int64
	for id, err := range parquetfile.MessageIDs(d.file, d.size) {
		if err != nil {
			return fmt.Errorf("read data back: %w", err)
		}
		addID(&ids, id)
		rows++
	}
	if rows != d.rows || !bytes.Equal(ids.Sum(nil), want) {
		return fmt.Errorf("read data back: %d events were written and %d are there", d.rows, rows)
	}
	return nil
}

// An idSum is the hash of message IDs in their order.
type idSum struct {
	hash.Hash
	line []byte
}

func addID[T ~string | ~[]byte](s *idSum, id T) {
	s.line = append(append(s.line[:0], id...), '\n')
	s.Write(s.line)
}

// manifest describes the batch.
func (l *Ledger) manifest(report record.Report, past *history, data *dataFile, violations []ViolationCount) *Manifest {
	b := Batch{report.Cluster, batchName(report.Window.Until, data.sum())}
	if report.Slice {
		past = &history{ledger: l, coverage: Coverage{}, once: map[string]bool{}, damaged: past.damaged}
	}
	for _, id := range data.once {
		past.once[id] = true
	}
	past.coverage.read(report)
	return &Manifest{
		Format: Format, Producer: l.producer(), Cluster: b.Cluster, Batch: b.Name, Window: report.Window,
		Plan:   PlanID{l.options.Plan.Name, l.options.Plan.Hash()},
		Files:  []File{{Key: b.dataKey(), Size: data.size, SHA256: data.sum(), Rows: data.rows}},
		Events: data.events, MinTime: data.minTime, MaxTime: data.maxTime,
		Coverage:   past.coverage,
		Carried:    Carried{Once: slices.Sorted(maps.Keys(past.once)), Heartbeat: later(past.heartbeat, data.heartbeat)},
		Violations: violations, Extract: report, Damaged: past.open(report),
	}
}

// commit makes the batch exist. A crash or an error between any two steps leaves
// at most a data file that no manifest names; the same run again finds it and goes
// on from there.
func (l *Ledger) commit(ctx context.Context, data *dataFile, m *Manifest) (*Manifest, error) {
	file := m.Files[0]
	// The data goes first: a manifest must never name what is not there. The name
	// contains the hash, so an object that is there already is ours, from a run that
	// got no further or from a response that was lost.
	if err := l.putNew(ctx, file, data.tempFile); err != nil {
		return nil, err
	}
	// The manifest goes last and all at once: with it the batch exists, and coverage
	// moves on.
	text, err := encode(m)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	_, err = l.bucket.Put(ctx, m.ID().manifestKey(), bytes.NewReader(text), Condition{IfAbsent: true})
	if errors.Is(err, fs.ErrExist) {
		// Committed before, by a run on the same input or by ourselves with the response
		// lost. Its extract report may differ in how long things took.
		committed, err := l.Manifest(ctx, m.ID())
		if err != nil {
			return nil, err
		}
		if !slices.Equal(committed.Files, m.Files) {
			return nil, corrupt("write manifest", m.ID().manifestKey(), errors.New("it names other data than this run made"))
		}
		return committed, nil
	}
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	l.options.Logger.InfoContext(ctx, "batch is committed", "batch", m.Batch, "rows", file.Rows, "bytes", file.Size)
	return m, nil
}

// putNew writes a content-addressed object, unless it is there, and reads it back
// through the bucket before anything refers to it.
func (l *Ledger) putNew(ctx context.Context, f File, body *tempFile) error {
	put := func(condition Condition) error {
		_, err := l.bucket.Put(ctx, f.Key, io.NewSectionReader(body.file, 0, f.Size), condition)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("write data: %w", err)
		}
		return nil
	}
	if err := put(Condition{IfAbsent: true}); err != nil {
		return err
	}
	err := l.verify(ctx, f)
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	// Whatever is there does not fit its name, and what does is at hand.
	l.options.Logger.WarnContext(ctx, "damaged object is written anew", "key", f.Key, "error", err)
	if err := put(Condition{}); err != nil {
		return err
	}
	return l.verify(ctx, f)
}

// verify reads a file and fails with ErrCorrupt unless it is the one that is meant.
func (l *Ledger) verify(ctx context.Context, f File) error {
	object, err := l.open(ctx, f)
	if err != nil {
		return err
	}
	defer object.Close()
	return copyVerified(io.Discard, object, f)
}

// copyBytes is how much is read from a bucket at once.
const copyBytes = 1 << 20

// copyVerified copies a file that a manifest names to w and fails with ErrCorrupt
// unless it is the one that the manifest means. Of SHA256 the beginning is enough.
func copyVerified(w io.Writer, object Object, f File) error {
	sum := sha256.New()
	size := max(1, min(f.Size, copyBytes))
	// The struct hides WriterTo and ReaderFrom, which would choose their own sizes.
	from := struct{ io.Reader }{io.NewSectionReader(object, 0, f.Size)}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(w, sum)}, from, make([]byte, size))
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Key, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != f.Size || !strings.HasPrefix(got, f.SHA256) {
		return corrupt("verify data", f.Key, fmt.Errorf("its SHA-256 is %s and its manifest says %s", got, f.SHA256))
	}
	return nil
}

// A tempFile hashes and counts what is written to it.
type tempFile struct {
	file *os.File
	hash hash.Hash
	size int64
}

func createTemp(dir string) (*tempFile, error) {
	file, err := os.CreateTemp(dir, "segment-bridge-stage-*")
	if err != nil {
		return nil, fmt.Errorf("create temporary file: %w", err)
	}
	return &tempFile{file: file, hash: sha256.New()}, nil
}

func (t *tempFile) Write(b []byte) (int, error) {
	n, err := t.file.Write(b)
	t.hash.Write(b[:n])
	t.size += int64(n)
	return n, err
}

func (t *tempFile) sum() string { return hex.EncodeToString(t.hash.Sum(nil)) }

func (t *tempFile) close() error { return errors.Join(t.file.Close(), os.Remove(t.file.Name())) }
