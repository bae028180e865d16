// SPDX-License-Identifier: Apache-2.0

// Package audit reads a stage and says what it holds, and what is wrong with it. It trusts nothing but
// the tracking plan and the format: every object is compared with what names it, and every value
// with what may leave.
//
// Nothing is written. An audit may run while batches are staged and delivered.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/extsort"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// Options configure an audit.
type Options struct {
	// Plan is what may have left. Files that were made by an older one are compared with it too.
	Plan *telemetry.Plan
	// Library is the program that audits.
	Library telemetry.Library
	// Now is the time.
	Now time.Time
	// Range selects batches; the zero Range selects all.
	Range stage.Range
	// Grace is how old what is unfinished has to be to count as a finding: an object without a manifest, a batch
	// without a receipt, a span that was not read; 0 is 24 hours.
	Grace time.Duration
	// K is the size below which a group is listed as small; 0 is 5.
	K int
	// Names are searched for, with their encodings, in all that the bucket has, one name an item. Reports tell a name
	// by its number in the list, from 1.
	Names []string
	// Guesses are pseudonyms to look for.
	Guesses []Guess
	// WorkDir is the folder for temporary files; empty means [os.TempDir].
	WorkDir string
	// MemoryBytes bounds the memory for sorting; 0 means 8 MiB. Workers batches are looked at at the same
	// time; 0 means 4.
	MemoryBytes int
	Workers     int
	// Progress, unless nil, is told how many of the bytes of data have been looked at, one call at a time.
	Progress func(done, total int64)
}

// Run audits the stage in the bucket. The error is that of the bucket or of ctx; whatever is wrong with what
// the bucket holds is in the report.
//
// Its memory follows from the number of workers, days and batches of a cluster (100 bytes each), and not from the number
// of events: those take 20 bytes each in temporary files.
func Run(ctx context.Context, bucket stage.Bucket, o Options) (*Report, error) {
	o.Grace = cmp.Or(o.Grace, 24*time.Hour)
	o.K = cmp.Or(o.K, 5)
	o.Workers = cmp.Or(o.Workers, 4)
	o.MemoryBytes = cmp.Or(o.MemoryBytes, 8<<20)
	o.WorkDir = cmp.Or(o.WorkDir, os.TempDir())
	a := &auditor{
		Options: o, bucket: bucket, figures: newFigures(), guesses: map[telemetry.Pseudonym]bool{}, activities: map[string]uint16{},
		ledger:     stage.NewLedger(bucket, stage.Options{Plan: o.Plan, Library: o.Library, WorkDir: o.WorkDir, MemoryBytes: o.MemoryBytes}),
		deliveries: map[string]*Delivery{},
	}
	r, err := a.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit stage: %w", err)
	}
	return r, nil
}

type auditor struct {
	Options
	bucket       stage.Bucket
	ledger       *stage.Ledger
	ctx          context.Context // of the run, which ends with the first error
	names        *names          // nil if there are none
	guesses      map[telemetry.Pseudonym]bool
	destinations []string
	activities   map[string]uint16 // numbers what activities are grouped by, by event

	mu         sync.Mutex // guards all that follows while workers are at work
	totals     Totals
	found      findings
	notices    findings
	figures    *figures
	groups     *groups
	deliveries map[string]*Delivery
	clusters   []Cluster
	hits       int64
	searched   int64
	done, all  int64 // bytes of data
}

func (a *auditor) run(ctx context.Context) (_ *Report, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.ctx = ctx
	if a.Plan == nil {
		return nil, errors.New("there is no tracking plan")
	}
	if len(a.Names) > 0 {
		a.names = newNames(a.Names, a.Plan)
		for _, u := range a.names.unsearched {
			a.notice(Finding{Kind: NameNotSearched, Line: u.line, Text: "the name of this line of the list: " + u.why})
		}
	}
	for _, g := range a.Guesses {
		a.guesses[g.Pseudonym] = true
	}
	a.groups = a.newGroups()
	defer func() { err = errors.Join(err, a.groups.sorter.Close()) }()
	if a.destinations, err = a.ledger.Destinations(ctx); err != nil {
		return nil, err
	}
	for _, d := range a.destinations {
		a.deliveries[d] = &Delivery{Destination: d, Assurance: map[string]int64{}, Reasons: map[string]int64{}}
	}
	if err := a.survey(ctx); err != nil {
		return nil, err
	}
	if err := a.batches(ctx, cancel); err != nil {
		return nil, err
	}
	return a.report()
}

// newGroups numbers what events are grouped by: first the properties of the plan, then the activities.
func (a *auditor) newGroups() *groups {
	g := &groups{sorter: extsort.New(a.WorkDir, a.MemoryBytes), counts: map[group]int64{}, names: map[uint64]string{}}
	columns := a.Plan.Columns()
	for i := range columns {
		g.titles = append(g.titles, columns[i].Name)
	}
	for i := range a.Plan.Events {
		el := newEventLayout(&a.Plan.Events[i], nil, columns)
		a.activities[el.spec.Name] = uint16(len(g.titles))
		g.titles = append(g.titles, el.title)
	}
	return g
}

