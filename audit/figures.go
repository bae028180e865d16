// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// durationBuckets are the upper ends, in seconds, of the ranges of durations.
var durationBuckets = [...]int64{15, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14400, 28800, 86400}

type durations [len(durationBuckets) + 1]int64

func (d *durations) add(seconds int64) {
	i, _ := slices.BinarySearch(durationBuckets[:], seconds)
	d[i]++
}

// figures are what a report adds up over events; its size follows from the number of days.
type figures struct {
	events        map[dayOf]int64
	pipelines     map[pipelinesOf]*pipelines
	installations Installations
	durations     durations // of installations
	samples       map[string]Sample
	occurrences   map[telemetry.Pseudonym]*Occurrence
}

type dayOf struct {
	day   int64 // since 1970
	event string
}

type pipelinesOf struct {
	day int64
	typ string
}

type pipelines struct {
	outcomes  map[string]int64
	durations durations
}

func newFigures() *figures {
	return &figures{
		events: map[dayOf]int64{}, pipelines: map[pipelinesOf]*pipelines{}, samples: map[string]Sample{},
		installations: Installations{Reasons: map[string]int64{}}, occurrences: map[telemetry.Pseudonym]*Occurrence{},
	}
}

const secondsADay = 24 * 60 * 60

// add counts what an event says, whose properties keep to the plan.
func (f *figures) add(e *telemetry.Event) {
	switch e.Name {
	case catalogue.PipelineRunCompleted:
		key := pipelinesOf{e.Time.Unix() / secondsADay, cmp.Or(property(e, catalogue.PipelineType).String(), "none")}
		p := f.pipelines[key]
		if p == nil {
			p = &pipelines{outcomes: map[string]int64{}}
			f.pipelines[key] = p
		}
		p.outcomes[cmp.Or(property(e, catalogue.Outcome).String(), "unknown")]++
		p.durations.add(property(e, catalogue.DurationSeconds).Integer())
	case catalogue.DeploymentStarted:
		f.installations.Started++
	case catalogue.DeploymentCompleted:
		f.installations.Completed++
		f.installations.Reasons[property(e, catalogue.Status).String()]++
		f.durations.add(property(e, catalogue.DurationSeconds).Integer())
	case catalogue.DeploymentFailed:
		f.installations.Failed++
		f.installations.Reasons[property(e, catalogue.Status).String()]++
	case catalogue.RemovalStarted:
		f.installations.Removed++
	}
}

func property(e *telemetry.Event, name string) telemetry.Value {
	for i := range e.Properties {
		if e.Properties[i].Name == name {
			return e.Properties[i].Value
		}
	}
	return telemetry.Null
}

// occurs notes that a pseudonym occurs in a property of the event in a row.
func (f *figures) occurs(p telemetry.Pseudonym, e *telemetry.Event, row int64, property string) {
	o := f.occurrences[p]
	if o == nil {
		o = &Occurrence{Properties: map[string]int64{}, Batches: 1}
		f.occurrences[p] = o
	}
	o.Properties[property]++
	o.span(e.Time, e.Time)
	if o.row != row {
		o.row = row
		o.Events++
	}
}

func (o *Occurrence) span(first, last time.Time) {
	if o.First.IsZero() || first.Before(o.First) {
		o.First = first
	}
	if last.After(o.Last) {
		o.Last = last
	}
}

// merge adds the figures of a file.
func (f *figures) merge(other *figures) {
	addAll(f.events, other.events)
	for key, p := range other.pipelines {
		sum := f.pipelines[key]
		if sum == nil {
			f.pipelines[key] = p
			continue
		}
		addAll(sum.outcomes, p.outcomes)
		sum.durations.merge(&p.durations)
	}
	i, j := &f.installations, &other.installations
	i.Started += j.Started
	i.Completed += j.Completed
	i.Failed += j.Failed
	i.Removed += j.Removed
	addAll(i.Reasons, j.Reasons)
	f.durations.merge(&other.durations)
	for event, s := range other.samples {
		// The earliest, whatever the order of files is.
		if old, ok := f.samples[event]; !ok || cmp.Or(s.time.Compare(old.time), strings.Compare(s.id, old.id)) < 0 {
			f.samples[event] = s
		}
	}
	for p, o := range other.occurrences {
		sum := f.occurrences[p]
		if sum == nil {
			f.occurrences[p] = o
			continue
		}
		addAll(sum.Properties, o.Properties)
		sum.Events += o.Events
		sum.Batches += o.Batches
		sum.span(o.First, o.Last)
	}
}

func (d *durations) merge(other *durations) {
	for i, n := range other {
		d[i] += n
	}
}

func addAll[K comparable](sum, counts map[K]int64) {
	for key, n := range counts {
		sum[key] += n
	}
}

func dayName(day int64) string { return time.Unix(day*secondsADay, 0).UTC().Format(time.DateOnly) }

// report writes the figures into a report.
func (f *figures) report(r *Report, guesses []Guess) {
	days := map[string]map[string]int64{}
	for key, n := range f.events {
		day := dayName(key.day)
		if days[day] == nil {
			days[day] = map[string]int64{}
		}
		days[day][key.event] = n
	}
	for _, day := range slices.Sorted(maps.Keys(days)) {
		r.Days = append(r.Days, Day{day, days[day]})
	}
	for key, p := range f.pipelines {
		r.Pipelines = append(r.Pipelines, Pipelines{dayName(key.day), key.typ, p.outcomes, p.durations[:]})
	}
	slices.SortFunc(r.Pipelines, func(a, b Pipelines) int {
		return cmp.Or(strings.Compare(a.Day, b.Day), strings.Compare(a.Type, b.Type))
	})
	r.Installations = f.installations
	r.Installations.Durations = f.durations[:]
	r.DurationBuckets = durationBuckets[:]
	for _, event := range slices.Sorted(maps.Keys(f.samples)) {
		r.Samples = append(r.Samples, f.samples[event])
	}
	for _, g := range guesses {
		o := Occurrence{Guess: g}
		if found := f.occurrences[g.Pseudonym]; found != nil {
			o = *found
			o.Guess = g
		}
		r.Reproduced = append(r.Reproduced, o)
	}
}
