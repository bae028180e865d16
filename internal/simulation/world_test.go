// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/internal/jobtest"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A world is one simulation.
type world struct {
	seed uint64
	*rand.Rand
	dir     string
	now     time.Time
	cluster *cluster
	weather weather
	plan    []appointment
	end     time.Time // of all trouble

	store    *mem.Bucket
	written  map[string]time.Time // of each object, by the clock of the model
	sabotage func(stage.Bucket) stage.Bucket
	source   func(extract.Source) extract.Source
	receiver *receiver
	wire     *wire // unless nil, deliveries go through load/segment

	ticks  int // operations so far
	actor  *actor
	actors []*actor
	frozen []*actor
	// made has the job that committed each manifest.
	made map[string]*actor
	// begin is where the window of the first batch begins; due what the stage must hold
	// in the end, and why.
	begin time.Time
	due   map[string]sight
	// late has events that the archive showed too late to be held accountable for.
	late map[string]bool
}

// newWorld returns the world of a seed: a few jobs over hours or days; for every
// twentieth more of them, for every 2,000th one or two weeks of hours. Every fiftieth
// writes its spool to a folder and delivers through load/segment.
func newWorld(seed uint64, dir string) *world {
	c := &creator{Rand: rand.New(rand.NewPCG(seed, 1))}
	jobs, runs := 1+c.IntN(3), 3+c.IntN(15)
	switch {
	case seed%2000 == 1999:
		jobs, runs = 24*(7+c.IntN(8)), 300
	case seed%20 == 19:
		jobs, runs = 8+c.IntN(16), 10+c.IntN(40)
	}
	w := emptyWorld(seed, dir)
	w.plan = c.appointments(jobs)
	w.end = w.plan[len(w.plan)-1].at.Add(c.between(time.Hour, 6*time.Hour))
	c.end = w.end
	w.weather = c.weather()
	if c.chance(20) { // then nothing is to be delivered again
		delete(w.weather, theBucket)
		delete(w.weather, theReceiver)
	}
	c.anchors = w.weather.anchors()
	for _, p := range w.plan {
		c.anchors = append(c.anchors, p.at)
	}
	c.completedOnly = c.chance(40)
	w.cluster = c.cluster(runs)
	if c.chance(10) {
		w.receiver.picky = true
	}
	if seed%50 == 0 {
		w.wire = newWire(w)
	}
	return w
}

func emptyWorld(seed uint64, dir string) *world {
	w := &world{
		seed: seed, Rand: rand.New(rand.NewPCG(seed, 2)), dir: dir, now: epoch, weather: weather{}, cluster: &cluster{},
		store: &mem.Bucket{}, written: map[string]time.Time{}, sabotage: func(b stage.Bucket) stage.Bucket { return b },
		source: func(s extract.Source) extract.Source { return s },
		made:   map[string]*actor{}, due: map[string]sight{}, late: map[string]bool{},
	}
	w.receiver = &receiver{world: w, accepted: map[string]int{}}
	return w
}

func (w *world) chance(percent int) bool { return w.IntN(100) < percent }

// An actor is one job at work.
type actor struct {
	world *world
	plan  appointment
	job   *jobtest.Job

	next  func() (struct{}, bool)
	yield func(struct{}) bool

	launched     time.Time
	began, ended int // in ticks
	steps        int
	killed       bool
	froze        bool // for a while
	stop         context.CancelFunc

	spool   spool // unless there is a wire
	sights  []sight
	outcome jobtest.Outcome
	staged  bool // Transform ended well
	err     error
}

// step is the time that one operation takes, and lets another job have a turn.
func (w *world) step() {
	a := w.actor
	w.ticks++
	w.now = w.now.Add(time.Duration(w.IntN(400)) * time.Millisecond)
	if a.yield != nil {
		a.yield(struct{}{})
	}
	if a.steps++; a.steps == a.plan.killed {
		a.killed = true
		a.stop()
	}
}

// wait passes time second by second, in which others have their turns.
func (a *actor) wait(ctx context.Context, d time.Duration) error {
	for range d / time.Second {
		a.world.now = a.world.now.Add(time.Second)
		a.world.step()
	}
	return ctx.Err()
}

// launch starts a job, which does nothing until it is its turn.
func (w *world) launch(p appointment) *actor {
	a := &actor{world: w, plan: p, launched: w.now}
	bucket := w.sabotage(&stagetest.Faulty{Bucket: &ledgerBucket{w.store, w}, Fault: w.bucketFault})
	a.job = &jobtest.Job{Names: names(), Bucket: bucket, Dir: w.dir, Now: func() time.Time { return w.now }, Wait: a.wait}
	for _, name := range sourceNames {
		a.job.Sources = append(a.job.Sources, w.source(&source{w, name}))
	}
	if w.wire == nil {
		a.job.Create = a.spool.create
	} else {
		a.job.Dir = fmt.Sprintf("%s/%d", w.dir, len(w.actors)) // a pod of its own
	}
	w.actors = append(w.actors, a)
	a.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		a.yield, a.began = yield, w.ticks
		a.work()
		a.yield, a.ended = nil, w.ticks
	})
	return a
}

// A spool keeps records in memory: compressing them takes most of the time.
type spool []record.Record

func (s *spool) create(string) (jobtest.Spool, error) {
	*s = nil
	return s, nil
}

