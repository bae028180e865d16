// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/results"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// sourceNames are the sources of a job, in the order of reading.
var sourceNames = []record.SourceName{
	record.SourcePipelineRuns, record.SourceComponents, record.SourceNamespaces, record.SourceInstallations, record.SourceResults,
}

// kubeDelay is how old what the API server shows may be.
const kubeDelay = 3 * time.Second

// prompt is how soon after an event a source has to show it to be held
// accountable for it.
const prompt = 10 * time.Minute

// A source is one source of the model.
type source struct {
	world *world
	name  record.SourceName
}

// A sight is an event that a job could see in a source that it read to its end.
type sight struct {
	id     string
	at     time.Time
	source record.SourceName
}

// Name implements [extract.Source].
func (s *source) Name() record.SourceName { return s.name }

// Extract implements [extract.Source].
func (s *source) Extract(ctx context.Context, window record.Window, stats *extract.Stats, emit func(record.Record) error) error {
	w := s.world
	w.step()
	trouble := w.weather.of(w.now, s.name.String())
	if trouble == forbidden {
		return &extract.Error{Outcome: record.OutcomeForbidden, Op: "list", Status: 403}
	}
	read := s.list
	if s.name == record.SourceResults {
		read = s.page
	}
	var sights []sight
	if s.name == record.SourceResults {
		sights = s.archived(window)
	}
	seen := 0
	err := read(window, func(r record.Record) error {
		if seen++; seen%5 == 0 {
			w.step()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if trouble == breaking && seen > 1+int(w.seed%4) || trouble == flaky && w.chance(2) {
			return &extract.Error{Outcome: record.OutcomeError, Op: "list", Hint: "the connection broke"}
		}
		if s.name != record.SourceResults {
			sights = append(sights, see(s.name, r)...)
		}
		stats.Objects++
		return emit(r)
	})
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case trouble == breaking: // there was too little to break at
		return &extract.Error{Outcome: record.OutcomeTimeout, Op: "list"}
	case s.name == record.SourceInstallations && seen == 0:
		return &extract.Error{Outcome: record.OutcomeAbsent, Op: "list"}
	}
	w.actor.sights = append(w.actor.sights, sights...)
	return nil
}

// list reads a list of the cluster, as it is when reading begins.
func (s *source) list(_ record.Window, each func(record.Record) error) error {
	at := s.world.now.Add(-kubeDelay)
	c := s.world.cluster
	var all []record.Record
	switch s.name {
	case record.SourcePipelineRuns:
		for _, r := range c.runs {
			if present(r.created, r.gone, at) {
				all = append(all, r.at(at))
			}
		}
	case record.SourceComponents:
		for _, x := range c.components {
			if present(x.created, x.gone, at) {
				all = append(all, &record.Component{UID: x.uid, Namespace: x.namespace, Component: x.component, Application: x.application, Created: x.created})
			}
		}
	case record.SourceNamespaces:
		for _, x := range c.tenants {
			if present(x.created, x.gone, at) {
				all = append(all, &record.Namespace{UID: x.uid, Namespace: x.namespace, Created: x.created})
			}
		}
	default:
		for _, i := range c.installations {
			if present(i.created, i.gone, at) {
				all = append(all, i.at(at))
			}
		}
	}
	for _, r := range all {
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

// A row is one of the archive.
type row struct {
	*record.PipelineRun
	run     *run
	written time.Time
}

// before is the order of the archive, the latest first.
func (r row) before(o row) int {
	return cmp.Or(o.written.Compare(r.written), cmp.Compare(o.UID.String(), r.UID.String()))
}

// rows returns what the archive holds now.
func (s *source) rows() []row {
	var rows []row
	for _, r := range s.world.cluster.runs {
		if known, written := r.row(s.world.now); known != nil {
			rows = append(rows, row{known, r, written})
		}
	}
	slices.SortFunc(rows, row.before)
	return rows
}

// page reads the archive in small pages, each as the archive is when it is asked for:
// a row that is written meanwhile moves to the front, out of sight.
func (s *source) page(window record.Window, each func(record.Record) error) error {
	size := 3 + int(s.world.seed%5)
	var last *row
	for {
		rows := s.rows()
		if last != nil {
			rows = slices.DeleteFunc(rows, func(r row) bool { return r.before(*last) <= 0 })
		}
		for _, r := range rows[:min(size, len(rows))] {
			if r.written.Before(window.Since.Add(-results.DefaultSlack)) {
				return nil
			}
			last = &r
			if err := each(r.PipelineRun); err != nil {
				return err
			}
		}
		if len(rows) <= size {
			return nil
		}
		s.world.step()
	}
}

// archived returns what a reading of the archive that begins now has to see. Of a run
// that is stored when it is done the archive cannot tell in time that it began.
func (s *source) archived(window record.Window) []sight {
	var sights []sight
	for _, r := range s.rows() {
		if r.written.Before(window.Since.Add(-results.DefaultSlack)) {
			break
		}
		for _, x := range see(s.name, r.PipelineRun) {
			i := slices.IndexFunc(r.run.stored, func(t time.Time) bool { return !t.Before(x.at) })
			if i >= 0 && r.run.stored[i].Sub(x.at) < prompt {
				sights = append(sights, x)
			} else if window.Contains(x.at) {
				s.world.late[x.id] = true
			}
		}
	}
	return sights
}

// see returns the events that a record tells of.
func see(from record.SourceName, r record.Record) []sight {
	var sights []sight
	add := func(uid telemetry.UID, what string, at time.Time) {
		if !at.IsZero() {
			sights = append(sights, sight{uid.String() + what, at, from})
		}
	}
	switch r := r.(type) {
	case *record.PipelineRun:
		add(r.UID, "-started", r.Started)
		if r.Status != record.StatusUnknown {
			add(r.UID, "-completed", r.Completed)
		}
	case *record.Component:
		add(r.UID, "-component-created", r.Created)
	case *record.Namespace:
		add(r.UID, "-namespace-created", r.Created)
	case *record.Installation:
		late := r.Created.Add(2 * time.Hour)
		add(r.UID, "-started", r.Created)
		add(r.UID, "-removal-started", r.Deleted)
		if r.Ready == record.StatusTrue {
			add(r.UID, "-completed", r.ReadySince)
		} else if r.Deleted.IsZero() && !r.ReadySince.After(late) {
			add(r.UID, "-failed", late)
		}
	}
	return sights
}
