// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// pipelineRun is what a reader looks at.
type pipelineRun struct {
	Metadata struct {
		Name, Namespace, UID string
		CreationTimestamp    time.Time
		Labels, Annotations  map[string]string
		ManagedFields        []struct{ FieldsV1 map[string]any }
	}
	Spec struct {
		Params []struct{ Name string }
		Status string
	}
	Status struct {
		StartTime, CompletionTime *time.Time
		ChildReferences           []struct{ Name, PipelineTaskName string }
		SkippedTasks              []struct{ Name, Reason string }
		PipelineSpec              *struct{ Tasks, Finally []struct{ Name string } }
		Conditions                []struct {
			Type, Status, Reason, Message string
			LastTransitionTime            time.Time
		}
	}
}

func TestSameConfigSameBytes(t *testing.T) {
	t.Parallel()
	config := Config{Seed: 7, Runs: 50, Now: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}
	a, b := slices.Collect(New(config).Objects()), slices.Collect(New(config).Objects())
	if len(a) != len(b) {
		t.Fatalf("%d objects, then %d", len(a), len(b))
	}
	for i := range a {
		if string(a[i].JSON) != string(b[i].JSON) {
			t.Errorf("%s %s differs", a[i].Kind, a[i].Name)
		}
	}
	config.Seed = 8
	if other := slices.Collect(New(config).Objects()); other[10].UID == a[10].UID {
		t.Error("another seed gives the same UID")
	}
}

func TestObjectsAreWhatTheySay(t *testing.T) {
	t.Parallel()
	kinds, uids := map[string]int{}, map[string]bool{}
	for object := range New(Config{}).Objects() {
		var got struct {
			APIVersion, Kind string
			Metadata         struct{ Name, Namespace, UID string }
		}
		if err := json.Unmarshal(object.JSON, &got); err != nil {
			t.Fatalf("%s %s: %v", object.Kind, object.Name, err)
		}
		want := got
		want.APIVersion, want.Kind = object.APIVersion, object.Kind
		want.Metadata.Name, want.Metadata.Namespace, want.Metadata.UID = object.Name, object.Namespace, object.UID
		if got != want {
			t.Errorf("object is %v, want %v", got, want)
		}
		if strings.Contains(string(object.JSON), "{{") {
			t.Errorf("%s %s has a field that is not filled in", object.Kind, object.Name)
		}
		if uids[object.UID] {
			t.Errorf("UID of %s %s is not the only one", object.Kind, object.Name)
		}
		uids[object.UID] = true
		kinds[object.Kind]++
	}
	if kinds["Namespace"] != 12+len(otherNamespaces) || kinds["Component"] != 60 || kinds["Konflux"] != 1 || kinds["ConfigMap"] != 1 {
		t.Errorf("objects per kind: %v", kinds)
	}
}

func TestRunIsWhatItSays(t *testing.T) {
	t.Parallel()
	c := New(Config{})
	for run := range c.Runs() {
		if run.Created.After(run.Started) || !run.Started.Before(run.Completed) || run.Created.After(c.Now) {
			t.Fatalf("run %d is created %v, started %v, completed %v", run.Index, run.Created, run.Started, run.Completed)
		}
		for _, at := range []time.Time{run.Started.Add(-time.Second), run.Completed.Add(-time.Second), run.Completed} {
			checkRun(t, &run, at)
		}
	}
}

