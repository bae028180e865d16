// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"math/rand/v2"
	"time"
)

// A Kind says what a run is for and so how it looks.
type Kind uint8

// The kinds of runs: about 41, 12, 23, 10 and 4 kB of JSON when they succeeded.
const (
	// Build builds a component: started by Pipelines as Code, 16 children.
	Build Kind = iota
	// Integration tests what was built: owned by a Snapshot, one child.
	Integration
	// Managed releases to production from the namespace of the release team, 11 children.
	Managed
	// Release releases from the team's own namespace, 5 children.
	Release
	// Plain is somebody's own pipeline, without the labels of Konflux, 2 children.
	Plain
	kinds
)

// String returns the kind's name.
func (k Kind) String() string {
	return [kinds]string{"build", "integration", "managed", "release", "plain"}[k]
}

// A Run is what there is to know about a PipelineRun: what a reader of the
// cluster should find.
type Run struct {
	Index           int
	Kind            Kind
	Namespace, Name string
	UID             string
	// Type is label pipelines.appstudio.openshift.io/type, or empty.
	Type string
	// Sender is label or annotation pipelinesascode.tekton.dev/sender, or empty.
	Sender string
	// Component and Application are what the run is about.
	Component, Application string
	// Subject and SHA are of the commit that set it off.
	Subject, SHA string
	// Created, Started and Completed are in this order. Those after Now have not
	// happened yet: the run is pending or running.
	Created, Started, Completed time.Time
	// Reason is that of condition Succeeded, and Children the number of child
	// references, once the run is completed.
	Reason   string
	Children int
	// Pruned says that the run is in Tekton Results alone.
	Pruned bool
	// Stored says that it is in Tekton Results.
	Stored bool

	cluster            *Cluster
	component          *Component
	author             string
	suffix             string
	snapshot, release  string
	storedWhileRunning bool
}

// The reasons that runs end with.
const (
	succeeded      = "Succeeded"
	completed      = "Completed" // with tasks skipped
	failed         = "Failed"
	cancelled      = "Cancelled"
	timedOut       = "PipelineRunTimeout"
	couldntGetTask = "CouldntGetTask"
)

// A phase is how far a run has come.
type phase uint8

const (
	done phase = iota
	running
	pending
)

// The kinds and the fates of runs follow each other in circles of 12 and 25, so
// that 300 runs hold each combination.
var (
	kindCircle = [...]Kind{
		Build, Integration, Build, Managed, Build, Integration, Plain, Build, Integration, Release, Build, Integration,
	}
	fateCircle = [...]struct {
		reason string
		phase  phase
	}{
		{succeeded, done},
		{failed, done},
		{succeeded, done},
		{succeeded, running},
		{cancelled, done},
		{succeeded, done},
		{completed, done},
		{succeeded, done},
		{timedOut, done},
		{succeeded, done},
		{succeeded, pending},
		{succeeded, done},
		{failed, done},
		{succeeded, done},
		{couldntGetTask, done},
		{succeeded, done},
		{succeeded, done},
		{cancelled, done},
		{succeeded, done},
		{failed, running},
		{succeeded, done},
		{completed, done},
		{succeeded, done},
		{failed, done},
		{succeeded, done},
	}
)

// minutes are the shortest and the longest times that a kind of run takes.
var minutes = [kinds][2]int64{Build: {8, 40}, Integration: {2, 6}, Managed: {10, 30}, Release: {5, 15}, Plain: {1, 5}}

// Run is the i-th run there ever was, from 0.
func (c *Cluster) Run(i int) Run {
	random := c.random(i, 1)
	component := &c.Components[random.IntN(c.active)]
	fate := fateCircle[i%len(fateCircle)]
	r := Run{
		Index:       i,
		Kind:        kindCircle[i%len(kindCircle)],
		Namespace:   component.Namespace,
		UID:         newUUID(random),
		Component:   component.Name,
		Application: component.suite,
		Subject:     commitSubject(random),
		SHA:         randomHex(random, 40),
		Reason:      fate.reason,
		cluster:     c,
		component:   component,
		author:      userName(random.IntN(len(c.Tenants) * usersPerTenant)),
		suffix:      suffixOf(i, c.seed),
	}
	r.identify(i, random)
	r.happen(fate.phase, random)
	r.snapshot = snapshotName(r.Application, r.Created)
	r.release = r.snapshot + "-" + r.SHA[:7]

	// A third of the finished runs is pruned; a sixth is stored and still there,
	// half of those as they were before they were done.
	if place := random.IntN(12); fate.phase == done {
		r.Pruned = place < 4
		r.Stored = place < 6
		r.storedWhileRunning = place == 5
	}
	return r
}

