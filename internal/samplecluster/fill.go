// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"embed"
	"fmt"
	"strconv"
	"time"
)

//go:embed templates/*.json
var templateFiles embed.FS

func compileAll() (all [kinds]*template) {
	for kind := range kinds {
		all[kind] = compile(templateText(kind.String()), templateText(kind.String()+"-pipeline"))
	}
	return all
}

func templateText(name string) string {
	text, err := templateFiles.ReadFile("templates/" + name + ".json")
	if err != nil {
		panic(fmt.Sprintf("samplecluster: read template: %v", err))
	}
	return string(text)
}

// A state is what is true of a run, as a set of bits.
type state uint16

const (
	isPending state = 1 << iota
	isStarted
	isRunning
	isDone
	isSucceeded
	isCancelled
	hasChildren
	hasSkipped
	hasType
)

func parseState(word string) state {
	switch word {
	case "":
		return 0
	case "pending":
		return isPending
	case "started":
		return isStarted
	case "running":
		return isRunning
	case "done":
		return isDone
	case "succeeded":
		return isSucceeded
	case "cancelled":
		return isCancelled
	case "children":
		return hasChildren
	case "skipped":
		return hasSkipped
	case "typed":
		return hasType
	default:
		panic("samplecluster: no such state in a template: " + word)
	}
}

// A filling is what a template is filled with: a run at a time.
type filling struct {
	*Run
	tasks    []task
	state    state
	children int

	created, started, completed, changed string
	pacState, status, reason, message    string
	number, owner, digest                string
}

// fields are what templates can name.
var fields = map[string]func(*filling) string{
	"name":            func(f *filling) string { return f.Name },
	"namespace":       func(f *filling) string { return f.Namespace },
	"originNamespace": func(f *filling) string { return f.component.Namespace },
	"uid":             func(f *filling) string { return f.UID },
	"ownerUID":        func(f *filling) string { return f.owner },
	"suffix":          func(f *filling) string { return f.suffix },
	"type":            func(f *filling) string { return f.Type },
	"component":       func(f *filling) string { return f.Component },
	"application":     func(f *filling) string { return f.Application },
	"org":             func(f *filling) string { return f.component.org },
	"gitURL":          func(f *filling) string { return f.component.gitURL },
	"image":           func(f *filling) string { return f.component.image },
	"imageDigest":     func(f *filling) string { return f.digest },
	"snapshot":        func(f *filling) string { return f.snapshot },
	"release":         func(f *filling) string { return f.release },
	"sender":          func(f *filling) string { return f.Sender },
	"author":          func(f *filling) string { return f.author },
	"email":           func(f *filling) string { return emailOf(f.author) },
	"subject":         func(f *filling) string { return f.Subject },
	"sha":             func(f *filling) string { return f.SHA },
	"eventType":       func(*filling) string { return "push" },
	"record":          func(f *filling) string { return recordName(f.Run) },
	"number":          func(f *filling) string { return f.number },
	"unix":            func(f *filling) string { return strconv.FormatInt(f.Completed.Unix(), 10) },
	"created":         func(f *filling) string { return f.created },
	"started":         func(f *filling) string { return f.started },
	"completed":       func(f *filling) string { return f.completed },
	"changed":         func(f *filling) string { return f.changed },
	"pacState":        func(f *filling) string { return f.pacState },
	"conditionStatus": func(f *filling) string { return f.status },
	"reason":          func(f *filling) string { return f.reason },
	"message":         func(f *filling) string { return f.message },
}

// fill prepares the run as it is at that time.
func (r *Run) fill(at time.Time) *filling {
	random := r.cluster.random(r.Index, 2)
	version := 10_000_000 + random.IntN(1_000_000_000)
	f := &filling{
		Run:       r,
		tasks:     r.cluster.templates[r.Kind].tasks,
		children:  r.ChildrenAt(at),
		created:   r.Created.Format(time.RFC3339),
		started:   r.Started.Format(time.RFC3339),
		completed: r.Completed.Format(time.RFC3339),
		owner:     newUUID(random),
		digest:    "sha256:" + randomHex(random, 64),
	}
	skipped := 0
	switch {
	case at.Before(r.Started):
		f.state, f.pacState, f.changed = isPending, "queued", f.created
		f.status, f.reason = "Unknown", "PipelineRunPending"
		f.message = fmt.Sprintf("PipelineRun %q is pending", r.Name)
	case at.Before(r.Completed):
		f.state, f.pacState, f.changed = isStarted|isRunning, "started", f.started
		f.status, f.reason = "Unknown", "Running"
		f.message = fmt.Sprintf("Tasks Completed: %d (Failed: 0, Cancelled 0), Incomplete: %d, Skipped: 0",
			max(f.children-1, 0), len(f.tasks)-max(f.children-1, 0))
		version += 7
	default:
		f.state, f.pacState, f.changed = isStarted|isDone, "completed", f.completed
		f.status, f.reason = "False", r.Reason
		f.message = r.outcome(len(f.tasks))
		skipped = len(f.tasks) - f.children
		version += 42
	}
	f.number = strconv.Itoa(version)
	if f.state&isDone != 0 && (r.Reason == succeeded || r.Reason == completed) {
		f.state |= isSucceeded
		f.status = "True"
	}
	if f.state&isDone != 0 && r.Reason == cancelled {
		f.state |= isCancelled
	}
	if f.children > 0 {
		f.state |= hasChildren
	}
	if skipped > 0 {
		f.state |= hasSkipped
	}
	if r.Type != "" {
		f.state |= hasType
	}
	// The message stands inside a JSON string.
	quoted := strconv.Quote(f.message)
	f.message = quoted[1 : len(quoted)-1]
	return f
}

// outcome is the message of a finished run.
func (r *Run) outcome(tasks int) string {
	switch r.Reason {
	case cancelled:
		return fmt.Sprintf("PipelineRun %q was cancelled", r.Name)
	case timedOut:
		return fmt.Sprintf("PipelineRun %q failed to finish within %q", r.Name, "1h0m0s")
	case couldntGetTask:
		return fmt.Sprintf("Pipeline %s/%s can't be Run; it contains Tasks that don't exist: Couldn't retrieve Task %q: error requesting remote resource for %s: not found",
			r.Namespace, r.Name, "resolver type bundles\nname = init\n", r.component.image)
	case failed:
		return fmt.Sprintf("Tasks Completed: %d (Failed: 1, Cancelled 0), Skipped: %d", r.Children, tasks-r.Children)
	default:
		return fmt.Sprintf("Tasks Completed: %d (Failed: 0, Cancelled 0), Skipped: %d", r.Children, tasks-r.Children)
	}
}

// appendChildren appends the array of child references.
func (f *filling) appendChildren(dst []byte) []byte {
	for i, task := range f.tasks[:f.children] {
		dst = append(dst, separator(i)...)
		dst = append(dst, `{"apiVersion":"tekton.dev/v1","kind":"TaskRun","name":"`...)
		dst = append(dst, f.Name...)
		dst = append(dst, task.child...)
	}
	return append(dst, ']')
}

// appendSkipped appends the array of skipped tasks.
func (f *filling) appendSkipped(dst []byte) []byte {
	why := "PipelineRun was stopping"
	if f.state&isSucceeded != 0 {
		why = "When Expressions evaluated to false"
	}
	for i, task := range f.tasks[f.children:] {
		dst = append(dst, separator(i)...)
		dst = append(dst, task.skipped...)
		dst = append(dst, why...)
		dst = append(dst, `"}`...)
	}
	return append(dst, ']')
}

func separator(i int) string {
	if i == 0 {
		return "["
	}
	return ","
}
