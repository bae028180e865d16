// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/internal/jobtest"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
)

// An explorer runs a scenario with every sequence of kills.
type explorer struct {
	*scenario
	t   *testing.T
	dir string // of the process at hand
	// known has the number of executions from a world on.
	known map[future]int
	// ran has the process that was run in a world and lived on.
	ran map[digest]*process
	// sums and contents are those of buckets.
	sums     map[stage.Bucket]digest
	contents map[digest]*content
	// looked has the digests of the worlds that were looked at.
	looked map[digest]bool
	// path are the kills that led to the world at hand.
	path []string
	// processes counts those that were run; faults has what is wrong, each once, and
	// the path on which it was seen first.
	processes int
	faults    map[string]string
}

type future struct {
	world digest
	kills int
}

func newExplorer(t *testing.T, change func(*scenario)) *explorer {
	t.Helper()
	s, err := newScenario()
	if err != nil {
		t.Fatal(err)
	}
	change(s)
	return &explorer{
		scenario: s, t: t, dir: t.TempDir(),
		known: map[future]int{}, ran: map[digest]*process{}, sums: map[stage.Bucket]digest{},
		contents: map[digest]*content{}, looked: map[digest]bool{}, faults: map[string]string{},
	}
}

func (*explorer) begin() *world { return &world{bucket: &mem.Bucket{}} }

// explore runs every execution from w on that has exactly that many kills, and
// returns their number.
func (e *explorer) explore(w *world, kills int) (int, error) {
	digest := e.digest(w)
	if n, ok := e.known[future{digest, kills}]; ok {
		return n, nil
	}
	if err := e.look(w, digest); err != nil {
		return 0, err
	}
	if w.phase == len(e.phases) {
		if kills > 0 {
			return 0, nil // it came to its end before
		}
		return 1, nil
	}
	p, err := e.live(w)
	if err != nil {
		return 0, err
	}
	n, err := e.explore(e.finished(w, p), kills)
	if err != nil || kills == 0 {
		return n, err
	}
	same := 0
	for i := range p.points {
		// The points between two effects see the same world.
		if last := i + 1; last < len(p.points) && p.worlds[last] == p.worlds[i] {
			same++
			continue
		}
		e.path = append(e.path, fmt.Sprintf("phase %d, %s", w.phase+1, p.points[i]))
		more, err := e.explore(e.killed(w, p, i), kills-1)
		e.path = e.path[:len(e.path)-1]
		if err != nil {
			return 0, err
		}
		n += more * (same + 1)
		same = 0
	}
	e.known[future{digest, kills}] = n
	return n, nil
}

// fault notes what is wrong.
func (e *explorer) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if _, ok := e.faults[text]; !ok {
		e.faults[text] = strings.Join(e.path, "; ")
	}
}

func (e *explorer) digest(w *world) digest {
	s, ok := e.sums[w.bucket]
	if !ok {
		s = sum(e.t, w.bucket)
		e.sums[w.bucket] = s
	}
	return w.digest(s)
}

// content looks into a bucket.
func (e *explorer) content(b stage.Bucket) *content {
	s := e.digest(&world{bucket: b})
	if e.contents[s] == nil {
		e.contents[s] = look(e.t, b)
	}
	return e.contents[s]
}

// live returns a process that lives on in the world, or in one that looks the same
// to it.
func (e *explorer) live(w *world) (*process, error) {
	state := w.state()
	digest := e.digest(&state)
	if p := e.ran[digest]; p != nil {
		return p, nil
	}
	p, err := e.run(&state, -1)
	e.ran[digest] = p
	return p, err
}

// run lets a process do what is to be done next, and kills it at the point, unless
// that is negative.
func (e *explorer) run(w *world, kill int) (*process, error) {
	return e.work(w, func(p *process) { p.kill = kill })
}

// work lets a process, prepared like that, do what is to be done next.
func (e *explorer) work(w *world, prepare func(p *process)) (*process, error) {
	e.processes++
	if err := restore(e.dir, w.folder); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(e.t.Context())
	defer cancel()
	p := &process{
		dir: e.dir, world: w, receiver: segmenttest.New(segmenttest.Options{}),
		cancel: cancel, kill: -1, written: map[string]bool{},
	}
	prepare(p)
	p.receiver.Refuse(func(event segmenttest.Event) bool { return event.MessageID == e.refused })
	now := e.now(w.phase, w.attempt)
	job, err := e.job(p, w.phase, now)
	if err != nil {
		return nil, err
	}
	steps := e.phases[w.phase].steps
	for p.world.step < len(steps) && !p.dead {
		if err := steps[p.world.step](ctx, job, now); err != nil && !p.dead {
			return nil, fmt.Errorf("step %d of a process that was not killed: %w", p.world.step, err)
		}
		if !p.dead {
			p.change(func(w *world) { w.step++ })
		}
	}
	for _, fault := range p.faults {
		e.fault("%s", fault)
	}
	for _, event := range p.receiver.Duplicates() {
		e.fault("one process sent event %s twice", event.MessageID)
	}
	return p, nil
}

