// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"testing"
	"time"
)

// A loader falls asleep at any point of its work, for longer than its lease. Meanwhile
// another one comes and does what is left. Then the first wakes up and goes on.
func TestLatecomer(t *testing.T) {
	e := newExplorer(t, func(s *scenario) {
		at := s.phases[0].at
		s.phases = []phase{{at, []step{extractStep, transformStep}}, {at, []step{loadStep}}}
	})
	w := e.begin()
	p, err := e.live(w)
	if err != nil {
		t.Fatal(err)
	}
	staged := e.finished(w, p)
	alone, err := e.live(staged)
	if err != nil {
		t.Fatal(err)
	}
	// When the loader claims the batch, begins to send, and comes to the receipt.
	claimed, sending, settled := -1, -1, -1
	for i, point := range alone.points {
		switch point.String() {
		case "after put v1/leases/segment/cluster=CLUSTER/BATCH.json":
			claimed = i
		case "before send POST /v1/batch":
			if sending < 0 {
				sending = i
			}
		case "before put v1/receipts/segment/cluster=CLUSTER/BATCH.json":
			settled = i
		}
	}
	if claimed < 0 || sending < claimed || settled < sending {
		t.Fatalf("a loader passes %v", alone.points)
	}
	taken, here, elsewhere := 0, e.dir, t.TempDir()
	for i, name := range alone.points {
		var other *process
		e.dir = here
		late, err := e.work(staged, func(p *process) {
			p.sleep = func(point int) {
				if point != i {
					return
				}
				var err error
				e.dir = elsewhere
				if other, err = e.work(p.world, func(*process) {}); err != nil {
					t.Errorf("asleep at %s: the other one: %v", name, err)
				}
				other.world.step = p.world.step
				p.change(func(w *world) { *w = *other.world; p.slept = time.Hour })
			}
		})
		if err != nil {
			t.Fatalf("asleep at %s: %v", name, err)
		}
		if (other.requests > 0) != (i <= settled) {
			t.Errorf("asleep at %s: the other one sent %d requests", name, other.requests)
		}
		most := 1
		if i >= claimed && i <= settled {
			taken++
		}
		if i >= sending && i <= settled {
			most = 2 // what was on its way
		}
		now := e.content(late.world.bucket)
		if len(now.faults) > 0 || len(now.orphans) > 0 || len(now.batches) != 1 || now.batches[0].receipt == nil {
			t.Fatalf("asleep at %s: faults %v, orphans %v", name, now.faults, now.orphans)
		}
		for _, id := range now.batches[0].ids {
			if n := late.world.sent[id]; (n == 0) != (id == e.refused) || n > most {
				t.Errorf("asleep at %s: event %s was taken %d times", name, id, n)
			}
		}
		receipt := receiptFolder + now.batches[0].manifest.ID().String() + ".json"
		before, err := read(t.Context(), other.world.bucket, receipt)
		if err != nil {
			t.Fatal(err)
		}
		after, err := read(t.Context(), late.world.bucket, receipt)
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("asleep at %s: the receipt was replaced: %v", name, err)
		}
	}
	t.Logf("a loader fell asleep at each of %d points; %d times another one took over", len(alone.points), taken)
}