func checkRun(t *testing.T, run *Run, at time.Time) {
	t.Helper()
	var got pipelineRun
	if err := json.Unmarshal(run.AppendJSON(nil, at), &got); err != nil {
		t.Fatalf("run %d: %v", run.Index, err)
	}
	started, done := !at.Before(run.Started), !at.Before(run.Completed)
	if isStarted := got.Status.StartTime != nil; isStarted != started || started && !got.Status.StartTime.Equal(run.Started) {
		t.Errorf("run %d starts %v, want %v", run.Index, got.Status.StartTime, run.Started)
	}
	if isDone := got.Status.CompletionTime != nil; isDone != done || done && !got.Status.CompletionTime.Equal(run.Completed) {
		t.Errorf("run %d completes %v, want %v", run.Index, got.Status.CompletionTime, run.Completed)
	}
	if len(got.Status.ChildReferences) != run.ChildrenAt(at) || done && run.ChildrenAt(at) != run.Children {
		t.Errorf("run %d has %d children, want %d", run.Index, len(got.Status.ChildReferences), run.ChildrenAt(at))
	}
	if _, labelled := got.Metadata.Labels["tekton.dev/pipeline"]; labelled != started {
		t.Errorf("run %d has label tekton.dev/pipeline: %v, want %v", run.Index, labelled, started)
	}
	if (got.Status.PipelineSpec != nil) != started {
		t.Errorf("run %d has status.pipelineSpec: %v, want %v", run.Index, !started, started)
	}
	condition := got.Status.Conditions[0]
	switch {
	case !done && condition.Status != "Unknown":
		t.Errorf("run %d is %s before it is done", run.Index, condition.Status)
	case done && (condition.Reason != run.Reason || !condition.LastTransitionTime.Equal(run.Completed)):
		t.Errorf("run %d is %s since %v, want %s", run.Index, condition.Reason, condition.LastTransitionTime, run.Reason)
	}
	if got.Metadata.Labels["pipelines.appstudio.openshift.io/type"] != run.Type {
		t.Errorf("run %d is of another type than %q", run.Index, run.Type)
	}
	if sender := got.Metadata.Labels["pipelinesascode.tekton.dev/sender"] + got.Metadata.Annotations["pipelinesascode.tekton.dev/sender"]; sender != run.Sender {
		t.Errorf("run %d is sent by %q, want %q", run.Index, sender, run.Sender)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	limits := [kinds]struct{ min, max, children int }{
		Build:       {40_000, 42_000, 16},
		Integration: {11_000, 12_000, 1},
		Managed:     {23_000, 24_500, 11},
		Release:     {9_500, 11_500, 5},
		Plain:       {3_000, 4_500, 2},
	}
	for run := range New(Config{}).Runs() {
		limit := limits[run.Kind]
		if size := len(run.AppendJSON(nil, run.Completed)); run.Reason == succeeded &&
			(size < limit.min || size > limit.max || run.Children != limit.children) {
			t.Errorf("run %d (%s) has %d bytes and %d children", run.Index, run.Kind, size, run.Children)
		}
	}
}

func TestMix(t *testing.T) {
	t.Parallel()
	c := New(Config{})
	seen := map[string]int{}
	for run := range c.Runs() {
		seen[run.Kind.String()]++
		switch {
		case run.Started.After(c.Now):
			seen["pending"]++
		case run.Completed.After(c.Now):
			seen["running"]++
		default:
			seen[run.Reason]++
		}
		if run.Completed.After(c.Now.Add(-recent)) && !run.Completed.After(c.Now) {
			seen["completed lately"]++
		}
		if run.Pruned {
			seen["pruned"]++
		} else if run.Stored {
			seen["in both"]++
		}
		if run.storedWhileRunning {
			seen["stored while running"]++
		}
		if run.Type == "nightly" {
			seen["of an unknown type"]++
		}
	}
	for _, component := range c.Components {
		if component.Application == "" {
			seen["without application"]++
		}
		if component.Created.After(c.Now.Add(-recent)) {
			seen["new component"]++
		}
	}
	for _, tenant := range c.Tenants {
		if tenant.Created.After(c.Now.Add(-recent)) {
			seen["new tenant"]++
		}
	}
	t.Log(seen)
	want := map[string]int{
		"build": 125, "integration": 100, "managed": 25, "release": 25, "plain": 25,
		"Succeeded": 140, "Completed": 12, "Failed": 36, "Cancelled": 24, "PipelineRunTimeout": 12, "CouldntGetTask": 12,
		"running": 24, "pending": 12, "completed lately": 40, "pruned": 60, "in both": 20, "stored while running": 10,
		"of an unknown type": 10, "without application": 5, "new component": 5, "new tenant": 1,
	}
	for _, what := range slices.Sorted(maps.Keys(want)) {
		if seen[what] < want[what] {
			t.Errorf("%d %s, want at least %d", seen[what], what, want[what])
		}
	}
}

// Where the marker is, there is a name that the list has.
func TestNamesAreAll(t *testing.T) {
	t.Parallel()
	c := New(Config{Tenants: 25, Runs: 100})
	names := c.Names()
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	pairs, hashes := []string(nil), 0
	for _, name := range names {
		pairs = append(pairs, name, "NAME")
		if !strings.Contains(name, Marker) {
			hashes++
		}
	}
	if hashes != 100 {
		t.Errorf("%d names are without the marker, want the 100 commit hashes", hashes)
	}
	replacer := strings.NewReplacer(pairs...)
	for object := range c.Objects() {
		text := replacer.Replace(string(object.JSON))
		if i := strings.Index(text, Marker); i >= 0 {
			t.Errorf("%s %s has a name that is not listed: %s", object.Kind, object.Name, text[max(i-40, 0):i+40])
		}
	}
	for run := range c.Runs() {
		text := string(run.AppendJSON(nil, run.Completed))
		for _, name := range []string{run.Name, run.Namespace, run.Application, run.Subject, run.author, emailOf(run.author)} {
			if run.Kind != Plain && run.Kind != Managed && run.Kind != Release && !strings.Contains(text, name) {
				t.Errorf("run %d does not contain %q", run.Index, name)
			}
		}
	}
}

func TestComponentNamesDiffer(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, component := range New(Config{Tenants: 50, Components: 700}).Components {
		names[component.Name] = true
	}
	if len(names) != 700 {
		t.Errorf("700 components have %d names", len(names))
	}
}

func TestRunNamesDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool, 200_000)
	for i := range 200_000 {
		suffix := suffixOf(i, 12345)
		if seen[suffix] {
			t.Fatalf("suffix %s comes twice", suffix)
		}
		seen[suffix] = true
	}
}

func BenchmarkRuns(b *testing.B) {
	c := New(Config{})
	var text []byte
	for b.Loop() {
		size := 0
		for run := range c.Runs() {
			text = run.AppendJSON(text[:0], c.Now)
			size += len(text)
		}
		b.SetBytes(int64(size))
	}
}

func BenchmarkObjects(b *testing.B) {
	c := New(Config{})
	for b.Loop() {
		size := 0
		for object := range c.Objects() {
			size += len(object.JSON)
		}
		b.SetBytes(int64(size))
	}
}