// finished returns the world after the process came to its end.
func (e *explorer) finished(before *world, p *process) *world {
	after := *p.world
	after.phase, after.step, after.attempt, after.last, after.begun = before.phase+1, 0, 0, before.attempt, false
	e.account(before, &after, func(string) bool { return false }, false)
	return &after
}

// killed returns the world after the process was killed at its i-th point.
func (e *explorer) killed(before *world, p *process, i int) *world {
	after := *p.worlds[i]
	after.begun = true
	if !e.resume {
		after.step, after.attempt = 0, before.attempt+1
	}
	excused := between(p.points[:i+1])
	if before.phase >= tidied-1 {
		excused = func(string) bool { return true } // it is tidied up in the end
	}
	e.account(before, &after, excused, true)
	return &after
}

// account settles what a process sent and left behind.
func (e *explorer) account(before, after *world, excused func(key string) bool, dead bool) {
	taken := after.sent // by this process
	after.sent, after.again, after.orphans = plus(before.sent, taken), before.again, before.orphans
	if after.bucket == before.bucket && len(taken) == 0 {
		return
	}
	now := e.content(after.bucket)
	settled := map[string]bool{}
	for _, b := range now.batches {
		for _, id := range b.ids {
			settled[id] = b.receipt != nil
		}
	}
	again := map[string]int{}
	for id := range taken {
		if dead && !settled[id] {
			again[id] = 1
		}
	}
	after.again = plus(before.again, again)
	after.orphans = now.orphans
	for key := range now.orphans {
		if !before.orphans[key] && !excused(key) {
			e.fault("%s is an orphan, and no kill fell between it and what names it", pattern(key))
		}
	}
}

// between returns whether the last of the objects put before a kill is this one:
// the next would have named it.
func between(points []point) func(key string) bool {
	for _, point := range slices.Backward(points) {
		if point.op == "put" && point.when == "after" {
			return func(key string) bool { return point.key == key }
		}
	}
	return func(string) bool { return false }
}

// look checks what holds in every world.
func (e *explorer) look(w *world, digest digest) error {
	if e.looked[digest] {
		return nil
	}
	e.looked[digest] = true
	now := e.content(w.bucket)
	for _, fault := range now.faults {
		e.fault("%s", fault)
	}
	for _, b := range now.batches {
		if b.receipt == nil {
			continue
		}
		for _, id := range b.ids {
			if (w.sent[id] > 0) == now.rejected[id] {
				e.fault("event %s has a receipt, was taken %d times and is in rejected/: %t", id, w.sent[id], now.rejected[id])
			}
		}
	}
	if w.phase < tidied || w.begun {
		return nil
	}
	for key := range now.orphans {
		e.fault("it survived that orphans were swept: %s", pattern(key))
	}
	if w.phase == tidied {
		e.complete(w, now)
	} else if len(now.batches) != 1 {
		e.fault("%d batches outlived their time", len(now.batches)-1)
	}
	return e.again(w)
}

// complete checks that there is everything, once.
func (e *explorer) complete(w *world, now *content) {
	// The first hour reaches back all the way, but for the minutes that restarts cost.
	since := e.phases[0].at.Add(-jobtest.Lookback + 10*time.Minute)
	var until time.Time
	for _, b := range now.batches {
		if w := b.manifest.Window; w.Since.Before(since) {
			since = w.Since
		}
		if w := b.manifest.Window; w.Until.After(until) {
			until = w.Until
		}
		if b.receipt == nil {
			e.fault("a batch has no receipt")
		}
	}
	heartbeats := 0
	expected := e.expected(since, until)
	for id := range now.ids {
		switch {
		case strings.Contains(id, "-heartbeat-"):
			heartbeats++
		case !expected[id]:
			e.fault("event %s is in a batch and was not expected", id)
		}
		delete(expected, id)
		if got, want := w.sent[id], 1+w.again[id]; got != want && id != e.refused {
			e.fault("event %s was taken %d times: want 1 and %d for kills between send and receipt", id, got, w.again[id])
		}
	}
	for id := range expected {
		e.fault("event %s is lost", id)
	}
	if heartbeats != hours {
		e.fault("%d heartbeats for %d hours", heartbeats, hours)
	}
	if now.rejected[e.refused] != (e.refused != "") || len(now.rejected) > 1 {
		e.fault("rejected are %v, want %s", now.rejected, e.refused)
	}
}

// again runs the last phase once more: it must have nothing to do.
func (e *explorer) again(w *world) error {
	p, err := e.live(&world{bucket: w.bucket, folder: w.folder, phase: w.phase - 1, attempt: w.last})
	if err != nil {
		return err
	}
	if p.changes+p.requests > 0 {
		e.fault("a further run changed %d objects and sent %d requests", p.changes, p.requests)
	}
	return nil
}