// Write implements [jobtest.Spool].
func (s *spool) Write(r record.Record) error {
	*s = append(*s, r)
	return nil
}

// Commit implements [jobtest.Spool].
func (s *spool) Commit(record.Report) error { return nil }

// Abort implements [jobtest.Spool].
func (s *spool) Abort() {}

func (s *spool) read(yield func(record.Record, error) bool) {
	for _, r := range *s {
		if !yield(r, nil) {
			return
		}
	}
}

// errKilled is what a killed job is left with.
var errKilled = errors.New("killed")

// work is the pod: extract, transform and load, containers that may be started
// again when they fail.
func (a *actor) work() {
	w := a.world
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	a.stop = stop
	if a.plan.loader {
		a.staged = true
		a.load(ctx)
		return
	}
	a.err = a.container(func() (err error) {
		a.sights = nil
		a.outcome.Report, err = a.job.Extract(ctx, w.now.Add(a.plan.skew))
		if errors.Is(err, extract.ErrAllFailed) {
			err = nil
		}
		return err
	})
	if a.err != nil {
		return
	}
	a.err = a.container(func() (err error) {
		if w.wire != nil {
			a.outcome.Staged, err = a.job.Transform(ctx)
		} else {
			a.outcome.Staged, err = a.job.Stage(ctx, a.outcome.Report, a.spool.read)
		}
		return err
	})
	if a.staged = a.err == nil; !a.staged {
		return
	}
	w.account(a)
	a.load(ctx)
}

func (a *actor) load(ctx context.Context) {
	if a.world.wire == nil {
		a.job.Destination = a.world.receiver
		a.outcome.Loaded, a.err = a.job.Load(ctx)
	}
}

// container runs a step, again if it fails and that is in the plan.
func (a *actor) container(run func() error) error {
	for try := 0; ; try++ {
		err := run()
		switch {
		case a.killed:
			return errKilled
		case err == nil || try == a.plan.again:
			return err
		}
		a.world.now = a.world.now.Add(10 * time.Second << try)
	}
}

// account notes what a job that staged has to have staged, or the jobs before it.
func (w *world) account(a *actor) {
	window := a.outcome.Report.Window
	for _, s := range a.sights {
		if s.at.Before(window.Until) && !s.at.Before(w.begin) && !s.at.Before(window.Until.Add(-jobtest.MaxLookback)) {
			w.due[s.id] = s
		}
	}
}

// commits notes who makes a batch exist. With the first one, memory begins.
func (w *world) commits(manifest string) {
	w.made[manifest] = w.actor
	if w.begin.IsZero() {
		w.begin = w.actor.outcome.Report.Window.Since
	}
}

// run lets everything happen, and in the end two hours without trouble.
func (w *world) run(t *testing.T) {
	for _, p := range w.plan {
		w.hour(t, p)
	}
	w.now = later(w.now, w.end)
	w.turns(t, w.frozen)
	w.frozen = nil
	for range 2 {
		w.hour(t, appointment{at: w.now.Add(time.Hour)})
	}
}

// hour runs the job of an appointment, with whoever is about.
func (w *world) hour(t *testing.T, p appointment) {
	w.now = later(w.now, p.at)
	live := []*actor{w.launch(p)}
	if p.second {
		live = append(live, w.launch(appointment{skew: p.skew / 2}))
	}
	for range p.loaders {
		live = append(live, w.launch(appointment{loader: true}))
	}
	if len(w.frozen) > 0 && w.chance(30) {
		live, w.frozen = append(live, w.frozen[0]), w.frozen[1:]
	}
	w.turns(t, live)
}

// deadline is how long a job may take; the cluster kills it then.
const deadline = 4 * time.Hour

// turns gives each job its turns until all are done or frozen.
func (w *world) turns(t *testing.T, live []*actor) {
	live = slices.Clone(live)
	for len(live) > 0 {
		i := w.IntN(len(live))
		a := live[i]
		w.actor = a
		if w.now.Sub(a.launched) > deadline && !a.killed && a.stop != nil {
			a.killed = true
			a.stop()
		}
		_, more := a.next()
		switch {
		case !more:
			live = slices.Delete(live, i, i+1)
			if w.wire != nil && a.staged && !a.killed {
				w.wire.load(t, a)
			}
		case a.plan.frozen > 0 && a.steps >= a.plan.frozen:
			a.plan.frozen, a.froze = 0, true
			w.frozen = append(w.frozen, a)
			live = slices.Delete(live, i, i+1)
		}
	}
}

// bucketFault decides about an operation of the current job.
func (w *world) bucketFault(op, _ string) stagetest.Fault {
	before := w.actor.killed
	w.step()
	if w.actor.killed { // an operation under way may still take place
		if !before && w.chance(50) {
			return stagetest.After
		}
		return stagetest.Before
	}
	switch w.weather.of(w.now, theBucket) {
	case down:
		return stagetest.Before
	case flaky:
		if w.chance(12) {
			return []stagetest.Fault{stagetest.Before, stagetest.After, stagetest.After, stagetest.Lost}[w.IntN(4)]
		}
	case slow:
		if w.chance(10) {
			w.now = w.now.Add(time.Duration(w.IntN(600)) * time.Second)
		}
	default:
		if op == "put" && w.chance(2) {
			return stagetest.Lost
		}
	}
	return stagetest.None
}
