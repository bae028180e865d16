// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
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
	ran map[[sha256.Size]byte]*process
	// looked has the digests of the worlds that were looked at.
	looked map[[sha256.Size]byte]bool
	// processes counts those that were run; faults has what is wrong, each once.
	processes int
	faults    map[string]bool
}

type future struct {
	world [sha256.Size]byte
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
		known: map[future]int{}, ran: map[[sha256.Size]byte]*process{}, looked: map[[sha256.Size]byte]bool{}, faults: map[string]bool{},
	}
}

func (*explorer) begin() *world { return &world{bucket: &mem.Bucket{}} }

// explore runs every execution from w on that has exactly that many kills, and
// returns their number.
func (e *explorer) explore(w *world, kills int) (int, error) {
	digest := w.digest(e.t)
	if n, ok := e.known[future{digest, kills}]; ok {
		return n, nil
	}
	e.look(w, digest)
	if w.hour == len(e.hours) {
		if kills > 0 {
			return 0, nil // it came to its end before
		}
		return 1, e.end(w)
	}
	p := e.ran[digest]
	if p == nil {
		var err error
		if p, err = e.run(w, -1); err != nil {
			return 0, err
		}
		e.ran[digest] = p
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
		more, err := e.explore(e.killed(w, p, i), kills-1)
		if err != nil {
			return 0, err
		}
		n += more * (same + 1)
		same = 0
	}
	e.known[future{digest, kills}] = n
	return n, nil
}

// run lets a process do what is to be done next, and kills it at the point, unless
// that is negative.
func (e *explorer) run(w *world, kill int) (*process, error) {
	e.processes++
	if err := restore(e.dir, w.folder); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(e.t.Context())
	defer cancel()
	p := &process{
		dir: e.dir, world: w, receiver: segmenttest.New(segmenttest.Options{}),
		cancel: cancel, kill: kill, written: map[string]bool{},
	}
	p.receiver.Refuse(func(event segmenttest.Event) bool { return event.MessageID == e.refused })
	now := e.now(w.hour, w.attempt)
	job, err := e.job(p, w.hour, now)
	if err != nil {
		return nil, err
	}
	for p.world.step < len(steps) && !p.dead {
		if err := steps[p.world.step](ctx, job, now); err != nil && !p.dead {
			return nil, fmt.Errorf("step %d of a process that was not killed: %w", p.world.step, err)
		}
		if !p.dead {
			p.change(func(w *world) { w.step++ })
		}
	}
	for _, fault := range p.faults {
		e.faults[fault] = true
	}
	for _, event := range p.receiver.Duplicates() {
		e.faults[fmt.Sprintf("one process sent event %s twice", event.MessageID)] = true
	}
	return p, nil
}

// finished returns the world after the process came to its end.
func (e *explorer) finished(before *world, p *process) *world {
	after := *p.world
	after.hour, after.step, after.attempt, after.last = before.hour+1, 0, 0, before.attempt
	e.account(before, &after, func(string) bool { return false }, false)
	return &after
}

// killed returns the world after the process was killed at its i-th point.
func (e *explorer) killed(before *world, p *process, i int) *world {
	after := *p.worlds[i]
	if !e.resume {
		after.step, after.attempt = 0, before.attempt+1
	}
	e.account(before, &after, between(p.points[:i+1]), true)
	return &after
}

// account settles what a process sent and left behind.
func (e *explorer) account(before, after *world, excused func(key string) bool, dead bool) {
	if after.bucket == before.bucket && maps.Equal(after.sent, before.sent) {
		return
	}
	now := look(e.t, after.bucket)
	settled := map[string]bool{}
	for _, b := range now.batches {
		for _, id := range b.ids {
			settled[id] = b.receipt != nil
		}
	}
	after.again = maps.Clone(before.again)
	for id, n := range after.sent {
		if dead && n > before.sent[id] && !settled[id] {
			if after.again == nil {
				after.again = map[string]int{}
			}
			after.again[id]++
		}
	}
	after.orphans = now.orphans
	for key := range now.orphans {
		if !before.orphans[key] && !excused(key) {
			e.faults[fmt.Sprintf("%s is an orphan, and no kill fell between it and what names it", pattern(key))] = true
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
func (e *explorer) look(w *world, digest [sha256.Size]byte) {
	if e.looked[digest] {
		return
	}
	e.looked[digest] = true
	now := look(e.t, w.bucket)
	for _, fault := range now.faults {
		e.faults[fault] = true
	}
	for _, b := range now.batches {
		if b.receipt == nil {
			continue
		}
		for _, id := range b.ids {
			if (w.sent[id] > 0) == now.rejected[id] {
				e.faults[fmt.Sprintf("event %s has a receipt, was taken %d times and is in rejected/: %t", id, w.sent[id], now.rejected[id])] = true
			}
		}
	}
}

// end checks what holds when all is done.
func (e *explorer) end(w *world) error {
	now := look(e.t, w.bucket)
	since := e.hours[0].Add(-time.Hour)
	var until time.Time
	for _, b := range now.batches {
		if w := b.manifest.Window; w.Since.Before(since) {
			since = w.Since
		}
		if w := b.manifest.Window; w.Until.After(until) {
			until = w.Until
		}
		if b.receipt == nil {
			e.faults["a batch has no receipt"] = true
		}
	}
	heartbeats := 0
	expected := e.expected(since, until)
	for id := range now.ids {
		switch {
		case strings.Contains(id, "-heartbeat-"):
			heartbeats++
		case !expected[id]:
			e.faults[fmt.Sprintf("event %s is in a batch and was not expected", id)] = true
		}
		delete(expected, id)
		if got, want := w.sent[id], 1+w.again[id]; got != want && id != e.refused {
			e.faults[fmt.Sprintf("event %s was taken %d times: want 1 and %d for kills between send and receipt", id, got, w.again[id])] = true
		}
	}
	for id := range expected {
		e.faults[fmt.Sprintf("event %s is lost", id)] = true
	}
	if heartbeats != len(e.hours) {
		e.faults[fmt.Sprintf("%d heartbeats for %d hours", heartbeats, len(e.hours))] = true
	}
	if now.rejected[e.refused] != (e.refused != "") || len(now.rejected) > 1 {
		e.faults[fmt.Sprintf("rejected are %v, want %s", now.rejected, e.refused)] = true
	}
	for key := range now.orphans {
		if !w.orphans[key] {
			e.faults[fmt.Sprintf("orphan %s", pattern(key))] = true
		}
	}
	return e.again(w)
}

// again runs the last hour once more: it must have nothing to do.
func (e *explorer) again(w *world) error {
	last := world{bucket: w.bucket, folder: w.folder, hour: w.hour - 1, attempt: w.last}
	digest := last.digest(e.t)
	if e.ran[digest] != nil {
		return nil
	}
	p, err := e.run(&last, -1)
	if err != nil {
		return err
	}
	e.ran[digest] = p
	if p.changes+p.requests > 0 {
		e.faults[fmt.Sprintf("a further run changed %d objects and sent %d requests", p.changes, p.requests)] = true
	}
	return nil
}
