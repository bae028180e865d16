// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
	"github.com/segment-bridge/segment-bridge/transform"
)

// epoch is when every simulation begins.
var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// A cluster is every object that will ever be, with its whole life.
type cluster struct {
	runs          []*run
	components    []*thing
	tenants       []*thing
	installations []*installation
}

// A run is a PipelineRun. The zero time stands for never.
type run struct {
	uid                telemetry.UID
	namespace, user    telemetry.Pseudonym
	kind               record.PipelineType
	labelled           bool
	tasks              int // when it is done
	status             record.ConditionStatus
	reason             record.RunReason
	created            time.Time
	started, completed time.Time
	gone               time.Time   // from the cluster
	stored             []time.Time // when the archive wrote its row, in ascending order
}

// at returns what was known of the run at t.
func (r *run) at(t time.Time) *record.PipelineRun {
	known := &record.PipelineRun{UID: r.uid, Namespace: r.namespace, User: r.user, Type: r.kind, HasPipelineLabel: r.labelled}
	if happened(r.started, t) {
		known.Started, known.Status, known.Reason = r.started, record.StatusUnknown, record.ParseRunReason([]byte("Running"))
		known.Tasks = min(r.tasks, int(t.Sub(r.started)/time.Minute))
	}
	if happened(r.completed, t) {
		known.Completed, known.Status, known.Reason, known.Tasks = r.completed, r.status, r.reason, r.tasks
	}
	return known
}

// row returns the row of the run in the archive at t, and when it was written; nil
// when there is none.
func (r *run) row(t time.Time) (*record.PipelineRun, time.Time) {
	i, _ := slices.BinarySearchFunc(r.stored, t, func(s, t time.Time) int {
		if s.After(t) {
			return 1
		}
		return -1
	})
	if i == 0 {
		return nil, time.Time{}
	}
	return r.at(r.stored[i-1]), r.stored[i-1]
}

// A thing is a Component or a tenant's namespace.
type thing struct {
	uid                               telemetry.UID
	namespace, component, application telemetry.Pseudonym
	created, gone                     time.Time
}

// An installation changes its mind about being ready.
type installation struct {
	uid                    telemetry.UID
	namespace              telemetry.Pseudonym
	created, deleted, gone time.Time
	changes                []change
}

type change struct {
	at     time.Time
	ready  record.ConditionStatus
	reason record.InstallReason
}

// at returns what was known of the installation at t.
func (i *installation) at(t time.Time) *record.Installation {
	known := &record.Installation{UID: i.uid, Namespace: i.namespace, Created: i.created}
	if happened(i.deleted, t) {
		known.Deleted = i.deleted
	}
	for _, c := range i.changes {
		if happened(c.at, t) {
			known.Ready, known.ReadySince, known.ReadyReason = c.ready, c.at, c.reason
		}
	}
	return known
}

// late returns when the installation counts as failed unless it is ready.
func (i *installation) late() time.Time { return i.created.Add(transform.DefaultInstallTime) }

