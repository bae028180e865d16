// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/internal/jobtest"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// hour returns the time so many hours after the epoch.
func hour(n int) time.Time { return epoch.Add(time.Duration(n) * time.Hour) }

// busy returns a world in which a run begins every twenty minutes, takes ten, and is
// gone from the cluster a minute later, and in which the job runs every hour except from
// the hour away up to the hour back. Nothing else goes wrong unless the test says so.
func busy(t *testing.T, hours, away, back int) *world {
	t.Helper()
	w := emptyWorld(1, workDir(t))
	c := &creator{Rand: rand.New(rand.NewPCG(1, 1)), end: hour(hours)}
	for at := epoch; at.Before(c.end); at = at.Add(20 * time.Minute) {
		r := c.run()
		r.created, r.started, r.completed, r.gone = at, at.Add(time.Second), at.Add(10*time.Minute), at.Add(11*time.Minute)
		r.stored = []time.Time{r.created, r.completed.Add(time.Second), r.gone}
		w.cluster.runs = append(w.cluster.runs, r)
	}
	installation := c.installation()
	installation.created, installation.deleted, installation.gone = hour(2), time.Time{}, time.Time{}
	installation.changes = []change{{hour(3), record.StatusTrue, record.ParseInstallReason([]byte("AllComponentsReady"))}}
	w.cluster.installations = append(w.cluster.installations, installation)
	for n := 1; n <= hours; n++ {
		if n < away || n >= back {
			w.plan = append(w.plan, appointment{at: hour(n)})
		}
	}
	w.end = c.end
	return w
}

// healed runs the world and fails unless everything that happened is staged once and
// delivered once in the end.
func healed(t *testing.T, w *world) {
	t.Helper()
	w.run(t)
	f, wrong := w.check()
	for _, complaint := range wrong {
		t.Error(complaint)
	}
	for id, n := range w.receiver.accepted {
		if n != 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
	// Begun and completed, and two of the installation.
	happened := int64(2*len(w.cluster.runs) + 2)
	if heartbeats := f.batches; f.events != happened+heartbeats || f.delivered != f.events {
		t.Errorf("%d events and %d heartbeats happened; %d are staged and %d delivered", happened, heartbeats, f.events, f.delivered)
	}
}

// at returns the job of that hour.
func (w *world) at(t *testing.T, n int) *actor {
	t.Helper()
	for _, a := range w.actors {
		if until := a.outcome.Report.Window.Until; until.Equal(hour(n)) {
			return a
		}
	}
	t.Fatalf("no job ran in hour %d", n)
	return nil
}

// wantSince fails unless the window of the job of that hour reaches back to a little
// before the given hour.
func (w *world) wantSince(t *testing.T, n, back int) {
	t.Helper()
	if since := w.at(t, n).outcome.Report.Window.Since; !since.Equal(hour(back).Add(-jobtest.Overlap)) {
		t.Errorf("the window of hour %d begins at %s, want a little before hour %d", n, since, back)
	}
}

// wantUsual fails unless the window of the job of that hour is the usual one.
func (w *world) wantUsual(t *testing.T, n int) {
	t.Helper()
	if since := w.at(t, n).outcome.Report.Window.Since; !since.Equal(hour(n).Add(-jobtest.Lookback)) {
		t.Errorf("the window of hour %d begins at %s, want four hours before", n, since)
	}
}

func TestJobDownForThreeDays(t *testing.T) {
	w := busy(t, 84, 8, 80)
	healed(t, w)
	w.wantUsual(t, 7)
	w.wantSince(t, 80, 7) // the last run read up to hour 7
	w.wantUsual(t, 81)
	if staged := w.at(t, 80).outcome.Staged; staged.Events < 2*3*72 {
		t.Errorf("the first run staged %d events of three days", staged.Events)
	}
}

func TestSegmentDownForThreeDays(t *testing.T) {
	w := busy(t, 84, 0, 0)
	w.wire = newWire(w)
	w.weather.add(theReceiver, hour(7).Add(time.Minute), 72*time.Hour, down)
	healed(t, w)
	for n := 8; n < 80; n++ { // staging goes on, and each run says what waits
		a := w.at(t, n)
		if a.outcome.Staged.Manifest == nil || a.err == nil || a.outcome.Loaded.Pending == 0 ||
			!strings.Contains(a.err.Error(), "the events stay in the stage") {
			t.Errorf("hour %d: staged %+v, loaded %+v, %v", n, a.outcome.Staged, a.outcome.Loaded, a.err)
		}
		w.wantUsual(t, n)
	}
	if a := w.at(t, 80); a.err != nil || a.outcome.Loaded.Batches != 73 || a.outcome.Loaded.Pending != 0 {
		t.Errorf("the first run afterwards loaded %+v, %v", a.outcome.Loaded, a.err)
	}
}

func TestLoadersShareWhatWaits(t *testing.T) {
	w := busy(t, 84, 0, 0)
	w.weather.add(theReceiver, hour(7).Add(time.Minute), 72*time.Hour, down)
	w.plan[79].loaders = 2 // in hour 80
	healed(t, w)
	var batches []int
	for _, a := range w.actors {
		if began := a.launched.Sub(hour(80)); began >= 0 && began < time.Hour {
			batches = append(batches, a.outcome.Loaded.Batches)
			if a.err != nil || a.outcome.Loaded.Batches < 10 || a.outcome.Loaded.Held != 0 {
				t.Errorf("a loader of three: %+v, %v", a.outcome.Loaded, a.err)
			}
		}
	}
	if len(batches) != 3 || batches[0]+batches[1]+batches[2] != 73 {
		t.Errorf("the loaders delivered %v batches, want 73 in all", batches)
	}
}

func TestBucketDownForSixHours(t *testing.T) {
	w := busy(t, 24, 0, 0)
	w.weather.add(theBucket, hour(7).Add(time.Minute), 6*time.Hour, down)
	healed(t, w)
	failed := 0
	for _, a := range w.actors {
		if a.err != nil {
			failed++
			if !strings.Contains(a.err.Error(), "list manifests") {
				t.Errorf("a run does not say that the bucket failed: %v", a.err)
			}
		}
	}
	if failed != 6 {
		t.Errorf("%d runs failed", failed)
	}
	w.wantSince(t, 14, 7)
	w.wantUsual(t, 15)
}

func TestResultsDown(t *testing.T) {
	for _, test := range []struct {
		name  string
		hours int
	}{{"over three runs", 3}, {"for ten hours", 10}} {
		t.Run(test.name, func(t *testing.T) {
			w := busy(t, 30, 0, 0)
			w.weather.add(record.SourceResults.String(), hour(7).Add(time.Minute), time.Duration(test.hours)*time.Hour, breaking)
			healed(t, w)
			for n := 8; n < 8+test.hours; n++ {
				a := w.at(t, n)
				if failed := a.outcome.Report.Failed(); a.err != nil || len(failed) != 1 || failed[0].Name != record.SourceResults {
					t.Errorf("hour %d: degraded %v, %v", n, failed, a.err)
				}
			}
			back := 8 + test.hours
			if failed := w.at(t, back).outcome.Report.Failed(); len(failed) > 0 {
				t.Errorf("hour %d: degraded %v", back, failed)
			}
			if test.hours > 4 {
				w.wantSince(t, back, 7)
			} else if since := w.at(t, back).outcome.Report.Window.Since; since.After(hour(7).Add(-jobtest.Overlap)) {
				t.Errorf("the window of hour %d begins at %s, after what was read before the outage ends", back, since)
			}
			w.wantUsual(t, back+1)
		})
	}
}
