// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/segment-bridge/segment-bridge/operator/consent"
	"github.com/segment-bridge/segment-bridge/operator/install"
	"github.com/segment-bridge/segment-bridge/operator/sight"
	"github.com/segment-bridge/segment-bridge/telemetry/identity"
)

// What belongs to others and matters here.
const (
	konfluxCRD  = "konfluxes.konflux.konflux-ci.dev"
	konfluxName = "konflux"

	consoleNamespace = "openshift-console"
	consoleConfig    = "console-config"

	resultsService = "tekton-results-api-service"
	resultsPort    = "8080"
)

// resultsNamespaces are where Tekton Results is looked for: OpenShift Pipelines, installations of its own, and Tekton's
// operator.
var resultsNamespaces = []string{"openshift-pipelines", "tekton-results", "tekton-pipelines"}

// factsLast is for how long facts count that hardly ever change.
const factsLast = time.Hour

// surroundings are what is seen of the cluster beside the resource and the installation. It is a source of the controller.
type surroundings struct {
	crd, konflux, console, namespace, ui, apiServers *sight.Object

	rest      rest.Interface
	discovery discovery.DiscoveryInterface
	now       func() time.Time

	mu      sync.Mutex
	changed func()
	known   facts
}

// facts hardly ever change, and are read once an hour.
type facts struct {
	read      time.Time // zero when there are none
	asked     string    // the cluster ID that the resource asked for
	openShift bool
	clusterID string
	results   *install.Results // nil where there is none
}

func newSurroundings(config *rest.Config, client *http.Client, o Options) (*surroundings, error) {
	objects, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	raw := rest.CopyConfig(config)
	raw.ContentType, raw.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	raw.NegotiatedSerializer = serializer.NewCodecFactory(errorTypes()).WithoutConversion()
	s := &surroundings{now: o.Now, changed: func() {}}
	if s.rest, err = rest.UnversionedRESTClientForConfigAndClient(raw, client); err != nil {
		return nil, err
	}
	s.discovery = discovery.NewDiscoveryClient(s.rest)
	see := func(group, version, resource, namespace, name string) *sight.Object {
		var r dynamic.ResourceInterface = objects.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: resource})
		if namespace != "" {
			r = objects.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: resource}).Namespace(namespace)
		}
		return sight.New(r, name, func() { s.poke() })
	}
	s.konflux = see("konflux.konflux-ci.dev", "v1alpha1", "konfluxes", "", konfluxName)
	s.console = see("", "v1", "configmaps", consoleNamespace, consoleConfig)
	s.namespace = see("", "v1", "namespaces", "", install.Namespace)
	s.ui = see("", "v1", "namespaces", "", o.UINamespace)
	s.apiServers = see("discovery.k8s.io", "v1", "endpointslices", "default", "kubernetes")
	s.crd = sight.New(objects.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}),
		konfluxCRD, func() { s.konflux.Poke(); s.poke() })
	return s, nil
}

// errorTypes are those that the API server's errors come in.
func errorTypes() *runtime.Scheme {
	types := runtime.NewScheme()
	metav1.AddToGroupVersion(types, metav1.SchemeGroupVersion)
	return types
}

func (s *surroundings) objects() []*sight.Object {
	return []*sight.Object{s.crd, s.konflux, s.console, s.namespace, s.ui, s.apiServers}
}

func (s *surroundings) poke() {
	s.mu.Lock()
	changed := s.changed
	s.mu.Unlock()
	changed()
}

// Start implements [source.Source].
func (s *surroundings) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	s.mu.Lock()
	s.changed = func() { queue.Add(request) }
	s.mu.Unlock()
	for _, object := range s.objects() {
		go object.Run(ctx)
	}
	return nil
}

