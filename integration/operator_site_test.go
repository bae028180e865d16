// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/operator"
	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

// An operatorSite is a cluster with the operator's definition and rights, and perhaps the operator.
type operatorSite struct {
	t       *testing.T
	cluster *world.Cluster
	token   string
	clock   *clock
	traffic *traffic
}

func newOperatorSite(t *testing.T) *operatorSite {
	t.Helper()
	s := &operatorSite{t: t, cluster: world.NewControlPlane(t), clock: &clock{}, traffic: &traffic{}}
	s.cluster.Define(t, "../deploy/crd/segment-bridge.dev_segmentbridges.yaml")
	s.cluster.Apply(t, "../deploy/operator/rbac.yaml")
	s.token = s.cluster.Token(t, "segment-bridge-operator", "segment-bridge-operator", time.Hour)
	ctrl.SetLogger(logr.Discard()) // each manager has its own
	go s.releaseClaims(t.Context())
	return s
}

// releaseClaims does what a controller of Kubernetes does when no pod uses a claim that is being deleted: it lets it go.
func (s *operatorSite) releaseClaims(ctx context.Context) {
	claims := s.cluster.Dynamic.Resource(resources["PersistentVolumeClaim"]).Namespace("segment-bridge")
	for ctx.Err() == nil {
		list, err := claims.List(ctx, metav1.ListOptions{})
		for i := 0; err == nil && i < len(list.Items); i++ {
			if claim := &list.Items[i]; claim.GetDeletionTimestamp() != nil {
				_, _ = claims.Patch(ctx, claim.GetName(), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// clock runs with the real one, and ahead of it by what it was moved.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
}

// traffic is what the operator asked of the API server: "verb path?selectors".
type traffic struct {
	mu       sync.Mutex
	requests []string
	// implied are lists that an older API server is asked for, which cannot list by watching, and the creations that
	// are authorised when what is applied is not there.
	implied []string
	// change, if set before the operator starts, may change each request.
	change func(*http.Request)
}

func (tr *traffic) note(r *http.Request) {
	query := r.URL.Query()
	verb := map[string]string{"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[r.Method]
	if query.Get("watch") != "" {
		verb = "watch"
	}
	line := " " + r.URL.Path
	if selector := query.Get("fieldSelector"); selector != "" {
		line += "?" + selector
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.requests = append(tr.requests, verb+line)
	if query.Get("sendInitialEvents") != "" {
		tr.implied = append(tr.implied, "get"+line)
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch") {
		tr.implied = append(tr.implied, "create"+line)
	}
}

// since returns the requests after the first n, and how many there are in all.
func (tr *traffic) since(n int) ([]string, int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.requests[n:]), len(tr.requests)
}

// start runs the reconciler in this process, with the rights of the operator's account. It ends with the test, or when
// the returned function is called.
func (s *operatorSite) start(o operator.Options, changes ...func(*ctrl.Options)) (stop func()) {
	s.t.Helper()
	return s.startAs(s.cluster.ConfigFor(s.token), o, changes...)
}

func (s *operatorSite) startAs(config *rest.Config, o operator.Options, changes ...func(*ctrl.Options)) (stop func()) {
	s.t.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &forward{s.traffic, next}
	})
	log := logr.FromSlogHandler(slog.NewTextHandler(s.t.Output(), nil))
	options := ctrl.Options{
		Logger: log, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		GracefulShutdownTimeout: new(5 * time.Second),
	}
	for _, change := range changes {
		change(&options)
	}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		s.t.Fatal(err)
	}
	if o.Image == "" {
		o.Image = "segment-bridge:test"
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	o.Now = s.clock.Now
	if err := operator.SetupWithManager(mgr, o); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctrl.LoggerInto(context.WithoutCancel(s.t.Context()), log))
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the operator ended: %v", err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// forward notes each request and passes it on.
type forward struct {
	traffic *traffic
	next    http.RoundTripper
}

func (f *forward) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.traffic.change != nil {
		r = r.Clone(r.Context())
		f.traffic.change(r)
	}
	f.traffic.note(r)
	return f.next.RoundTrip(r)
}

// resources are those that the tests look at, by kind.
var resources = map[string]schema.GroupVersionResource{
	"SegmentBridge":         v1alpha1.GroupVersion.WithResource("segmentbridges"),
	"Konflux":               {Group: "konflux.konflux-ci.dev", Version: "v1alpha1", Resource: "konfluxes"},
	"Namespace":             {Version: "v1", Resource: "namespaces"},
	"ConfigMap":             {Version: "v1", Resource: "configmaps"},
	"Secret":                {Version: "v1", Resource: "secrets"},
	"ServiceAccount":        {Version: "v1", Resource: "serviceaccounts"},
	"PersistentVolumeClaim": {Version: "v1", Resource: "persistentvolumeclaims"},
	"Pod":                   {Version: "v1", Resource: "pods"},
	"CronJob":               {Group: "batch", Version: "v1", Resource: "cronjobs"},
	"Job":                   {Group: "batch", Version: "v1", Resource: "jobs"},
	"NetworkPolicy":         {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	"ClusterRole":           {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	"ClusterRoleBinding":    {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
	"Role":                  {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	"Event":                 {Group: "events.k8s.io", Version: "v1", Resource: "events"},
	"CustomResourceDefinition": {
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	},
}

func (s *operatorSite) resource(kind, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return s.cluster.Dynamic.Resource(resources[kind])
	}
	return s.cluster.Dynamic.Resource(resources[kind]).Namespace(namespace)
}

// get returns an object, or nil.
func (s *operatorSite) get(kind, namespace, name string) *unstructured.Unstructured {
	object, err := s.resource(kind, namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return object
}

// patch merges JSON into an object.
func (s *operatorSite) patch(kind, namespace, name, merge string, subresources ...string) {
	s.t.Helper()
	if _, err := s.resource(kind, namespace).Patch(s.t.Context(), name, types.MergePatchType, []byte(merge), metav1.PatchOptions{}, subresources...); err != nil {
		s.t.Fatalf("patch %s %s: %v", kind, name, err)
	}
}

func (s *operatorSite) delete(kind, namespace, name string) {
	s.t.Helper()
	if err := s.resource(kind, namespace).Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatalf("delete %s %s: %v", kind, name, err)
	}
}

// put creates an object, or makes it what it is to be. JSON may be short: kind, name and namespace are added.
func (s *operatorSite) put(kind, namespace, name, text string) {
	s.t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	if err := object.UnmarshalJSON([]byte(`{"apiVersion":"` + resources[kind].GroupVersion().String() + `","kind":"` + kind + `",` + strings.TrimPrefix(text, "{"))); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
	object.SetName(name)
	object.SetNamespace(namespace)
	s.cluster.ApplyObjects(s.t, object)
}

// bridge returns the resource, nil if there is none.
func (s *operatorSite) bridge() *v1alpha1.SegmentBridge {
	s.t.Helper()
	object := s.get("SegmentBridge", "", v1alpha1.Name)
	if object == nil {
		return nil
	}
	var b v1alpha1.SegmentBridge
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &b); err != nil {
		s.t.Fatal(err)
	}
	return &b
}

// putBridge makes the resource what b says.
func (s *operatorSite) putBridge(b *v1alpha1.SegmentBridge) {
	s.t.Helper()
	text, err := json.Marshal(b)
	if err != nil {
		s.t.Fatal(err)
	}
	var object unstructured.Unstructured
	if err := object.UnmarshalJSON(text); err != nil {
		s.t.Fatal(err)
	}
	delete(object.Object, "status")
	s.cluster.ApplyObjects(s.t, &object)
}

// patience is how long the operator may take, on a machine that is busy.
const patience = 40 * time.Second

// await waits until check returns "", and fails with what it returns otherwise.
func (s *operatorSite) await(what string, check func() string) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := check()
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %s", what, left)
		}
		time.Sleep(25 * time.Millisecond)
	}
}

// awaitConditions waits until the status is about the present spec and has the conditions: "Type=Status/Reason".
func (s *operatorSite) awaitConditions(want ...string) *v1alpha1.SegmentBridge {
	s.t.Helper()
	var bridge *v1alpha1.SegmentBridge
	s.await(fmt.Sprint("conditions ", want), func() string {
		if bridge = s.bridge(); bridge == nil {
			return "there is no resource"
		}
		var has []string
		for _, c := range bridge.Status.Conditions {
			has = append(has, c.Type+"="+string(c.Status)+"/"+c.Reason)
		}
		for _, w := range want {
			if !slices.Contains(has, w) {
				return fmt.Sprint(bridge.Status.Conditions)
			}
		}
		if bridge.Status.ObservedGeneration != bridge.Generation {
			return "the status is old"
		}
		return ""
	})
	return bridge
}

func (s *operatorSite) message(condition string) string {
	if c := meta.FindStatusCondition(s.bridge().Status.Conditions, condition); c != nil {
		return c.Message
	}
	return ""
}

// installed names all objects that an installation can consist of, and that are there: "Kind namespace/name".
func (s *operatorSite) installed() []string {
	s.t.Helper()
	var found []string
	for _, kind := range []string{"Secret", "ServiceAccount", "PersistentVolumeClaim", "CronJob", "Job", "NetworkPolicy", "ClusterRole", "ClusterRoleBinding"} {
		list, err := s.resource(kind, "").List(s.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=segment-bridge"})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, o := range list.Items {
			if o.GetDeletionTimestamp() == nil {
				found = append(found, strings.TrimPrefix(kind+" "+o.GetNamespace()+"/"+o.GetName(), "/"))
			}
		}
	}
	slices.Sort(found)
	return found
}

// The objects of the smallest installation.
func plainInstallation(more ...string) []string {
	all := append([]string{
		"ClusterRole /segment-bridge", "ClusterRoleBinding /segment-bridge", "CronJob segment-bridge/segment-bridge",
		"NetworkPolicy segment-bridge/segment-bridge", "NetworkPolicy segment-bridge/segment-bridge-default-deny",
		"PersistentVolumeClaim segment-bridge/segment-bridge-stage", "ServiceAccount segment-bridge/segment-bridge",
	}, more...)
	slices.Sort(all)
	return all
}

func (s *operatorSite) awaitInstalled(want []string) {
	s.t.Helper()
	s.await("installed objects", func() string {
		if got := s.installed(); !slices.Equal(got, want) {
			return fmt.Sprintf("there are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return ""
	})
}
