// SPDX-License-Identifier: Apache-2.0

// Package operator installs the job that collects and delivers telemetry, as a SegmentBridge resource asks for it, and
// removes all of it when telemetry is off. It runs in a manager of its own (`segment-bridge-operator`) or in that of
// another operator: see [SetupWithManager].
//
// The reconciler is level-based. Each time anything changes that it looks at it goes through the same steps: look at the
// cluster ([cluster]), decide whether telemetry is on (package consent), work out the objects of the installation (package
// install), apply those that differ and delete those that are not wanted any more, and write the status if it differs.
// When nothing changes, nothing is read or written but a few facts once an hour.
package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crcluster "sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

// Name is that of the controller, of its field manager and of its events.
const Name = "segment-bridge-operator"

// DefaultUINamespace is where the user interface of Konflux runs.
const DefaultUINamespace = "konflux-ui"

// Options are what the reconciler cannot find out in the cluster.
type Options struct {
	// Image is run by the jobs where the resource names none.
	Image string
	// WriteKey is used where nobody sets one; "" is none.
	WriteKey string
	// UINamespace gets the key and the URL too, while it exists; DefaultUINamespace when empty.
	UINamespace string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Registry gets the metrics; that of controller-runtime when nil.
	Registry prometheus.Registerer
}

// A reconciliation that failed is tried again after these times, doubled from the first to the last.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = time.Minute
)

// request is the only one there is: there is one SegmentBridge in a cluster, and everything is about it.
var request = reconcile.Request{NamespacedName: types.NamespacedName{Name: v1alpha1.Name}}

// SetupWithManager adds the reconciler to a manager. It reads through a cache of its own, which holds little: the
// resource, the metadata of what is installed, and its jobs. The manager's account needs the rights of
// deploy/operator/rbac.yaml; its scheme needs nothing.
func SetupWithManager(mgr ctrl.Manager, o Options) error {
	if o.UINamespace == "" {
		o.UINamespace = DefaultUINamespace
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Registry == nil {
		o.Registry = metrics.Registry
	}
	log := mgr.GetLogger().WithName(Name)
	own, err := newCluster(mgr.GetConfig(), mgr.GetHTTPClient(), log, o.UINamespace)
	if err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	surroundings, err := newSurroundings(mgr.GetConfig(), mgr.GetHTTPClient(), o)
	if err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	r := &reconciler{
		Options: o, client: own.GetClient(), live: own.GetAPIReader(), around: surroundings,
		events: mgr.GetEventRecorder(Name), applied: map[key]applied{},
	}
	if err := o.Registry.Register(&r.gauges); err != nil {
		return fmt.Errorf("set up the operator: register its metrics: %w", err)
	}
	if err := mgr.Add(own); err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	c, err := controller.New(Name, mgr, controller.Options{
		Reconciler: r, SkipNameValidation: new(true),
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
	})
	if err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	if err := c.Watch(surroundings); err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	toRequest := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request}
	})
	for _, object := range append([]client.Object{&v1alpha1.SegmentBridge{}, &batchv1.Job{}}, kinds()...) {
		if err := c.Watch(source.Kind(own.GetCache(), object, toRequest)); err != nil {
			return fmt.Errorf("set up the operator: %w", err)
		}
	}
	return nil
}

// newCluster returns a client and a cache that holds no more than what is worked with.
func newCluster(config *rest.Config, http *http.Client, log logr.Logger, uiNamespace string) (crcluster.Cluster, error) {
	types := runtime.NewScheme()
	if err := scheme.AddToScheme(types); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(types); err != nil {
		return nil, err
	}
	named := func(name string) cache.ByObject { return cache.ByObject{Field: byName(name)} }
	byObject := map[client.Object]cache.ByObject{
		&v1alpha1.SegmentBridge{}: named(v1alpha1.Name),
		&batchv1.Job{}: {Namespaces: map[string]cache.Config{
			install.Namespace: {LabelSelector: labels.SelectorFromSet(labels.Set{install.LabelName: install.Labels()[install.LabelName]})},
		}},
	}
	for _, object := range kinds() {
		switch object.GetObjectKind().GroupVersionKind().Kind {
		case kindClusterRole, kindClusterRoleBinding:
			byObject[object] = named(install.CronJob)
		case kindSecret:
			// All of the job's namespace: the write key may be in one that somebody else keeps.
			byObject[object] = cache.ByObject{Namespaces: map[string]cache.Config{
				install.Namespace: {}, uiNamespace: {FieldSelector: byName(install.UISecret)},
			}}
		default:
			byObject[object] = cache.ByObject{Namespaces: map[string]cache.Config{
				install.Namespace: {LabelSelector: labels.SelectorFromSet(labels.Set{ownerLabel: ownerValue})},
			}}
		}
	}
	return crcluster.New(config, func(options *crcluster.Options) {
		options.Scheme, options.Logger, options.HTTPClient = types, log, http
		options.Cache = cache.Options{
			ByObject: byObject, DefaultTransform: cache.TransformStripManagedFields(),
			DefaultWatchErrorHandler: func(_ context.Context, r *toolscache.Reflector, err error) {
				// Watches end all the time; one that may not begin is worth a line.
				if why := failed("watch "+r.TypeDescription(), err); errors.Is(why, fs.ErrPermission) {
					log.Error(why, "cannot watch")
				}
			},
		}
	})
}

func byName(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }
