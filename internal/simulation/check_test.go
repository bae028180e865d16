// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/internal/jobtest"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A truth is what an event may say: its name, its time and its properties as JSON.
type truth struct {
	name       string
	at         time.Time
	properties map[string]any
	tasks      int // at most, where the time of reading decides
}

// truths returns what the model has to say, by message ID. An installation may have
// become ready more than once; which time is told depends on when it was read.
func (c *cluster) truths() map[string][]truth {
	all := map[string][]truth{}
	add := func(uid telemetry.UID, what, name string, at time.Time, namespace telemetry.Pseudonym, properties map[string]any) *truth {
		properties[catalogue.NamespaceHash] = namespace.String()
		properties[catalogue.ClusterIDHash] = names().Cluster().String()
		id := uid.String() + what
		all[id] = append(all[id], truth{name: name, at: at, properties: properties})
		return &all[id][len(all[id])-1]
	}
	span := func(from, to time.Time, properties map[string]any) map[string]any {
		properties[catalogue.StartTime] = from.Format(time.RFC3339)
		properties[catalogue.CompletionTime] = to.Format(time.RFC3339)
		properties[catalogue.DurationSeconds] = to.Sub(from).Seconds()
		return properties
	}
	for _, r := range c.runs {
		common := func() map[string]any {
			p := map[string]any{catalogue.HasPipelineLabel: r.labelled, catalogue.PipelineType: nil}
			if !r.kind.IsZero() {
				p[catalogue.PipelineType] = r.kind.String()
			}
			if !r.user.IsZero() {
				p[catalogue.UserHash] = r.user.String()
			}
			return p
		}
		start := r.started
		if start.IsZero() {
			start = r.completed
		} else {
			add(r.uid, "-started", catalogue.PipelineRunStarted, start, r.namespace, common()).tasks = r.tasks
		}
		if !r.completed.IsZero() {
			p := span(start, r.completed, common())
			p[catalogue.TaskCount] = float64(r.tasks)
			p[catalogue.Status] = r.reason.String()
			p[catalogue.Outcome] = map[string]string{
				"Succeeded": "succeeded", "Completed": "succeeded", "Cancelled": "cancelled", "PipelineRunTimeout": "timeout",
			}[r.reason.String()]
			if p[catalogue.Outcome] == "" {
				p[catalogue.Outcome] = "failed"
			}
			add(r.uid, "-completed", catalogue.PipelineRunCompleted, r.completed, r.namespace, p)
		}
	}
	for _, x := range c.components {
		add(x.uid, "-component-created", catalogue.ComponentCreated, x.created, x.namespace, map[string]any{
			catalogue.ComponentHash: x.component.String(), catalogue.ApplicationHash: x.application.String(),
		})
	}
	for _, x := range c.tenants {
		add(x.uid, "-namespace-created", catalogue.NamespaceCreated, x.created, x.namespace, map[string]any{})
	}
	for _, i := range c.installations {
		add(i.uid, "-started", catalogue.DeploymentStarted, i.created, i.namespace, map[string]any{})
		if !i.deleted.IsZero() {
			add(i.uid, "-removal-started", catalogue.RemovalStarted, i.deleted, i.namespace, map[string]any{})
		}
		for _, x := range i.changes {
			if x.ready == record.StatusTrue {
				add(i.uid, "-completed", catalogue.DeploymentCompleted, x.at, i.namespace,
					span(i.created, x.at, map[string]any{catalogue.Status: x.reason.String()}))
			}
		}
		// The clock of a job may be ahead.
		if i.at(i.late()).Ready != record.StatusTrue || i.at(i.late().Add(-10*time.Minute)).Ready != record.StatusTrue {
			for _, reason := range []string{"Unknown", "ComponentsNotReady", "ApplyFailed", "Other"} {
				add(i.uid, "-failed", catalogue.DeploymentFailed, i.late(), i.namespace, map[string]any{catalogue.Status: reason})
			}
		}
	}
	return all
}

// agrees reports whether an event says one of the truths.
func agrees(track telemetry.Track, truths []truth) bool {
	var call struct {
		MessageID, Event string
		Timestamp        time.Time
		Properties       map[string]any
	}
	if json.Unmarshal(track.Payload, &call) != nil || call.MessageID != track.MessageID || call.Event != track.Event || !call.Timestamp.Equal(track.Time) {
		return false
	}
	return slices.ContainsFunc(truths, func(x truth) bool {
		properties := call.Properties
		if x.tasks > 0 {
			tasks, ok := properties[catalogue.TaskCount].(float64)
			if !ok || tasks < 0 || tasks > float64(x.tasks) {
				return false
			}
			properties = maps.Clone(properties)
			delete(properties, catalogue.TaskCount)
		}
		return track.Event == x.name && track.Time.Equal(x.at) && reflect.DeepEqual(properties, x.properties)
	})
}

// Figures are what a simulation has been through.
type figures struct {
	seeds, jobs, killed, failed, batches, events, due, delivered, again int64
	// twice counts events that two jobs at the same time staged, late those that are
	// missing because the archive told of them too late.
	twice, late int64
}

func (f *figures) add(o figures) {
	f.seeds += o.seeds
	f.jobs += o.jobs
	f.killed += o.killed
	f.failed += o.failed
	f.batches += o.batches
	f.events += o.events
	f.due += o.due
	f.delivered += o.delivered
	f.again += o.again
	f.twice += o.twice
	f.late += o.late
}

