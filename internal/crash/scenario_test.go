// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"time"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/internal/jobtest"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A scenario is a cluster and what is done there, one after the other. In the first
// hour Tekton Results breaks off, and the receiver refuses an event.
type scenario struct {
	cluster *samplecluster.Cluster
	names   *telemetry.Pseudonymizer
	phases  []phase
	refused string // a message ID
	// resume restarts the step that was killed, as a pod restarts a container,
	// instead of the whole job, as a Job starts a pod anew a minute later.
	resume bool
	// brokenBucket and brokenDestination, unless nil, come between the job and its
	// seams.
	brokenBucket      func(stage.Bucket) stage.Bucket
	brokenDestination func(load.Destination) load.Destination

	made map[moment][]samplecluster.Object // is slow to make
}

func newScenario() (*scenario, error) {
	c := samplecluster.New(samplecluster.Config{Runs: 25, Tenants: 10, Components: 10})
	names, err := telemetry.NewPseudonymizer(c.ID)
	if err != nil {
		return nil, err
	}
	s := &scenario{cluster: c, names: names, phases: phases(c.Now), made: map[moment][]samplecluster.Object{}}
	for r := range c.Runs() {
		if !r.Pruned && r.Started.After(c.Now.Add(-jobtest.Lookback)) && r.Started.Before(c.Now) {
			s.refused = r.UID + "-started"
			return s, nil
		}
	}
	return nil, errors.New("no run of the sample started in the window")
}

// now is when an attempt at an hour begins.
func (s *scenario) now(phase, attempt int) time.Time {
	if s.resume {
		attempt = 0
	}
	return s.phases[phase].at.Add(time.Duration(attempt) * time.Minute)
}

// A phase is a series of steps, each a container of a pod that starts at a time.
type phase struct {
	at    time.Time
	steps []step
}

type step func(ctx context.Context, j *jobtest.Job, now time.Time) error

// phases are two hours that overlap; the same time of the next day, when the first
// day is compacted and orphans are swept; and a month later the end of what is old.
func phases(start time.Time) []phase {
	hour := []step{extractStep, transformStep, loadStep}
	return []phase{
		{start, hour},
		{start.Add(time.Hour), hour},
		{start.AddDate(0, 0, 1), append(hour[:3:3], compactStep, expireStep)},
		{start.AddDate(0, 1, 0), []step{expireStep}},
	}
}

const (
	hours  = 3 // phases in which the job runs
	tidied = 3 // the first phase of which nothing orphaned survives
)

func extractStep(ctx context.Context, j *jobtest.Job, now time.Time) error {
	_, err := j.Extract(ctx, now)
	return err
}

func transformStep(ctx context.Context, j *jobtest.Job, _ time.Time) error {
	_, err := j.Transform(ctx)
	return err
}

func loadStep(ctx context.Context, j *jobtest.Job, _ time.Time) error {
	_, err := j.Load(ctx)
	return errors.Join(err, j.Destination.Close())
}

func compactStep(ctx context.Context, j *jobtest.Job, now time.Time) error {
	_, err := j.Ledger().Compact(ctx, stage.CompactOptions{Now: now})
	return err
}

func expireStep(ctx context.Context, j *jobtest.Job, now time.Time) error {
	_, err := j.Ledger().Expire(ctx, stage.ExpireOptions{Now: now, OlderThan: 8 * 24 * time.Hour})
	return err
}

// job is the job of a process.
func (s *scenario) job(p *process, phase int, now time.Time) (*jobtest.Job, error) {
	destination, err := jobtest.Segment(p)
	if err != nil {
		return nil, err
	}
	j := &jobtest.Job{
		Names: s.names, Bucket: p, Destination: destination, Dir: p.dir, Create: p.create, Now: p.now, Wait: p.wait,
		Sources: []extract.Source{
			source{&view{scenario: s, name: record.SourcePipelineRuns, at: now}, p},
			source{&view{scenario: s, name: record.SourceResults, at: now, down: phase == 0}, p},
		},
	}
	if s.brokenBucket != nil {
		j.Bucket = s.brokenBucket(p)
	}
	if s.brokenDestination != nil {
		j.Destination = s.brokenDestination(destination)
	}
	return j, nil
}

// A view is a source that reads the cluster as it is at a time.
type view struct {
	scenario *scenario
	name     record.SourceName
	at       time.Time
	down     bool
}

// Name implements [extract.Source].
func (v *view) Name() record.SourceName { return v.name }

// Extract implements [extract.Source].
func (v *view) Extract(_ context.Context, _ record.Window, stats *extract.Stats, emit func(record.Record) error) error {
	projector := extract.NewProjector(v.scenario.names)
	each := stats.Pass(emit)
	for _, o := range v.scenario.objects(v.name == record.SourceResults, v.at) {
		if err := each(projector.ReadBytes(o.JSON, extract.Kind(o.Kind))); err != nil {
			return err
		}
		if v.down { // it breaks off
			return &extract.Error{Outcome: record.OutcomeError, Op: "list records"}
		}
	}
	return nil
}

// objects returns what Tekton Results or the cluster holds at a time.
func (s *scenario) objects(stored bool, at time.Time) []samplecluster.Object {
	if objects, ok := s.made[moment{stored, at}]; ok {
		return objects
	}
	var objects []samplecluster.Object
	for r := range s.cluster.Runs() {
		if r.Created.Before(at) && (stored && r.Stored || !stored && !r.Pruned) {
			objects = append(objects, r.Object(at))
		}
	}
	for i := range s.cluster.Components {
		if !stored {
			objects = append(objects, s.cluster.Components[i].Object())
		}
	}
	s.made[moment{stored, at}] = objects
	return objects
}

type moment struct {
	stored bool
	at     time.Time
}

// expected returns the message IDs of the events in [since, until), by what the
// sample says of itself, without the heartbeats.
func (s *scenario) expected(since, until time.Time) map[string]bool {
	ids := map[string]bool{}
	add := func(id string, at time.Time) {
		if !at.Before(since) && at.Before(until) {
			ids[id] = true
		}
	}
	for r := range s.cluster.Runs() {
		if r.Pruned && !r.Stored {
			continue
		}
		add(r.UID+"-started", r.Started)
		add(r.UID+"-completed", r.Completed)
	}
	for _, c := range s.cluster.Components {
		add(c.UID+"-component-created", c.Created)
	}
	return ids
}
