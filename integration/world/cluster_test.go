// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

var (
	pipelineRuns = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"}
	namespaces   = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

func TestCustomResources(t *testing.T) {
	c := world.ControlPlane(t)
	c.InstallCRDs(t)
	c.Namespace(t, "customs", map[string]string{"konflux-ci.dev/type": "tenant"})
	completed := "2026-01-02T03:04:05Z"
	created, err := c.Create(t.Context(),
		pipelineRun("customs", "run-1", "ignored-by-the-server", 100),
		[]byte(`{"apiVersion":"appstudio.redhat.com/v1alpha1","kind":"Component","metadata":{"name":"c","namespace":"customs"},
			"spec":{"application":"a","componentName":"c","source":{"git":{"url":"https://example.com/r"}}}}`),
		[]byte(`{"apiVersion":"konflux.konflux-ci.dev/v1alpha1","kind":"Konflux","metadata":{"name":"konflux"},"spec":{},
			"status":{"uiURL":"https://example.com","conditions":[{"type":"Ready","status":"True","reason":"AllComponentsReady","message":"","lastTransitionTime":"`+completed+`"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range [][]string{{"status", "completionTime"}, {"spec", "application"}, {"status", "uiURL"}} {
		if value, _, err := unstructured.NestedString(created[i].Object, path...); err != nil || value == "" {
			t.Errorf("%s: %v = %q, %v: the server dropped it", created[i].GetKind(), path, value, err)
		}
		if created[i].GetUID() == "" {
			t.Errorf("%s has no UID", created[i].GetKind())
		}
	}
	if _, err := c.Create(t.Context(), []byte(`{"apiVersion":"konflux.konflux-ci.dev/v1alpha1","kind":"Konflux","metadata":{"name":"other"},"spec":{}}`)); !apierrors.IsInvalid(err) {
		t.Errorf("create a second Konflux: %v, want Invalid", err)
	}
	if _, err := c.Create(t.Context(), []byte(`{"apiVersion":"appstudio.redhat.com/v1alpha1","kind":"Component","metadata":{"name":"d","namespace":"customs"},"spec":{}}`)); !apierrors.IsInvalid(err) {
		t.Errorf("create a Component without a source: %v, want Invalid", err)
	}
}

func TestPlantedObjects(t *testing.T) {
	c := world.NewControlPlane(t)
	c.InstallCRDs(t)
	c.Namespace(t, "planted", nil)
	const uid, count = "5e1f0000-0000-4000-8000-000000000000", 2000
	long := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	runs := make([][]byte, count)
	for i := range runs {
		run := &unstructured.Unstructured{}
		if err := run.UnmarshalJSON(pipelineRun("planted", fmt.Sprintf("run-%04d", i), uid, 30_000)); err != nil {
			t.Fatal(err)
		}
		run.SetCreationTimestamp(metav1.NewTime(long))
		data, err := run.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		runs[i] = data
	}
	start := time.Now()
	if err := c.Plant(t.Context(), runs...); err != nil {
		t.Fatal(err)
	}
	t.Logf("planted %d runs in %s", count, time.Since(start).Round(time.Millisecond))
	listed, err := c.Dynamic.Resource(pipelineRuns).List(t.Context(), metav1.ListOptions{Limit: count})
	if err != nil || len(listed.Items) != count {
		t.Fatalf("list: %d runs, %v; want %d", len(listed.Items), err, count)
	}
	run := listed.Items[count-1]
	completed, _, err := unstructured.NestedString(run.Object, "status", "completionTime")
	if run.GetUID() != uid || !run.GetCreationTimestamp().Time.Equal(long) || completed == "" || err != nil {
		t.Errorf("the run is not as planted: %s, %s, %q, %v", run.GetUID(), run.GetCreationTimestamp(), completed, err)
	}
	if err := c.Plant(t.Context(), pipelineRun("planted", "timeless", uid, 1)); err == nil {
		t.Error("an object without a creationTimestamp was planted")
	}

	namespace, err := c.Dynamic.Resource(namespaces).Get(t.Context(), "planted", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Backdate(t.Context(), namespace, long); err != nil {
		t.Fatal(err)
	}
	if namespace, err = c.Dynamic.Resource(namespaces).Get(t.Context(), "planted", metav1.GetOptions{}); err != nil || !namespace.GetCreationTimestamp().Time.Equal(long) {
		t.Errorf("the namespace is of %s, %v; want %s", namespace.GetCreationTimestamp(), err, long)
	}
}

func TestRBAC(t *testing.T) {
	c := world.ControlPlane(t)
	c.InstallCRDs(t)
	c.ServiceAccount(t, "accounts", "reader")
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig(t, c.Token(t, "accounts", "reader", time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	list := func() error {
		_, err := client.Resource(pipelineRuns).List(t.Context(), metav1.ListOptions{Limit: 1})
		return err
	}
	if err := list(); !apierrors.IsForbidden(err) {
		t.Fatalf("list without a role: %v, want Forbidden", err)
	}
	role := &unstructured.Unstructured{}
	role.SetAPIVersion("rbac.authorization.k8s.io/v1")
	role.SetKind("ClusterRole")
	role.SetName("run-reader")
	role.Object["rules"] = []any{map[string]any{"apiGroups": []any{"tekton.dev"}, "resources": []any{"pipelineruns"}, "verbs": []any{"list"}}}
	c.ApplyObjects(t, role)
	c.Bind(t, "run-reader", "accounts", "reader")
	if err := eventually(t, list); err != nil {
		t.Errorf("list with a role: %v", err)
	}
	other, err := dynamic.NewForConfig(c.ConfigFor(c.Token(t, "accounts", "reader", time.Hour, "someone-else")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Resource(pipelineRuns).List(t.Context(), metav1.ListOptions{Limit: 1}); !apierrors.IsUnauthorized(err) {
		t.Errorf("list with a token for another audience: %v, want Unauthorized", err)
	}
}

func TestCompaction(t *testing.T) {
	c := world.ControlPlane(t)
	c.InstallCRDs(t)
	c.Namespace(t, "paged", nil)
	var runs [][]byte
	for i := range 3 {
		runs = append(runs, pipelineRun("paged", fmt.Sprintf("run-%d", i), "", 100))
	}
	if _, err := c.Create(t.Context(), runs...); err != nil {
		t.Fatal(err)
	}
	client := c.Dynamic.Resource(pipelineRuns).Namespace("paged")
	first, err := client.List(t.Context(), metav1.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.List(t.Context(), metav1.ListOptions{Limit: 1, Continue: first.GetContinue()})
	if err != nil {
		t.Fatalf("list the second page: %v", err)
	}
	if err := c.CompactNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = client.List(t.Context(), metav1.ListOptions{Limit: 1, Continue: second.GetContinue()})
	var gone apierrors.APIStatus
	if !apierrors.IsResourceExpired(err) || !errors.As(err, &gone) {
		t.Fatalf("list after a compaction: %v, want Expired", err)
	}
	rest, err := client.List(t.Context(), metav1.ListOptions{Continue: gone.Status().Continue})
	if err != nil {
		t.Fatal(err)
	}
	if len(rest.Items) != 1 {
		t.Errorf("the token in the error leads to %d runs, want the third alone", len(rest.Items))
	}
}

// pipelineRun returns a finished PipelineRun with a parameter of the given size.
func pipelineRun(namespace, name, uid string, padding int) []byte {
	run := map[string]any{
		"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
		"metadata": map[string]any{"namespace": namespace, "name": name, "uid": uid},
		"spec": map[string]any{
			"pipelineRef": map[string]any{"name": "build"},
			"params":      []any{map[string]any{"name": "padding", "value": strings.Repeat("x", padding)}},
		},
		"status": map[string]any{
			"startTime": "2026-01-02T03:00:00Z", "completionTime": "2026-01-02T03:04:05Z",
			"conditions": []any{map[string]any{"type": "Succeeded", "status": "True", "reason": "Completed", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}},
		},
	}
	data, err := json.Marshal(run)
	if err != nil {
		panic(err)
	}
	return data
}
