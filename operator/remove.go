// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/segment-bridge/segment-bridge/operator/install"
)

const reasonRemoveFailed = "RemoveFailed"

// removeAll deletes all that was made, and nothing else; nothing is left to the garbage collector but pods. With retain
// the volume stays, and the key of its pseudonyms.
func (r *reconciler) removeAll(ctx context.Context, retain bool) error {
	live, err := r.installed(ctx)
	if err != nil {
		return err
	}
	clear(r.applied)
	var errs []error
	for _, object := range ordered(live) {
		switch k := keyOf(object); {
		case !ours(object):
		case retain && (k.kind == kindClaim || k.name == install.PseudonymKeySecret):
			errs = append(errs, r.disown(ctx, object))
		default:
			errs = append(errs, r.remove(ctx, object))
		}
	}
	errs = append(errs, r.removeJobs(ctx))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if namespace := live[key{kindNamespace, "", install.Namespace}]; namespace != nil && ours(namespace) && namespace.DeletionTimestamp == nil {
		return r.leaveNamespace(ctx, namespace)
	}
	return nil
}

// remove deletes this very object, in the background what it owns.
func (r *reconciler) remove(ctx context.Context, object client.Object) error {
	if object.GetDeletionTimestamp() != nil {
		return nil
	}
	delete(r.applied, keyOf(object))
	uid := object.GetUID()
	err := r.client.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &uid})
	return blocked(reasonRemoveFailed, failed("delete "+keyOf(object).String(), client.IgnoreNotFound(err)))
}

// disown leaves an object to whoever wants it.
func (r *reconciler) disown(ctx context.Context, object client.Object) error {
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, ownerLabel))
	return blocked(reasonRemoveFailed, failed("leave "+keyOf(object).String(), client.IgnoreNotFound(r.client.Patch(ctx, object, patch))))
}

// removeJobs deletes the jobs that the cron jobs started, which is otherwise left to the garbage collector, and back-fills.
func (r *reconciler) removeJobs(ctx context.Context) error {
	var jobs batchv1.JobList
	if err := r.client.List(ctx, &jobs); err != nil {
		return failed("list Job", err)
	}
	var errs []error
	for i := range jobs.Items {
		if job := &jobs.Items[i]; ours(job) || startedBy(job, install.CronJob, install.MaintenanceCronJob) {
			errs = append(errs, r.removeJob(ctx, job))
		}
	}
	return errors.Join(errs...)
}

func (r *reconciler) removeJob(ctx context.Context, job *batchv1.Job) error {
	job.SetGroupVersionKind(batchv1.SchemeGroupVersion.WithKind("Job"))
	return r.remove(ctx, job)
}

// startedBy reports whether one of the cron jobs started a job, or somebody started it from one.
func startedBy(job *batchv1.Job, cronJobs ...string) bool {
	owner := metav1.GetControllerOf(job)
	return owner != nil && owner.Kind == kindCronJob && slices.Contains(cronJobs, owner.Name)
}

// leaveNamespace deletes the namespace if it was made here and nothing of others lives in it; else it takes back what was
// set on it.
func (r *reconciler) leaveNamespace(ctx context.Context, namespace *metav1.PartialObjectMetadata) error {
	if namespace.Annotations[madeAnnotation] == Name {
		if r.isEmpty(ctx) {
			return r.remove(ctx, namespace)
		}
		r.event(namespace, corev1.EventTypeNormal, "NamespaceKept", "Remove",
			"namespace %s stays: something else lives in it, or what does cannot be listed", install.Namespace)
	}
	nothing := &unstructured.Unstructured{}
	nothing.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kindNamespace))
	nothing.SetName(install.Namespace)
	return blocked(reasonRemoveFailed, failed("leave Namespace "+install.Namespace, client.IgnoreNotFound(r.patch(ctx, nothing))))
}

// born are the objects that every namespace has from its birth, by kind, and on OpenShift.
var born = map[string][]string{
	"ConfigMap":      {"kube-root-ca.crt", "openshift-service-ca.crt"},
	"ServiceAccount": {"default", "builder", "deployer", "pipeline"},
	"RoleBinding":    {"system:deployers", "system:image-builders", "system:image-pullers"},
}

// isEmpty reports whether nothing lives in the namespace but what it was born with, and what is on its way out. What
// cannot be listed may be something.
func (r *reconciler) isEmpty(ctx context.Context) bool {
	groups, err := r.around.discovery.ServerPreferredNamespacedResources()
	if err != nil {
		return false
	}
	for _, group := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "create"}}, groups) {
		gv, err := schema.ParseGroupVersion(group.GroupVersion)
		if err != nil {
			return false
		}
		for _, resource := range group.APIResources {
			if resource.Kind == "Event" || strings.Contains(resource.Name, "/") {
				continue
			}
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(gv.WithKind(resource.Kind + "List"))
			if err := r.live.List(ctx, list, client.InNamespace(install.Namespace)); err != nil {
				return false
			}
			if slices.ContainsFunc(list.Items, func(o metav1.PartialObjectMetadata) bool { return lives(resource.Kind, &o) }) {
				return false
			}
		}
	}
	return true
}

func lives(kind string, o *metav1.PartialObjectMetadata) bool {
	leaving := o.DeletionTimestamp != nil || kind == "Pod" && o.Labels[install.LabelName] == install.Labels()[install.LabelName]
	// OpenShift makes Secrets for the accounts it makes.
	issued := kind == kindSecret && o.Annotations[corev1.ServiceAccountNameKey] != "" && slices.Contains(born["ServiceAccount"], o.Annotations[corev1.ServiceAccountNameKey])
	return !leaving && !issued && !slices.Contains(born[kind], o.Name)
}