// finding and notice add to the report. Keys may hold what was searched for.
func (a *auditor) finding(list ...Finding) { a.add(&a.found, list) }
func (a *auditor) notice(list ...Finding)  { a.add(&a.notices, list) }

func (a *auditor) add(to *findings, list []Finding) {
	for i := range list {
		list[i].Key = a.names.mask(list[i].Key)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	to.add(list...)
}

// batches looks at each batch, several at the same time, and at each cluster when its batches are done.
func (a *auditor) batches(ctx context.Context, cancel context.CancelCauseFunc) (err error) {
	var workers sync.WaitGroup
	free := make(chan struct{}, a.Workers)
	var c *cluster
	finish := func() error {
		workers.Wait()
		if err := context.Cause(ctx); err != nil || c == nil {
			return err
		}
		return c.finish(ctx)
	}
	defer func() {
		workers.Wait()
		if c != nil {
			err = errors.Join(err, c.close())
		}
	}()
	for h, err := range a.ledger.Holdings(ctx, func(info stage.ObjectInfo) error { return a.orphan(ctx, info) }) {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil && (c == nil || c.Cluster.Cluster != h.Cluster) && a.inRange(h.Batch, time.Time{}) {
			if err = finish(); err == nil {
				if c != nil {
					err = c.close()
				}
				c = a.newCluster(h.Cluster)
			}
		}
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		if !a.inRange(h.Batch, time.Time{}) {
			continue
		}
		b := c.add(h)
		free <- struct{}{}
		workers.Go(func() {
			defer func() { <-free }()
			if err := b.look(ctx); err != nil {
				cancel(err)
			}
		})
	}
	return finish()
}

// orphan judges an object that belongs to a batch without manifest.
func (a *auditor) orphan(ctx context.Context, info stage.ObjectInfo) error {
	key, ok := stage.ParseKey(info.Key)
	if !ok || !a.inRange(key.Batch, time.Time{}) {
		return nil
	}
	if key.Kind != stage.KindLease {
		switch young := info.Modified.Add(a.Grace).After(a.Now); {
		case young:
			a.notice(Finding{Kind: InFlight, Key: info.Key, Text: "the object has no manifest yet: its batch may be being written"})
		default:
			exists, err := a.committed(ctx, key.Batch)
			if err != nil || exists {
				return err
			}
			a.finding(Finding{
				Kind: Orphan, Key: info.Key, Text: "the object belongs to a batch that has no manifest: the batch does not exist",
				Advice: "a crash leaves such objects, and expire removes them; if the manifest was deleted by mistake, restore it from a backup",
			})
		}
	}
	if a.names == nil {
		return nil
	}
	if key.Kind == stage.KindEvents || key.Kind == stage.KindRejected {
		return a.searchData(ctx, info.Key, info.Size)
	}
	return a.searchDocument(ctx, info.Key)
}

// committed reports whether the batch has a manifest by now.
func (a *auditor) committed(ctx context.Context, b stage.Batch) (bool, error) {
	object, err := a.bucket.Open(ctx, b.ManifestKey())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("open manifest: %w", err)
	}
	return true, object.Close()
}

// progress tells how far the audit is.
func (a *auditor) progress(bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done += bytes
	if a.Progress != nil {
		a.Progress(a.done, max(a.done, a.all))
	}
}

func (a *auditor) report() (*Report, error) {
	small, err := a.groups.small(a.K)
	if err != nil {
		return nil, err
	}
	if len(a.clusters) == 0 && !a.Range.Cluster.IsZero() {
		a.notice(Finding{Kind: ClusterUnknown, Text: "the stage has no batch of the cluster that was asked for"})
	}
	r := &Report{
		Format: Format, Producer: stage.Producer(a.Library), Generated: a.Now.UTC(), Clean: a.found.total == 0,
		Limits: Limits{a.Range.Cluster, a.Range.Since, a.Range.Until},
		Plan:   a.Plan, PlanID: stage.PlanID{Name: a.Plan.Name, Hash: a.Plan.Hash()}, Totals: a.totals, Clusters: a.clusters,
		Days: []Day{}, Pipelines: []Pipelines{}, Destinations: []Delivery{}, Samples: []Sample{},
		Findings: a.found.sorted(), FindingsTotal: a.found.total, Notices: a.notices.sorted(), K: a.K, SmallGroups: small,
	}
	a.figures.report(r, a.Guesses)
	for _, d := range slices.Sorted(maps.Keys(a.deliveries)) {
		r.Destinations = append(r.Destinations, *a.deliveries[d])
	}
	if a.names != nil {
		r.Names = &NameSearch{a.names.lines, a.names.count, a.hits, a.searched}
	}
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	if r.Notices == nil {
		r.Notices = []Finding{}
	}
	if r.Clusters == nil {
		r.Clusters = []Cluster{}
	}
	return r, nil
}