// WaitForSync implements [source.SyncingSource]: it waits until every object was looked for once.
func (s *surroundings) WaitForSync(ctx context.Context) error {
	for _, object := range s.objects() {
		select {
		case <-object.First():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// String implements [fmt.Stringer] for the log.
func (*surroundings) String() string { return "surroundings" }

// konfluxSeen returns the Konflux resource, with spec.telemetry.enabled. A value that is neither true nor false
// cannot be read.
func (s *surroundings) konfluxSeen() (state consent.Sight, konflux *unstructured.Unstructured, enabled *bool) {
	switch state, konflux := s.konflux.Look(); state {
	case sight.Present:
		value, found, err := unstructured.NestedBool(konflux.Object, "spec", "telemetry", "enabled")
		if err != nil {
			return consent.Unreadable, nil, nil
		}
		if found {
			enabled = &value
		}
		return consent.Present, konflux, enabled
	case sight.Absent:
		return consent.Absent, nil, nil
	case sight.NoKind:
		// The definition is there and its resources are not: they are about to come, or are of a version not known here.
		if crd, _ := s.crd.Look(); crd == sight.Present {
			return consent.Unreadable, nil, nil
		}
		return consent.Absent, nil, nil
	case sight.Unreadable:
	}
	return consent.Unreadable, nil, nil
}

// consoleSeen returns whether the console has a configuration, and whether that says that telemetry is on.
func (s *surroundings) consoleSeen() (consent.Sight, bool) {
	switch state, config := s.console.Look(); state {
	case sight.Present:
		text, _, _ := unstructured.NestedString(config.Object, "data", consent.ConsoleKey)
		on, err := consent.ReadConsole(text)
		if err != nil {
			return consent.Unreadable, false
		}
		return consent.Present, on
	case sight.Absent, sight.NoKind:
		return consent.Absent, false
	case sight.Unreadable:
	}
	return consent.Unreadable, false
}

// exists reports whether a namespace is there to put something into.
func exists(namespace *sight.Object) bool {
	state, object := namespace.Look()
	return state == sight.Present && object.GetDeletionTimestamp() == nil
}

// apiServerAddresses returns where the API server is; none when that cannot be seen.
func (s *surroundings) apiServerAddresses() []netip.AddrPort {
	state, slice := s.apiServers.Look()
	if state != sight.Present {
		return nil
	}
	text, err := json.Marshal(slice.Object)
	if err != nil {
		return nil
	}
	var endpoints struct {
		Endpoints []struct{ Addresses []string }
		Ports     []struct{ Port uint16 }
	}
	if json.Unmarshal(text, &endpoints) != nil {
		return nil
	}
	var all []netip.AddrPort
	for _, endpoint := range endpoints.Endpoints {
		for _, address := range endpoint.Addresses {
			for _, port := range endpoints.Ports {
				if ip, err := netip.ParseAddr(address); err == nil && port.Port != 0 {
					all = append(all, netip.AddrPortFrom(ip, port.Port))
				}
			}
		}
	}
	return all
}

// facts returns facts that are an hour old at most, reading them if need be. An error leaves those that were known.
func (s *surroundings) facts(ctx context.Context, clusterID string) (facts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known.read.IsZero() && s.known.asked == clusterID && s.now().Sub(s.known.read) < factsLast {
		return s.known, nil
	}
	f := facts{read: s.now(), asked: clusterID, clusterID: clusterID}
	var err error
	if f.openShift, err = s.exists(ctx, "/apis/config.openshift.io"); err != nil {
		return s.known, blocked(reasonClusterUnreadable, err)
	}
	if f.clusterID == "" {
		id, err := identity.Resolve(ctx, getter{s.rest}, identity.Options{KonfluxVersion: "v0", KubernetesVersion: "v0"}) // the job reads them
		if err != nil {
			return s.known, blocked(reasonClusterIDUnknown, fmt.Errorf("set spec.clusterID, or: %w", err))
		}
		f.clusterID = id.ClusterID.Reveal()
	}
	for _, namespace := range resultsNamespaces {
		found, err := s.exists(ctx, "/api/v1/namespaces/"+namespace+"/services/"+resultsService)
		if err != nil {
			return s.known, blocked(reasonClusterUnreadable, err)
		}
		if found {
			f.results = &install.Results{Address: resultsService + "." + namespace + ".svc.cluster.local:" + resultsPort, Namespace: namespace}
			break
		}
	}
	s.known = f
	return f, nil
}

// The reasons why facts are not known.
const (
	reasonClusterUnreadable = "ClusterUnreadable"
	reasonClusterIDUnknown  = "ClusterIDUnknown"
)

func (s *surroundings) exists(ctx context.Context, path string) (bool, error) {
	err := getter{s.rest}.Get(ctx, path, &struct{}{})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// getter implements [identity.Getter].
type getter struct{ rest rest.Interface }

func (g getter) Get(ctx context.Context, path string, object any) error {
	text, err := g.rest.Get().AbsPath(path).DoRaw(ctx)
	if err != nil {
		return failed("get "+path, err)
	}
	if json.Unmarshal(text, object) != nil {
		return errors.New("get " + path + ": the answer is not understood")
	}
	return nil
}

// resultsFrom returns where the job reads Tekton Results, and nil where it does not. The error says that it was asked for
// and is not there.
func resultsFrom(asked *bool, address string, found *install.Results) (*install.Results, error) {
	switch {
	case asked != nil && !*asked:
		return nil, nil
	case address != "":
		return &install.Results{Address: address, Namespace: install.ServiceNamespace(address)}, nil
	case found == nil && asked != nil:
		return nil, errors.New("no Tekton Results is found: set spec.sources.tektonResults.address")
	default:
		return found, nil
	}
}
