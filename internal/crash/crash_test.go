// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

var (
	update = flag.Bool("update", false, "write the golden files")
	kills  = flag.Int("kills", defaultKills, "most kills in an execution")
	random = flag.Int("random", 20, "executions that are run in full, with kills at random")
)

// restarts are the ways in which a killed job comes back.
var restarts = map[string]bool{"a new pod": false, "the same container": true}

// Every execution with up to that many kills, at every combination of points.
func TestKills(t *testing.T) {
	for name, resume := range restarts {
		t.Run(name, func(t *testing.T) {
			e := newExplorer(t, func(s *scenario) { s.resume = resume })
			for n := range *kills + 1 {
				executions, err := e.explore(e.begin(), n)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d kills: %d executions are right; %d worlds and %d processes so far", n, executions, len(e.looked), e.processes)
				e.report(t)
			}
		})
	}
}

func (e *explorer) report(t *testing.T) {
	t.Helper()
	for _, fault := range slices.Sorted(maps.Keys(e.faults)) {
		t.Errorf("%s (killed: %s)", fault, e.faults[fault])
	}
	if len(e.faults) > 0 {
		t.FailNow()
	}
}

// A process that is killed leaves the world that the one that lived on saw at that
// point: nothing it still tries has an effect.
func TestKillIsFinal(t *testing.T) {
	e := newExplorer(t, func(*scenario) {})
	for w := e.begin(); w.phase < len(e.phases); {
		alive, err := e.live(w)
		if err != nil {
			t.Fatal(err)
		}
		for i, point := range alive.points {
			state := w.state()
			dead, err := e.run(&state, i)
			if err != nil {
				t.Fatal(err)
			}
			left, err := files(e.dir)
			if err != nil {
				t.Fatal(err)
			}
			if !dead.dead || len(dead.points) != i+1 || dead.points[i] != point {
				t.Fatalf("point %d is %q and was %q", i, dead.points[len(dead.points)-1], point)
			}
			if e.digest(dead.world) != e.digest(alive.worlds[i]) || !maps.EqualFunc(left, dead.world.folder, bytes.Equal) {
				t.Errorf("killed at point %d, %s, the process left something else", i, point)
			}
		}
		w = e.finished(w, alive)
	}
}

// Executions from beginning to end, each process killed for good: what TestKills
// knows of worlds that are equal does not come in.
func TestRandomKills(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for name, resume := range restarts {
		t.Run(name, func(t *testing.T) {
			dead := 0
			for range *random {
				e := newExplorer(t, func(s *scenario) { s.resume = resume })
				for w := e.begin(); w.phase < len(e.phases); {
					state, kill := w.state(), -1
					if dice.IntN(2) == 0 {
						kill = dice.IntN(120)
					}
					p, err := e.run(&state, kill)
					if err != nil {
						t.Fatal(err)
					}
					if p.dead {
						dead++
						e.path = append(e.path, fmt.Sprintf("phase %d, %s", w.phase+1, p.points[kill]))
						p.worlds[kill] = p.world
						w = e.killed(w, p, kill)
					} else {
						w = e.finished(w, p)
					}
					if err := e.look(w, e.digest(w)); err != nil {
						t.Fatal(err)
					}
				}
				e.report(t)
			}
			t.Logf("%d executions with %d kills are right", *random, dead)
		})
	}
}

// The side effects of a job that is never killed, in their order. Each is a point
// before and a point after it; a new one shows here.
func TestPoints(t *testing.T) {
	e := newExplorer(t, func(*scenario) {})
	var text strings.Builder
	total := 0
	for w := e.begin(); w.phase < len(e.phases); {
		p, err := e.live(w)
		if err != nil {
			t.Fatal(err)
		}
		total += len(p.points)
		fmt.Fprintf(&text, "phase %d\n", w.phase+1)
		for i := 0; i < len(p.points); {
			line := p.points[i].effect()
			n := 0
			for ; i < len(p.points) && p.points[i].effect() == line; i++ {
				n++
			}
			fmt.Fprintf(&text, "%4d points: %s\n", n, line)
		}
		w = e.finished(w, p)
	}
	fmt.Fprintf(&text, "%d points\n", total)
	t.Logf("%d points", total)
	const golden = "testdata/points.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("the side effects are not those of %s, run with -update when they are meant:\n%s", golden, &text)
	}
}
