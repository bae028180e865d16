// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// outcomes is how each run of testdata/runs.yaml ends: Tekton's word, and the event's.
var outcomes = map[string][2]string{
	"quokka-succeeds":     {"Succeeded", "succeeded"},
	"quokka-fails":        {"Failed", "failed"},
	"quokka-is-cancelled": {"Cancelled", "cancelled"},
	"quokka-times-out":    {"PipelineRunTimeout", "timeout"},
}

// A diary has every pipeline run that there was, as it was last seen: the watcher of Tekton Results deletes them.
type diary struct {
	mu      sync.Mutex
	entries map[string]pipelineRun // by UID
}

// A pipelineRun is what an event must tell of a run.
type pipelineRun struct {
	kind       string // the name, without the phase
	start, end time.Time
	reason     string // of the condition, once it is decided
	deleted    bool
}

var pipelineRuns = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"}

// keepDiary watches the runs until the whole test ends.
func (p *product) keepDiary(t *testing.T) *diary {
	t.Helper()
	d := &diary{entries: map[string]pipelineRun{}}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(p.Dynamic, 0)
	note := func(object any, deleted bool) {
		if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = last.Obj
		}
		if run, ok := object.(*unstructured.Unstructured); ok {
			d.note(run, deleted)
		}
	}
	_, err := factory.ForResource(pipelineRuns).Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { note(object, false) },
		UpdateFunc: func(_, object any) { note(object, false) },
		DeleteFunc: func(object any) { note(object, true) },
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	p.top.Cleanup(func() {
		close(stop)
		factory.Shutdown()
	})
	return d
}

func (d *diary) note(run *unstructured.Unstructured, deleted bool) {
	kind := run.GetName()[:strings.LastIndex(run.GetName(), "-")]
	entry := pipelineRun{kind: kind, deleted: deleted}
	entry.start, entry.end = moment(run, "startTime"), moment(run, "completionTime")
	conditions, _, _ := unstructured.NestedSlice(run.Object, "status", "conditions") // none yet
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["status"] != "Unknown" {
			entry.reason = fmt.Sprint(c["reason"])
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries[string(run.GetUID())] = entry
}

func moment(run *unstructured.Unstructured, field string) time.Time {
	text, _, _ := unstructured.NestedString(run.Object, "status", field) // "" while there is none
	at, _ := time.Parse(time.RFC3339, text)
	return at
}

func (d *diary) all() map[string]pipelineRun {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.entries)
}

// await waits until every run is what it should be.
func (d *diary) await(t *testing.T, limit time.Duration, should string, is func(pipelineRun) bool) {
	t.Helper()
	Eventually(t, limit, func() error {
		for _, run := range d.all() {
			if !is(run) {
				return fmt.Errorf("a run that should be %s is %+v", should, run)
			}
		}
		return nil
	})
}

func (p *product) awaitStarted(t *testing.T) {
	t.Helper()
	p.runs.await(t, time.Minute, "started", func(r pipelineRun) bool { return !r.start.IsZero() })
}

// start creates the runs of testdata/runs.yaml whose kinds are given, with names of this phase. They have started when it
// returns.
func (p *product) start(t *testing.T, phase string, kinds ...string) {
	t.Helper()
	var chosen []string
	for document := range strings.SplitSeq(fill(t, "testdata/runs.yaml", phase), "\n---\n") {
		for _, kind := range kinds {
			if strings.Contains(document, kind+"-"+phase) {
				chosen = append(chosen, document)
			}
		}
	}
	if len(chosen) != len(kinds) {
		t.Fatalf("there are %d runs like %v", len(chosen), kinds)
	}
	before := len(p.runs.all())
	// Tekton's webhook answers a moment after its pod is ready.
	Eventually(t, time.Minute, func() error {
		_, err := p.kubectl(t.Context(), strings.Join(chosen, "\n---\n"), "apply", "-f", "-")
		return err
	})
	Eventually(t, time.Minute, func() error {
		if n := len(p.runs.all()); n != before+len(kinds) {
			return fmt.Errorf("there are %d runs, want %d", n, before+len(kinds))
		}
		return nil
	})
	p.awaitStarted(t)
}

// never is a schedule for jobs that are triggered by hand.
const never = `{"spec":{"schedule":"0 0 29 2 *"}}`

// tellsOfRuns lets pipelines run and end in every way there is, while the job runs every minute, and lets Tekton Results
// store and delete them. A job triggered by hand then tells of what is left.
func (p *product) tellsOfRuns(t *testing.T) {
	p.start(t, "first", "quokka-succeeds", "quokka-fails", "quokka-is-cancelled", "quokka-times-out")
	Eventually(t, time.Minute, func() error {
		phase := p.Kubectl(t, "get", "pods", "-n", "quokka-tenant", "-l", "tekton.dev/pipelineRun=quokka-is-cancelled-first", "-o", "jsonpath={.items[*].status.phase}")
		if phase != "Running" {
			return fmt.Errorf("the pod to be cancelled is %q", phase)
		}
		return nil
	})
	p.Kubectl(t, "patch", "pipelinerun", "-n", "quokka-tenant", "quokka-is-cancelled-first", "--type=merge", "-p", `{"spec":{"status":"Cancelled"}}`)
	p.runs.await(t, 2*time.Minute, "stored and deleted", func(r pipelineRun) bool { return r.deleted })
	for uid, run := range p.runs.all() {
		if run.reason != outcomes[run.kind][0] || run.end.IsZero() {
			t.Errorf("run %s is %+v, want reason %s", uid, run, outcomes[run.kind][0])
		}
	}
	// The CronJob has fired by itself meanwhile, or will. From here on it does not.
	Eventually(t, 2*time.Minute, func() error {
		if last := p.bridge(t).Status.LastRun; last == nil || !last.Succeeded || !strings.HasPrefix(last.Job, "segment-bridge-") {
			return fmt.Errorf("the last run was %+v", last)
		}
		return nil
	})
	p.patch(t, "segmentbridge/segment-bridge", never)
	Eventually(t, time.Minute, func() error {
		if got := p.Kubectl(t, "get", "cronjob", "-n", "segment-bridge", "segment-bridge", "-o", "jsonpath={.spec.schedule}{.status.active}"); got != "0 0 29 2 *" {
			return fmt.Errorf("the CronJob is %s", got)
		}
		return nil
	})
	p.run(t)
	p.awaitConditions(t, "TelemetryEnabled=True/KonfluxEnabled", "Ready=True/Installed", "Degraded=False/AsExpected", "LastRunSucceeded=True/Succeeded")
	events := p.Kubectl(t, "events", "-n", metav1.NamespaceDefault, "--for=segmentbridge/segment-bridge")
	for _, word := range []string{"KonfluxDisabled", "KonfluxEnabled", "Installed", "Succeeded"} {
		if !strings.Contains(events, word) {
			t.Errorf("no event of the resource says %s:\n%s", word, events)
		}
	}
	p.check(t)
}
