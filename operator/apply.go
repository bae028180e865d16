// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/segment-bridge/segment-bridge/operator/install"
	"github.com/segment-bridge/segment-bridge/operator/sight"
)

const (
	// ownerLabel with ownerValue is on each object that the operator made, and only those are ever deleted.
	ownerLabel = "segment-bridge.dev/owner"
	ownerValue = "operator"
	// madeAnnotation is on a namespace that did not exist before.
	madeAnnotation = "segment-bridge.dev/made-by"
)

const (
	kindNamespace          = "Namespace"
	kindServiceAccount     = "ServiceAccount"
	kindClusterRole        = "ClusterRole"
	kindClusterRoleBinding = "ClusterRoleBinding"
	kindSecret             = "Secret"
	kindClaim              = "PersistentVolumeClaim"
	kindNetworkPolicy      = "NetworkPolicy"
	kindCronJob            = "CronJob"
)

// kinds returns the kinds of what is installed beside the namespace, in the order in which they are to be deleted: first
// what starts pods, then what pods need.
func kinds() []client.Object {
	var all []client.Object
	for _, gvk := range []schema.GroupVersionKind{
		{Group: "batch", Version: "v1", Kind: kindCronJob},
		{Version: "v1", Kind: kindSecret},
		{Version: "v1", Kind: kindClaim},
		{Group: "networking.k8s.io", Version: "v1", Kind: kindNetworkPolicy},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: kindClusterRoleBinding},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: kindClusterRole},
		{Version: "v1", Kind: kindServiceAccount},
	} {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(gvk)
		all = append(all, object)
	}
	return all
}

// A key names an object.
type key struct{ kind, namespace, name string }

func keyOf(o client.Object) key {
	return key{o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName()}
}

func (k key) String() string {
	if k.namespace == "" {
		return k.kind + " " + k.name
	}
	return k.kind + " " + k.namespace + "/" + k.name
}

// applied is what was applied last, and what the object was then: while both are the same there is nothing to do.
type applied struct {
	asked [sha256.Size]byte
	found string
}

// apply makes the objects of the installation what they are to be, and deletes those that are not wanted any more.
func (r *reconciler) apply(ctx context.Context, objects []install.Object) error {
	live, err := r.installed(ctx)
	if err != nil {
		return err
	}
	wanted := map[key]bool{
		// It is made once, by pseudonymKey, and stays until telemetry is off: under another key names cannot be compared.
		{kindSecret, install.Namespace, install.PseudonymKeySecret}: true,
	}
	for _, object := range objects {
		k := keyOf(object)
		if wanted[k] {
			continue
		}
		wanted[k] = true
		if err := r.applyOne(ctx, k, object, live[k]); err != nil {
			return err
		}
	}
	for _, object := range ordered(live) {
		if k := keyOf(object); !wanted[k] && ours(object) {
			if err := r.remove(ctx, object); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyOne applies an object server-side, unless it is known to be applied. What others set on it stays.
func (r *reconciler) applyOne(ctx context.Context, k key, object client.Object, live *metav1.PartialObjectMetadata) error {
	text, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("apply %s: %w", k, err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(text); err != nil {
		return fmt.Errorf("apply %s: %w", k, err)
	}
	delete(u.Object, "status")
	labels := u.GetLabels()
	if k.kind == kindNamespace {
		// Whoever made the namespace may have marked it as theirs.
		maps.DeleteFunc(labels, func(label, _ string) bool { _, common := install.Labels()[label]; return common })
		if err := r.markNamespace(ctx, u); err != nil {
			return err
		}
	}
	labels[ownerLabel] = ownerValue
	u.SetLabels(labels)

	if text, err = json.Marshal(u); err != nil {
		return fmt.Errorf("apply %s: %w", k, err)
	}
	now := applied{asked: sha256.Sum256(text), found: fingerprint(live)}
	if live != nil && r.applied[k] == now {
		return nil
	}
	again := u.DeepCopy()
	err = r.patch(ctx, u)
	if live != nil && apierrors.IsInvalid(err) && k.kind == kindClusterRoleBinding {
		// What a binding refers to never changes.
		if err := r.remove(ctx, live); err != nil {
			return err
		}
		u = again
		err = r.patch(ctx, u)
	}
	if err != nil {
		return blocked(reasonApplyFailed, failed("apply "+k.String(), err))
	}
	now.found = fingerprint(u)
	r.applied[k] = now
	return nil
}

const reasonApplyFailed = "ApplyFailed"

func (r *reconciler) patch(ctx context.Context, u *unstructured.Unstructured) error {
	return r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(Name), client.ForceOwnership)
}

// markNamespace marks the namespace if it is the operator that makes it, or did.
func (r *reconciler) markNamespace(ctx context.Context, u *unstructured.Unstructured) error {
	state, live := r.around.namespace.Look()
	made := state == sight.Present && live.GetAnnotations()[madeAnnotation] == Name
	if state == sight.Absent {
		// It is not in view; that can be a moment late, and somebody else's namespace is not to be taken for ours.
		found, err := r.around.exists(ctx, "/api/v1/namespaces/"+install.Namespace)
		if err != nil {
			return blocked(reasonApplyFailed, err)
		}
		made = !found
	}
	if made {
		u.SetAnnotations(map[string]string{madeAnnotation: Name})
	}
	return nil
}

// fingerprint changes whenever an object does, but for its status where that can be told.
func fingerprint(o client.Object) string {
	if m, ok := o.(*metav1.PartialObjectMetadata); ok && m == nil {
		return ""
	}
	if o.GetGeneration() == 0 {
		return o.GetResourceVersion()
	}
	text, _ := json.Marshal([]any{o.GetUID(), o.GetGeneration(), o.GetLabels(), o.GetAnnotations(), o.GetDeletionTimestamp()}) // these always marshal
	return string(text)
}

// installed returns the metadata of all objects of the installation, and of Secrets of others in its namespace.
func (r *reconciler) installed(ctx context.Context) (map[key]*metav1.PartialObjectMetadata, error) {
	all := map[key]*metav1.PartialObjectMetadata{}
	for _, kind := range kinds() {
		gvk := kind.GetObjectKind().GroupVersionKind()
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err := r.client.List(ctx, list); err != nil {
			return nil, failed("list "+gvk.Kind, err)
		}
		for i := range list.Items {
			object := &list.Items[i]
			object.SetGroupVersionKind(gvk)
			all[keyOf(object)] = object
		}
	}
	if state, namespace := r.around.namespace.Look(); state == sight.Present {
		object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: namespace.GetName(), UID: namespace.GetUID(), ResourceVersion: namespace.GetResourceVersion(),
			Labels: namespace.GetLabels(), Annotations: namespace.GetAnnotations(), DeletionTimestamp: namespace.GetDeletionTimestamp(),
		}}
		object.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: kindNamespace})
		all[keyOf(object)] = object
	}
	return all, nil
}

func ours(o client.Object) bool { return o.GetLabels()[ownerLabel] == ownerValue }

// ordered returns the objects in the order of kinds; namespaces are left out.
func ordered(objects map[key]*metav1.PartialObjectMetadata) []*metav1.PartialObjectMetadata {
	var all []*metav1.PartialObjectMetadata
	for _, kind := range kinds() {
		for _, k := range slices.SortedFunc(maps.Keys(objects), func(a, b key) int {
			return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
		}) {
			if k.kind == kind.GetObjectKind().GroupVersionKind().Kind {
				all = append(all, objects[k])
			}
		}
	}
	return all
}