// identify names the run after its kind.
func (r *Run) identify(i int, random *rand.Rand) {
	switch r.Kind {
	case Build:
		r.Type, r.Sender, r.Name = "build", r.author, r.Component+"-on-push-"+r.suffix
	case Integration:
		r.Type, r.Name = "test", r.Application+"-policy-"+r.suffix
	case Managed:
		r.Type, r.Name = "managed", managedPrefix+r.suffix
		r.Namespace = r.cluster.Tenants[0].Name
	case Release:
		r.Type, r.Name = pick(random, []string{"release", "tenant", "final"}), r.Application+"-release-"+r.suffix
	default:
		r.Sender, r.Name = r.author, r.Application+"-nightly-"+r.suffix
		if i%2 == 0 {
			r.Type = "nightly" // not a type that Konflux knows
		}
	}
}

// happen gives the run its times and its children.
func (r *Run) happen(phase phase, random *rand.Rand) {
	tasks := len(r.cluster.templates[r.Kind].tasks)
	shortest, longest := minutes[r.Kind][0]*60, minutes[r.Kind][1]*60
	seconds := shortest + random.Int64N(longest-shortest)
	r.Children = tasks
	switch r.Reason {
	case completed:
		if r.Children -= 2; r.Children < 1 {
			r.Reason, r.Children = succeeded, tasks
		}
	case failed, cancelled:
		r.Children = 1 + random.IntN(tasks)
		seconds = seconds*int64(r.Children)/int64(tasks+1) + 5
	case timedOut:
		r.Children = 1 + random.IntN(tasks)
		seconds = 3600
	case couldntGetTask:
		r.Children, seconds = 0, 1+random.Int64N(3)
	}

	now, length := r.cluster.Now, time.Duration(seconds)*time.Second
	within := func(limit time.Duration) time.Duration {
		return time.Duration(random.Int64N(int64(limit/time.Second))) * time.Second
	}
	wait := within(4 * time.Second)
	switch {
	case phase == pending:
		r.Started = now.Add(time.Second + within(10*time.Minute))
		wait = r.Started.Sub(now) + within(10*time.Minute)
	case phase == running:
		r.Started = now.Add(-within(length))
	case random.IntN(3) == 0:
		r.Started = now.Add(-within(recent-length) - length)
	default:
		r.Started = now.Add(-recent - within(busy-recent))
	}
	if random.IntN(10) == 0 {
		wait += within(10 * time.Minute) // in the queue
	}
	r.Created = r.Started.Add(-wait)
	r.Completed = r.Started.Add(length)
}

// ChildrenAt is the number of child references that the run has at that time.
func (r Run) ChildrenAt(at time.Time) int {
	switch {
	case at.Before(r.Started):
		return 0
	case !at.Before(r.Completed) || r.Children == 0:
		return r.Children
	default:
		return 1 + int(int64(r.Children-1)*int64(at.Sub(r.Started))/int64(r.Completed.Sub(r.Started)))
	}
}

// Object is the run as it is at that time, be it in the future.
func (r Run) Object(at time.Time) Object {
	object := Object{APIVersion: "tekton.dev/v1", Kind: "PipelineRun", Namespace: r.Namespace, Name: r.Name, UID: r.UID}
	object.JSON = r.AppendJSON(make([]byte, 0, r.cluster.templates[r.Kind].size*5/4), at)
	return object
}

// AppendJSON appends the JSON of Object to dst.
func (r Run) AppendJSON(dst []byte, at time.Time) []byte {
	return r.cluster.templates[r.Kind].append(dst, r.fill(at))
}
