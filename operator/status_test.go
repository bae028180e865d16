// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

// teller notes events, as client-go tells them apart: of those that are equal but for the note, it keeps the first.
type teller struct {
	client.Client
	told []string
}

func (*teller) Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	_ = v1alpha1.AddToScheme(s)
	return s
}

func (e *teller) Eventf(_, related runtime.Object, kind, reason, action, note string, args ...any) {
	job := ""
	if ref, ok := related.(*corev1.ObjectReference); ok {
		job = ref.Name
	}
	e.told = append(e.told, fmt.Sprintf("%s %s %s %s: "+note, append([]any{kind, reason, action, job}, args...)...))
}

// Every run that fails in another way is told of, under the name of its job.
func TestTellOfRuns(t *testing.T) {
	told := &teller{}
	r := &reconciler{client: told, events: told}
	bridge := v1alpha1.New()
	for _, run := range []*v1alpha1.LastRun{
		nil,
		{Job: "a", Message: "load: HTTP 403"},
		{Job: "b", Message: "load: HTTP 403"},
		{Job: "c", Message: "window: HTTP 403"},
		{Job: "d", Succeeded: true},
		{Job: "e", Succeeded: true},
	} {
		status := bridge.Status.DeepCopy()
		status.LastRun = run
		conditions{status: status}.on(nil, nil)
		r.tell(bridge, status)
		bridge.Status = *status
	}
	want := []string{
		"Normal Installed Ready : the job is installed as asked for",
		"Warning Failed LastRunSucceeded a: load: HTTP 403",
		"Warning Failed LastRunSucceeded c: window: HTTP 403",
		"Normal Succeeded LastRunSucceeded d: the last run did all of its work",
	}
	if !slices.Equal(told.told, want) {
		t.Errorf("told of\n%q\nwant\n%q", told.told, want)
	}
}
