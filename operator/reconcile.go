// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"errors"
	"slices"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/consent"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

// finalizer holds a SegmentBridge that is being deleted until nothing of it is left. It is on the resource while
// telemetry is on.
const finalizer = "segment-bridge.dev/remove"

// A reconciler is used by one goroutine.
type reconciler struct {
	Options

	client client.Client // reads from the cache what is cached
	live   client.Reader // reads from the API server
	around *surroundings
	events events.EventRecorder
	gauges gauges

	applied map[key]applied
}

// Reconcile implements [reconcile.Reconciler].
func (r *reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var bridge v1alpha1.SegmentBridge
	err := r.client.Get(ctx, request.NamespacedName, &bridge)
	switch {
	case apierrors.IsNotFound(err):
		// Nobody can say any more whether the events may go as well.
		r.gauges.show(nil)
		return reconcile.Result{}, r.removeAll(ctx, true)
	case err != nil:
		return reconcile.Result{}, failed("get the SegmentBridge", err)
	case !bridge.DeletionTimestamp.IsZero():
		r.gauges.show(nil)
		if err := r.removeAll(ctx, retains(&bridge)); err != nil {
			return reconcile.Result{}, err
		}
		return reconcile.Result{}, r.setFinalizer(ctx, &bridge, controllerutil.RemoveFinalizer)
	}
	status := bridge.Status.DeepCopy()
	again, err := r.converge(ctx, &bridge, status)
	err = errors.Join(err, r.report(ctx, &bridge, status))
	r.gauges.show(status)
	if apierrors.IsConflict(err) {
		// Somebody wrote while this was going on: begin anew with what they wrote.
		return reconcile.Result{RequeueAfter: firstRetry}, nil
	}
	return reconcile.Result{RequeueAfter: again}, err
}

// converge decides whether telemetry is on, and makes it so. It writes down in status what came of it, and returns when
// to look again. An error is worth another try; what only somebody else can put right is in status alone.
func (r *reconciler) converge(ctx context.Context, bridge *v1alpha1.SegmentBridge, status *v1alpha1.SegmentBridgeStatus) (time.Duration, error) {
	known, factsErr := r.around.facts(ctx, bridge.Spec.ClusterID)
	decision := r.decide(bridge, known)
	status.ObservedGeneration = bridge.Generation
	status.Console = decision.Console
	conditions := conditions{status, bridge.Generation, r.Now()}
	conditions.decided(decision)
	if !decision.Known && status.Enabled == nil {
		// There was no decision yet: neither install nor remove anything on no grounds.
		conditions.ready(blocked(decision.Reason, errors.New(decision.Message)), reasonUndecided, "")
		return 0, factsErr
	}
	status.Enabled = &decision.Enabled
	again := factsLast
	if decision.Again > 0 {
		again = min(again, decision.Again)
	}
	if !decision.Enabled {
		err := r.turnOff(ctx, bridge, status)
		conditions.off(err)
		return again, err
	}
	degraded, err := r.turnOn(ctx, bridge, status, known)
	if factsErr != nil {
		if known.read.IsZero() || known.asked != bridge.Spec.ClusterID {
			degraded, err = nil, factsErr
		} else {
			degraded = append(degraded, factsErr)
		}
	}
	conditions.on(err, degraded)
	if p, ok := errors.AsType[*problem](err); ok && slices.Contains([]string{reasonInvalidSpec, reasonPseudonymKeyLost, reasonPseudonymKeyInvalid}, p.reason) {
		err = nil // whoever puts it right is noticed
	}
	return again, errors.Join(err, factsErr)
}

// decide asks package consent.
func (r *reconciler) decide(bridge *v1alpha1.SegmentBridge, known facts) consent.Decision {
	f := consent.Facts{
		Enabled: bridge.Spec.Enabled, Last: bridge.Status.Enabled, Seen: bridge.Status.Console, Now: r.Now(),
	}
	f.Konflux, _, f.KonfluxEnabled = r.around.konfluxSeen()
	f.Console, f.ConsoleEnabled = r.around.consoleSeen()
	switch {
	case known.read.IsZero():
		f.OpenShift = consent.Unreadable
	case known.openShift:
		f.OpenShift = consent.Present
	default:
		f.OpenShift = consent.Absent
	}
	return consent.Decide(f)
}

// turnOff removes the installation.
func (r *reconciler) turnOff(ctx context.Context, bridge *v1alpha1.SegmentBridge, status *v1alpha1.SegmentBridgeStatus) error {
	if err := r.removeAll(ctx, retains(bridge)); err != nil {
		return err
	}
	status.LastRun, status.Backfill = nil, nil
	if !retains(bridge) {
		status.PseudonymKeyID = ""
	}
	return r.setFinalizer(ctx, bridge, controllerutil.RemoveFinalizer)
}

// turnOn makes the installation what the resource asks for. It returns what telemetry goes on without, and what stands
// in its way; in that case what was installed before stays.
func (r *reconciler) turnOn(ctx context.Context, bridge *v1alpha1.SegmentBridge, status *v1alpha1.SegmentBridgeStatus, known facts) (degraded []error, err error) {
	if known.clusterID == "" {
		return nil, nil // it is said why
	}
	if err := r.setFinalizer(ctx, bridge, controllerutil.AddFinalizer); err != nil {
		return nil, err
	}
	settings, degraded, err := r.settings(ctx, bridge, known)
	if err != nil {
		return nil, err
	}
	objects, err := install.Objects(settings)
	if err != nil {
		return nil, blocked(reasonInvalidSpec, err)
	}
	if err := r.apply(ctx, slices.DeleteFunc(objects, func(o install.Object) bool { return o.GetName() == install.PseudonymKeySecret })); err != nil {
		return nil, err
	}
	if settings.Spec.Pseudonyms.Scheme == v1alpha1.SchemeHMAC {
		// Until the key is there the job's pods wait for it.
		if err := r.pseudonymKey(ctx, bridge, status); err != nil {
			return nil, err
		}
	}
	lost, err := r.lastRun(ctx, status)
	if lost != nil {
		degraded = append(degraded, lost)
	}
	if err != nil {
		return degraded, err
	}
	missing, err := r.backfill(ctx, bridge, settings, status)
	if missing != nil {
		degraded = append(degraded, missing)
	}
	return degraded, err
}

const (
	reasonInvalidSpec     = "InvalidSpec"
	reasonUndecided       = "Undecided"
	reasonResultsNotFound = "TektonResultsNotFound"
)

// settings are all that the installation depends on.
func (r *reconciler) settings(ctx context.Context, bridge *v1alpha1.SegmentBridge, known facts) (s install.Settings, degraded []error, err error) {
	s = install.Settings{
		Spec: *bridge.Spec.DeepCopy(), ClusterID: known.clusterID, Image: r.Image, OpenShift: known.openShift,
		APIServers: r.around.apiServerAddresses(),
	}
	if exists(r.around.ui) {
		s.UINamespace = r.UINamespace
	}
	asked := s.Spec.Sources.TektonResults
	if s.Results, err = resultsFrom(asked.Enabled, asked.Address, known.results); err != nil {
		degraded = append(degraded, blocked(reasonResultsNotFound, err))
	}
	wishes := []wish{specWish(s.Spec.Segment)}
	if _, konflux, _ := r.around.konfluxSeen(); konflux != nil {
		wishes = slices.Insert(wishes, 0, konfluxWish(konflux))
	}
	to, err := resolve(ctx, r.readKey, r.WriteKey, wishes...)
	if err != nil {
		return s, nil, err
	}
	if to.missing != nil {
		degraded = append(degraded, to.missing)
	}
	// What was asked for is resolved: the key goes into a Secret of the job's own.
	s.WriteKey, s.URL = to.key, to.url
	s.Spec.Segment.WriteKey, s.Spec.Segment.WriteKeySecretRef, s.Spec.Segment.URL = "", nil, ""
	return s, degraded, nil
}

// retains reports whether the volume with the events stays when telemetry is off.
func retains(bridge *v1alpha1.SegmentBridge) bool {
	v := bridge.Spec.Stage.Volume
	return v != nil && v.ReclaimPolicy == v1alpha1.ReclaimRetain
}

// setFinalizer adds or removes the finalizer, if that changes anything.
func (r *reconciler) setFinalizer(ctx context.Context, bridge *v1alpha1.SegmentBridge, set func(client.Object, string) bool) error {
	before := bridge.DeepCopy()
	if !set(bridge, finalizer) {
		return nil
	}
	status := bridge.Status
	err := r.client.Patch(ctx, bridge, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	bridge.Status = status
	return failed("set the finalizer of the SegmentBridge", client.IgnoreNotFound(err))
}

// report writes the status if it differs, and tells of conditions that changed.
func (r *reconciler) report(ctx context.Context, bridge *v1alpha1.SegmentBridge, status *v1alpha1.SegmentBridgeStatus) error {
	if apiequality.Semantic.DeepEqual(bridge.Status, *status) {
		return nil
	}
	before := bridge.DeepCopy()
	bridge.Status = *status
	if err := r.client.Status().Patch(ctx, bridge, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return failed("write the status of the SegmentBridge", err)
	}
	r.tell(before, status)
	return nil
}
