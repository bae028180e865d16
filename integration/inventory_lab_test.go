// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// A lab is an API server on which one case after the other builds its cluster, and clears it away.
type lab struct {
	*world.Cluster
	readers map[string]*rest.Config // by their rights
}

// The providers on the real API server, with what is in it built of objects.
func TestInventory(t *testing.T) {
	l := &lab{world.NewControlPlane(t), map[string]*rest.Config{}}
	t.Run("platforms", l.testPlatforms)
	t.Run("meshes", l.testMeshes)
	t.Run("deployments", l.testDeployments)
	t.Run("Gateway API", l.testGatewayAPI)
	t.Run("Kong", l.testKong)
	t.Run("preview", l.testPreview)
	t.Run("scale", l.testScale) // last: what it puts there stays
}

// reader returns how an account reaches the API server that has the rights which a provider says it needs, but for those
// in without, such as "list pods, get pods".
func (l *lab) reader(t *testing.T, without string, provider *kube.Provider) *rest.Config {
	t.Helper()
	key := provider.Name() + " without " + without
	if config := l.readers[key]; config != nil {
		return config
	}
	var rules []any
	var ask map[string]any // about a right that the account has
	for _, r := range provider.Rules() {
		kept := slices.DeleteFunc(slices.Clone(r.Resources), func(resource string) bool {
			return slices.Contains(strings.Split(without, ", "), r.Verbs[0]+" "+resource)
		})
		if len(kept) == 0 {
			continue
		}
		rule := kube.Rule{APIGroups: r.APIGroups, Resources: kept, ResourceNames: r.ResourceNames, Verbs: r.Verbs}
		rules = append(rules, asMap(t, rule))
		ask = map[string]any{"group": rule.APIGroups[0], "resource": kept[0], "verb": rule.Verbs[0]}
		if len(r.ResourceNames) > 0 {
			ask["name"] = r.ResourceNames[0]
		}
	}
	name := fmt.Sprintf("reader-%d", len(l.readers))
	l.ServiceAccount(t, "inventory", name)
	if len(rules) > 0 {
		l.ApplyObjects(t, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": name}, "rules": rules,
		}})
		l.Bind(t, name, "inventory", name)
		l.await(t, "the rights of an account", func() (bool, error) { return l.may(t.Context(), "inventory", name, ask) })
	}
	l.readers[key] = l.ConfigFor(l.Token(t, "inventory", name, time.Hour))
	return l.readers[key]
}

// may asks the API server whether it would let a service account do something: rights take a moment to hold.
func (l *lab) may(ctx context.Context, namespace, account string, what map[string]any) (bool, error) {
	review := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
		"spec": map[string]any{
			"user": "system:serviceaccount:" + namespace + ":" + account, "groups": []any{"system:authenticated"},
			"resourceAttributes": what,
		},
	}}
	reviews := l.Dynamic.Resource(schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "subjectaccessreviews"})
	answer, err := reviews.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	allowed, _, err := unstructured.NestedBool(answer.Object, "status", "allowed")
	return allowed, err
}

func (*lab) await(t *testing.T, what string, done func() (bool, error)) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ok, err := done()
		switch {
		case err != nil:
			t.Fatalf("wait for %s: %v", what, err)
		case ok:
			return
		case time.Now().After(end):
			t.Fatalf("wait for %s: it takes more than a minute", what)
		}
	}
}

// client returns a provider's client for an account, with the changes that are made to requests and answers on the way.
func (l *lab) client(t *testing.T, config *rest.Config, on ...func(http.RoundTripper) http.RoundTripper) *kube.Client {
	t.Helper()
	config = rest.CopyConfig(config)
	for _, wrap := range on {
		config.Wrap(wrap)
	}
	authenticated, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kube.NewClient(authenticated, config.Host, "inventory-test")
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A roundTrip is an [http.RoundTripper].
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// versioned lets the API server say that it is of another version: that is the one thing about a cluster that is in its
// program and in no object.
func versioned(version string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err != nil || version == "" || r.URL.Path != "/version" {
				return response, err
			}
			defer response.Body.Close()
			var info map[string]any
			if err := json.NewDecoder(response.Body).Decode(&info); err != nil {
				return nil, err
			}
			info["gitVersion"] = version
			text, err := json.Marshal(info)
			response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			return response, err
		})
	}
}

// findings are what providers found, by metric: the value, or after an exclamation mark why there is none.
type findings map[string]string