// check returns everything that is wrong at the end of a simulation.
func (w *world) check() (f figures, wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	ctx := context.Background()
	ledger := (&jobtest.Job{Bucket: w.store, Dir: w.dir}).Ledger()
	f.seeds, f.due = 1, int64(len(w.due))
	// Nobody is to deliver again what was delivered, unless loaders die or sleep, or
	// what they send or write gets lost.
	quiet := len(w.weather[theBucket])+len(w.weather[theReceiver]) == 0
	for i, a := range w.actors {
		f.jobs++
		quiet = quiet && !a.killed && !a.froze
		switch {
		case a.killed:
			f.killed++
		case a.err != nil:
			f.failed++
		}
		if i >= len(w.actors)-2 && (a.err != nil || len(a.outcome.Report.Failed()) > 0) {
			complain("a job without any trouble fails: %v", a.err)
		}
	}

	truths := w.cluster.truths()
	maps.Copy(truths, w.heartbeats())
	staged := map[string][]*actor{}
	for b, err := range ledger.Batches(ctx, stage.Range{}) {
		if err != nil {
			complain("%v", err)
			break
		}
		m, err := ledger.Manifest(ctx, b)
		if err != nil {
			complain("%v", err)
			continue
		}
		f.batches++
		for track, err := range ledger.Tracks(ctx, m) {
			if err != nil {
				complain("%v", err)
				break
			}
			id := track.MessageID
			if !agrees(track, truths[id]) {
				complain("batch %s has an event that did not happen like that: %s", m.Batch, track.Payload)
			}
			staged[id] = append(staged[id], w.made["v1/manifests/"+b.String()+".json"])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(staged)) {
		f.events++
		by := staged[id]
		if len(by) > 1 {
			f.twice++
		}
		for i, a := range by {
			for _, o := range by[:i] {
				if a == nil || o == nil || a.ended <= o.began || o.ended <= a.began {
					complain("%s is staged twice, by jobs that did not run at the same time", id)
				}
			}
		}
		n := int64(w.receiver.accepted[id])
		if n == 0 && !w.receiver.refuses(id) {
			complain("%s is staged and was never delivered", id)
		}
		f.delivered += min(n, 1)
		again := max(n-int64(len(by)), 0)
		f.again += again
		if again > 0 && quiet {
			complain("%s was delivered %d times, and nothing had gone wrong", id, n)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.receiver.accepted)) {
		if len(staged[id]) == 0 {
			complain("%s was delivered and is not staged", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.due)) {
		if x := w.due[id]; len(staged[id]) == 0 {
			complain("%s of %s was seen in %s and is lost", id, x.at.Format(time.RFC3339), x.source)
		}
	}
	for id := range w.late {
		if len(staged[id]) == 0 {
			f.late++
		}
	}
	for b, err := range ledger.Pending(ctx, w.receiver.Name()) {
		complain("batch %s has no receipt (%v)", b, err)
	}
	w.checkCoverage(ctx, ledger, complain)
	if w.wire != nil {
		if r := w.wire.receiver.Report(); len(r.Drops)+len(r.Refusals)+len(r.Violations) > 0 {
			complain("requests break the protocol: %v", r)
		}
	}
	return f, wrong
}

// checkCoverage looks for time that has not been read and could have been.
func (w *world) checkCoverage(ctx context.Context, ledger *stage.Ledger, complain func(string, ...any)) {
	head, err := ledger.Head(ctx, names().Cluster())
	if err != nil || head == nil {
		complain("there is no head: %v", err)
		return
	}
	from := later(w.begin, head.Window.Until.Add(-jobtest.MaxLookback))
	for _, name := range sourceNames {
		covered := slices.ContainsFunc(head.Coverage[name], func(s record.Window) bool {
			return !s.Since.After(from) && s.Until.Equal(head.Window.Until)
		})
		if !covered {
			complain("coverage of %s has a hole after %s: %v", name, from, head.Coverage[name])
		}
	}
}

// heartbeats returns the truths of the heartbeats: what each job that staged could tell of its
// sources.
func (w *world) heartbeats() map[string][]truth {
	all := map[string][]truth{}
	for _, a := range w.actors {
		report := a.outcome.Report
		at := report.Window.Until
		if at.IsZero() {
			continue
		}
		x := truth{name: catalogue.Heartbeat, at: at, properties: map[string]any{catalogue.ClusterIDHash: names().Cluster().String()}}
		for _, s := range report.Sources {
			x.properties[catalogue.SourceProperty(s.Name)] = s.Outcome.String()
		}
		id := names().Cluster().String() + "-heartbeat-" + at.Format(time.RFC3339)
		all[id] = append(all[id], x)
	}
	return all
}

// story tells what each job did, for someone who looks into a failure.
func (w *world) story() string {
	var b strings.Builder
	for i, a := range w.actors {
		r := a.outcome.Report
		fmt.Fprintf(&b, "job %d: window %s to %s, killed=%t, steps=%d, staged=%d already=%d, error: %v\n",
			i, r.Window.Since.Format(time.RFC3339), r.Window.Until.Format(time.RFC3339), a.killed, a.steps,
			a.outcome.Staged.Events, a.outcome.Staged.AlreadyStaged, a.err)
		for _, s := range r.Failed() {
			fmt.Fprintf(&b, "  %s: %s\n", s.Name, s.Outcome)
		}
	}
	for _, what := range append(words(), theBucket, theReceiver) {
		for _, s := range w.weather[what] {
			fmt.Fprintf(&b, "%s from %s to %s: trouble %d\n", what, s.from.Format(time.RFC3339), s.to.Format(time.RFC3339), s.trouble)
		}
	}
	return b.String()
}
