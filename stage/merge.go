// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/segment-bridge/segment-bridge/stage/extsort"
	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// mergeFiles writes the rows of all files to one temporary file. It reads one file
// after the other and sorts outside memory: how many there are does not matter.
func (l *Ledger) mergeFiles(ctx context.Context, files []File) (_ *dataFile, err error) {
	rows := extsort.New(l.options.WorkDir, l.options.MemoryBytes)
	defer func() { err = errors.Join(err, rows.Close()) }()
	var merger parquetfile.Merger
	var want int64
	for _, f := range files {
		if err := l.readRows(ctx, &merger, f, rows); err != nil {
			return nil, err
		}
		want += f.Rows
	}
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
	ids := idSum{Hash: sha256.New()}
	for row, err := range rows.Sorted() {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
		e, err := merger.Write(temp, row)
		if err != nil {
			return nil, err
		}
		addID(&ids, e.MessageID)
		data.count(&e, false) // what happens once is in the manifests of the parts
	}
	if err := merger.Close(); err != nil {
		return nil, err
	}
	if data.rows != want {
		return nil, fmt.Errorf("merge events: %d of %d came out", data.rows, want)
	}
	return data, data.verify(ids.Sum(nil))
}

func (l *Ledger) readRows(ctx context.Context, merger *parquetfile.Merger, f File, rows *extsort.Sorter) error {
	data, err := l.fetch(ctx, f)
	if err != nil {
		return err
	}
	defer data.Close()
	var n int64
	err = merger.Read(data, f.Size, func(row []byte) error {
		n++
		return errors.Join(rows.Add(row), ctx.Err())
	})
	if err != nil {
		return unreadable(f, err)
	}
	return f.checkRows(n)
}

// mergedManifest describes the batch that is made of the parts, which end first
// first. It says what they say, and does not depend on when it is made.
func (l *Ledger) mergedManifest(parts []part, data *dataFile) *Manifest {
	report := mergedReport(parts)
	b := Batch{report.Cluster, mergedName(report.Window.Until, data.sum())}
	m := &Manifest{
		Format: Format, Producer: l.producer(), Cluster: b.Cluster, Batch: b.Name, Window: report.Window,
		Plan:   parts[0].manifest.Plan,
		Files:  []File{{Key: b.dataKey(), Size: data.size, SHA256: data.sum(), Rows: data.rows}},
		Events: data.events, MinTime: data.minTime, MaxTime: data.maxTime, Coverage: Coverage{}, Extract: report,
	}
	once := map[string]bool{}
	violations := map[telemetry.Violation]int64{}
	for _, p := range parts {
		m.Coverage.add(p.manifest.Coverage)
		m.Carried.Heartbeat = later(m.Carried.Heartbeat, p.manifest.Carried.Heartbeat)
		for _, id := range p.manifest.Carried.Once {
			once[id] = true
		}
		m.Damaged = append(m.Damaged, p.manifest.Damaged...)
		for _, v := range p.manifest.Violations {
			violations[v.Violation] += v.Count
		}
		// A part that was merged itself stands for its own parts too.
		f := p.manifest.Files[0]
		m.Replaces = append(append(m.Replaces, p.manifest.Replaces...), Replaced{p.Name, p.manifest.Window, f.SHA256, f.Rows})
	}
	m.Carried.Once, m.Damaged = slices.Sorted(maps.Keys(once)), oneEach(m.Damaged)
	for v, n := range violations {
		m.Violations = append(m.Violations, ViolationCount{v, n})
	}
	slices.SortFunc(m.Violations, func(a, b ViolationCount) int { return strings.Compare(a.Error(), b.Error()) })
	return m
}

// mergedReport adds up the reports of the parts. A source has failed when it failed
// once; the coverage says when.
func mergedReport(parts []part) record.Report {
	report := parts[len(parts)-1].manifest.Extract
	report.Sources = nil
	for _, p := range parts {
		report.Window.Since = earlier(report.Window.Since, p.manifest.Window.Since)
		report.Slice = report.Slice && p.manifest.Extract.Slice // one part that knows more is enough
		report.Sources = record.AddSources(report.Sources, p.manifest.Extract.Sources)
	}
	return report
}

// mergeReceipts writes the receipt of the merged batch at a destination, and the
// file of the events that are rejected there to this day.
func (l *Ledger) mergeReceipts(ctx context.Context, destination string, m *Manifest, parts []part) (err error) {
	merged := Receipt{Destination: destination, Cluster: m.Cluster, Batch: m.Batch, Events: m.Files[0].Rows}
	var files []File
	for _, p := range parts {
		r, err := l.newestReceipt(ctx, destination, p.Batch, p.receipts[destination])
		if err != nil {
			return err
		}
		if merged.Started.IsZero() || r.Started.Before(merged.Started) {
			merged.Started = r.Started
		}
		merged.Finished = later(merged.Finished, r.Finished)
		merged.Rejected += r.Rejected
		for reason, n := range r.Reasons {
			if merged.Reasons == nil {
				merged.Reasons = map[string]int64{}
			}
			merged.Reasons[reason] += n
		}
		if r.Rejections != nil {
			files = append(files, *r.Rejections)
		}
	}
	merged.Delivered = merged.Events - merged.Rejected
	if len(files) > 0 {
		data, err := l.mergeFiles(ctx, files)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, data.close()) }()
		f := File{Key: m.ID().rejectedKey(destination, data.sum()), Size: data.size, SHA256: data.sum(), Rows: data.rows}
		if err := l.putNew(ctx, f, data.tempFile); err != nil {
			return err
		}
		merged.Rejections = &f
	}
	return l.PutReceipt(ctx, &merged)
}