func collect(t *testing.T, providers ...telemetry.Provider) findings {
	t.Helper()
	inventory, err := telemetry.NewInventory(time.Minute, providers...)
	if err != nil {
		t.Fatal(err)
	}
	names, err := telemetry.NewKeyedPseudonymizer("the cluster's ID", []byte("a key that stays in the cluster"))
	if err != nil {
		t.Fatal(err)
	}
	properties, err := inventory.Collect(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	found := findings{}
	for _, p := range properties {
		if metric, ok := strings.CutSuffix(p.Name, "Outcome"); ok {
			found[metric] = "!" + p.Value.String()
		} else {
			found[p.Name] = p.Value.String()
		}
	}
	return found
}

// check compares some of the findings.
func (f findings) check(t *testing.T, want map[string]string) {
	t.Helper()
	for _, metric := range slices.Sorted(maps.Keys(want)) {
		if f[metric] != want[metric] {
			t.Errorf("%s = %q, want %q", metric, f[metric], want[metric])
		}
	}
}

// build puts objects into the cluster, in the order given, with the status that they have. What it put there is gone when
// the test ends, so that the next one finds a cluster of its own.
func (l *lab) build(t *testing.T, objects ...*unstructured.Unstructured) {
	t.Helper()
	const (
		there = iota + 1
		ready
	)
	namespaces := map[string]int{"": ready, "kube-system": ready}
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			l.make(t, object)
			namespaces[object.GetName()] = there
		}
	}
	for _, object := range objects {
		namespace := object.GetNamespace()
		if namespaces[namespace] == 0 {
			l.make(t, thing("v1", "Namespace", "", namespace))
		}
		if namespaces[namespace] != ready {
			l.make(t, thing("v1", "ServiceAccount", namespace, "default")) // as a controller would, for pods
		}
		namespaces[namespace] = ready
		if object.GetKind() != "Namespace" {
			l.make(t, object)
		}
	}
}

func (l *lab) make(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if object.GetKind() == "CustomResourceDefinition" {
		l.define(t, object)
		return
	}
	text, err := object.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Create(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.remove(t, object) })
}

// define installs definitions of custom resources, or changes them, waits until discovery tells of that, and removes them
// when the test ends.
func (l *lab) define(t *testing.T, definitions ...*unstructured.Unstructured) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "definitions.json")
	var text []byte
	for _, d := range definitions {
		one, err := d.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, one...)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l.Define(t, file)
	for _, d := range definitions {
		l.await(t, "the discovery of "+d.GetName(), func() (bool, error) { return l.discovered(t.Context(), d) })
	}
	t.Cleanup(func() {
		groups := map[string]bool{}
		for _, d := range definitions {
			l.remove(t, d)
			_, group, _ := strings.Cut(d.GetName(), ".")
			groups[group] = true
		}
		l.await(t, "the end of definitions", func() (bool, error) { return l.gone(groups) })
	})
}

// gone reports whether the API server has none of the groups any more, but for those that something is still defined in. It
// may serve one for a moment longer than its last definition.
func (l *lab) gone(groups map[string]bool) (bool, error) {
	ctx := context.Background() // the test has ended
	left, err := l.Dynamic.Resource(resourceOf(definition("", "", ""))).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	for _, d := range left.Items {
		if d.GetDeletionTimestamp() != nil {
			return false, nil
		}
		_, group, _ := strings.Cut(d.GetName(), ".")
		delete(groups, group)
	}
	var served metav1.APIGroupList
	if err := l.discover(ctx, "/apis", &served); err != nil {
		return false, err
	}
	return !slices.ContainsFunc(served.Groups, func(g metav1.APIGroup) bool { return groups[g.Name] }), nil
}

// discovered reports whether discovery tells of the definition's kind in the versions that are served, and in no others.
func (l *lab) discovered(ctx context.Context, d *unstructured.Unstructured) (bool, error) {
	plural, group, _ := strings.Cut(d.GetName(), ".")
	versions, _, err := unstructured.NestedSlice(d.Object, "spec", "versions")
	if err != nil {
		return false, err
	}
	for _, v := range versions {
		version, _ := v.(map[string]any)
		name, _ := version["name"].(string)
		var list metav1.APIResourceList
		if err := l.discover(ctx, "/apis/"+group+"/"+name, &list); err != nil && !apierrors.IsNotFound(err) {
			return false, err
		}
		if slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == plural }) != version["served"] {
			return false, nil
		}
	}
	var served metav1.APIGroupList
	if err := l.discover(ctx, "/apis", &served); err != nil {
		return false, err
	}
	at := slices.IndexFunc(served.Groups, func(g metav1.APIGroup) bool { return g.Name == group })
	return at >= 0 && !slices.ContainsFunc(versions, func(v any) bool {
		version, _ := v.(map[string]any)
		return version["served"] == true && !slices.ContainsFunc(served.Groups[at].Versions, func(g metav1.GroupVersionForDiscovery) bool { return g.Version == version["name"] })
	}), nil
}

// discover reads discovery as the providers do: not in one piece, which is ready at another moment.
func (l *lab) discover(ctx context.Context, path string, list any) error {
	client, err := discovery.NewDiscoveryClientForConfig(l.Config)
	if err != nil {
		return err
	}
	text, err := client.RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json").Do(ctx).Raw()
	if err != nil {
		return err
	}
	return json.Unmarshal(text, list)
}

// remove deletes an object. Of a namespace there is no controller that would take it out of the way.
func (l *lab) remove(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	ctx := context.Background() // the test has ended
	resource := l.Dynamic.Resource(resourceOf(object))
	var err error
	switch namespace := object.GetNamespace(); {
	case namespace != "":
		err = resource.Namespace(namespace).Delete(ctx, object.GetName(), metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	case object.GetKind() == "Namespace":
		if err = resource.Delete(ctx, object.GetName(), metav1.DeleteOptions{}); err == nil {
			_, err = resource.Update(ctx, thing("v1", "Namespace", "", object.GetName()), metav1.UpdateOptions{}, "finalize")
		}
	default:
		err = resource.Delete(ctx, object.GetName(), metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		t.Errorf("remove a %s: %v", object.GetKind(), err)
	}
}