func happened(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// present reports whether something is there at t.
func present(created, gone, t time.Time) bool { return happened(created, t) && !happened(gone, t) }

// names hides names like those of a cluster.
var names = sync.OnceValue(func() *telemetry.Pseudonymizer {
	names, err := telemetry.NewPseudonymizer("5f0c9d8e-7a35-4f5e-8a55-4b3f3c0d9b10")
	if err != nil { // the ID is not empty
		panic(err)
	}
	return names
})

// A creator makes up the objects of a cluster.
type creator struct {
	*rand.Rand
	anchors []time.Time // around which things happen
	end     time.Time
	// completedOnly says that the archive keeps a run only once it is done.
	completedOnly bool
	count         int
}

// moment returns a time at which something may happen: often shortly before or after
// a job, or the begin or end of an outage, where mistakes are made.
func (c *creator) moment() time.Time {
	if len(c.anchors) > 0 && c.IntN(5) < 3 {
		spread := []time.Duration{5 * time.Second, 5 * time.Minute, time.Hour}[c.IntN(3)]
		return c.anchors[c.IntN(len(c.anchors))].Add(c.between(-spread, spread))
	}
	return epoch.Add(c.between(0, c.end.Sub(epoch)))
}

// between returns a duration in whole seconds.
func (c *creator) between(least, most time.Duration) time.Duration {
	return (least + time.Duration(c.Int64N(int64(most-least)+1))).Truncate(time.Second)
}

func (c *creator) chance(percent int) bool { return c.IntN(100) < percent }

func (c *creator) uid() telemetry.UID {
	c.count++
	uid, err := telemetry.ParseUID(fmt.Appendf(nil, "%08x-%04x-4%03x-8%03x-%012x", c.Uint32(), c.count, c.IntN(0x1000), c.IntN(0x1000), c.Int64N(1<<48)))
	if err != nil { // it is one
		panic(err)
	}
	return uid
}

func (c *creator) tenant() []byte { return fmt.Append(nil, "tenant-", c.IntN(9)) }

// endings are how runs end.
var endings = []struct {
	status record.ConditionStatus
	reason string
}{
	{record.StatusTrue, "Succeeded"},
	{record.StatusTrue, "Completed"},
	{record.StatusFalse, "Failed"},
	{record.StatusFalse, "Cancelled"},
	{record.StatusFalse, "PipelineRunTimeout"},
	{record.StatusFalse, "my-own-reason"},
}

func (c *creator) run() *run {
	ending := endings[c.IntN(len(endings))]
	r := &run{
		uid: c.uid(), namespace: names().Namespace(c.tenant()), tasks: 1 + c.IntN(20), labelled: c.chance(50),
		status: ending.status, reason: record.ParseRunReason([]byte(ending.reason)), created: c.moment(),
	}
	if c.chance(60) {
		r.user = names().User(fmt.Append(nil, "user-", c.IntN(5)))
	}
	if c.chance(80) {
		r.kind = record.ParsePipelineType([]byte([]string{"build", "test", "release", "mine"}[c.IntN(4)]))
	}
	r.started = r.created.Add(c.between(0, 20*time.Second))
	longest := []time.Duration{10 * time.Minute, 3 * time.Hour, 30 * time.Hour}[c.IntN(3)]
	switch d := c.IntN(100); {
	case d < 4: // it never starts, and is refused
		r.started, r.completed = time.Time{}, r.started
	case d < 94:
		r.completed = r.started.Add(c.between(time.Second, longest))
	default: // it goes on for ever, or until it is deleted
	}
	if end := r.completed; !end.IsZero() && c.chance(80) {
		r.gone = end.Add(c.between(0, []time.Duration{5 * time.Minute, 3 * time.Hour, 48 * time.Hour}[c.IntN(3)]))
	} else if c.chance(30) {
		r.gone = r.created.Add(c.between(time.Minute, longest))
	}
	c.store(r)
	return r
}

// store decides when the archive writes the row of a run: after each step of its
// life and for no reason at all, as long as the cluster has it. A run that is done
// stays until it is stored.
func (c *creator) store(r *run) {
	lag := func() time.Duration {
		return c.between(0, []time.Duration{5 * time.Second, 4 * time.Minute}[c.IntN(2)])
	}
	done := happened(r.completed, r.gone) || r.gone.IsZero() && !r.completed.IsZero()
	if !c.completedOnly {
		r.stored = append(r.stored, r.created.Add(lag()))
		if !r.started.IsZero() {
			r.stored = append(r.stored, r.started.Add(lag()))
		}
		if !done && !r.gone.IsZero() {
			r.stored = append(r.stored, r.gone)
		}
	}
	if done {
		stored := r.completed.Add(lag())
		if !r.gone.IsZero() && r.gone.Before(stored) {
			r.gone = stored
		}
		r.stored = append(r.stored, stored)
		for range c.IntN(3) {
			last := stored.Add(6 * time.Hour)
			if !r.gone.IsZero() {
				last = r.gone
			}
			r.stored = append(r.stored, stored.Add(c.between(0, last.Sub(stored))))
		}
		if !r.gone.IsZero() {
			r.stored = append(r.stored, r.gone)
		}
	}
	slices.SortFunc(r.stored, time.Time.Compare)
	if !r.gone.IsZero() { // what is gone is not written any more
		r.stored = slices.DeleteFunc(r.stored, func(t time.Time) bool { return t.After(r.gone) })
	}
}

func (c *creator) thing() *thing {
	tenant := c.tenant()
	t := &thing{
		uid: c.uid(), namespace: names().Namespace(tenant), created: c.moment(),
		component:   names().Component(fmt.Append(nil, "component-", c.count), tenant),
		application: names().Application(fmt.Append(nil, "application-", c.IntN(3)), tenant),
	}
	if c.chance(30) {
		t.gone = t.created.Add(c.between(time.Minute, 48*time.Hour))
	}
	return t
}

func (c *creator) installation() *installation {
	i := &installation{uid: c.uid(), namespace: names().Namespace([]byte("unknown")), created: c.moment()}
	statuses := []record.ConditionStatus{record.StatusTrue, record.StatusFalse, record.StatusUnknown}
	at, last := i.created, record.ConditionStatus{}
	for range c.IntN(6) {
		at = at.Add(c.between(time.Minute, []time.Duration{time.Hour, 4 * time.Hour, 72 * time.Hour}[c.IntN(3)]))
		next := change{at, statuses[c.IntN(3)], record.ParseInstallReason([]byte("AllComponentsReady"))}
		if next.ready == last {
			continue
		}
		if next.ready != record.StatusTrue {
			next.reason = record.ParseInstallReason([]byte([]string{"ComponentsNotReady", "ApplyFailed", "odd"}[c.IntN(3)]))
		}
		last = next.ready
		i.changes = append(i.changes, next)
	}
	if c.chance(40) {
		i.deleted = i.created.Add(c.between(time.Minute, c.end.Sub(epoch)))
		i.gone = i.deleted.Add(c.between(time.Second, 5*time.Hour))
		i.changes = slices.DeleteFunc(i.changes, func(x change) bool { return x.at.After(i.gone) })
	}
	return i
}

// cluster returns a cluster with that many runs.
func (c *creator) cluster(runs int) *cluster {
	made := &cluster{}
	for range runs {
		made.runs = append(made.runs, c.run())
	}
	for range c.IntN(2 + runs/8) {
		made.components = append(made.components, c.thing())
		made.tenants = append(made.tenants, c.thing())
	}
	for range 1 + c.IntN(2) {
		made.installations = append(made.installations, c.installation())
	}
	return made
}
