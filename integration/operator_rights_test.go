// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/segment-bridge/segment-bridge/operator"
	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

const operatorUser = "system:serviceaccount:segment-bridge-operator:segment-bridge-operator"

// A right is one verb on one resource, perhaps on one object, as a role of the operator grants it.
type right struct {
	kind, namespace string // of the role
	rule            int
	verb            string
	group, resource string
	name            string
}

// TestOperatorRights lets the operator do all that it ever does with its own account, which shows that no right is
// missing. Then it takes away each verb on each resource by itself, and expects that the API server would refuse one of
// the requests that were made, or the job's role.
func TestOperatorRights(t *testing.T) {
	s := newOperatorSite(t)
	clients, err := kubernetes.NewForConfig(s.cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	s.exercise()
	requests, _ := s.traffic.since(0)
	requests = append(requests, s.traffic.implied...)
	slices.Sort(requests)
	requests = slices.Compact(requests)
	requests = slices.DeleteFunc(requests, func(r string) bool {
		// The namespace comes with the operator, who may not make one.
		return attributesOf(r) == nil || r == "create /api/v1/namespaces/segment-bridge"
	})

	allowed := func(request string) bool {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: operatorUser, Groups: []string{"system:authenticated", "system:serviceaccounts"}, ResourceAttributes: attributesOf(request),
		}}
		answer, err := clients.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.Status.Allowed
	}
	for _, request := range requests {
		if !allowed(request) {
			t.Errorf("the operator asks for what it may not: %s", request)
		}
	}
	rights := s.rights()
	for _, r := range rights {
		var needed []string
		for _, request := range requests {
			if r.covers(attributesOf(request)) {
				needed = append(needed, request)
			}
		}
		restore := s.without(r)
		missed := func() bool {
			return slices.ContainsFunc(needed, func(request string) bool { return !allowed(request) }) || !s.mayGrant()
		}
		deadline := time.Now().Add(5 * time.Second) // the authorizer learns of roles a moment later
		for !missed() && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
		}
		if !missed() {
			t.Errorf("nobody misses %s %s %s/%s of the %s in %q", r.verb, r.group, r.resource, r.name, r.kind, r.namespace)
		}
		restore()
	}
	t.Logf("%d rights, %d different requests", len(rights), len(requests))
}

// exercise makes the operator do each thing once.
func (s *operatorSite) exercise() {
	s.t.Helper()
	stop := s.start(operator.Options{})
	s.putBridge(v1alpha1.New().Enable(true))
	s.awaitConditions("Ready=True/Installed")
	stop()
	s.makeOpenShift()
	s.cluster.Define(s.t, "world/crds")
	s.cluster.Namespace(s.t, "konflux-ui", nil)
	s.cluster.Namespace(s.t, "tekton-pipelines", nil)
	s.cluster.ApplyObjects(s.t, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"namespace": "tekton-pipelines", "name": "tekton-results-api-service"},
		"spec": map[string]any{"ports": []any{map[string]any{"port": int64(8080)}}},
	}})
	s.put("Secret", "segment-bridge", "segment", `{"stringData":{"key":"secretsecretsecretsecretsecret00"}}`)
	b := v1alpha1.New().Enable(true).SendWith("segment", "key")
	b.Spec.Pseudonyms.Scheme = v1alpha1.SchemeHMAC
	b.Spec.Retention = &v1alpha1.Retention{Compact: true}
	b.Spec.Backfill = &v1alpha1.Backfill{Since: metav1.NewTime(time.Now().AddDate(0, 0, -30))}
	s.start(operator.Options{}, func(o *ctrl.Options) {
		o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, operator.Name, "segment-bridge-operator"
		o.LeaderElectionReleaseOnCancel = true
		o.LeaseDuration, o.RenewDeadline, o.RetryPeriod = new(30*time.Second), new(20*time.Second), new(time.Second)
	})
	s.putBridge(b)
	s.awaitConditions("Ready=True/Installed", "Degraded=False/AsExpected")
	if key := s.value("segment-bridge", "segment-bridge-pseudonym-key", "key"); len(key) != 32 {
		s.t.Errorf("the pseudonym key has %d bytes", len(key))
	}
	role, _ := json.Marshal(s.get("ClusterRole", "", "segment-bridge").Object["rules"])
	if !strings.Contains(string(role), "results.tekton.dev") {
		s.t.Errorf("Tekton Results is not found: %s", role)
	}
	s.runJob("one", "Complete", time.Now(), nil)
	s.awaitConditions("LastRunSucceeded=True/Succeeded")
	// An event that goes on is patched: the same decision, twice.
	for range 2 {
		b.Spec.Enabled = new(false)
		s.putBridge(b)
		s.awaitConditions("Ready=True/Off", "TelemetryEnabled=False/Disabled")
		s.awaitInstalled([]string{})
		b.Spec.Enabled = new(true)
		s.putBridge(b)
		s.awaitConditions("Ready=True/Installed", "TelemetryEnabled=True/Enabled")
	}
	s.await("the lease is renewed", func() string {
		requests, _ := s.traffic.since(0)
		if !slices.ContainsFunc(requests, func(r string) bool { return strings.HasPrefix(r, "update ") }) {
			return "not yet"
		}
		return ""
	})
	s.await("an event is patched", func() string {
		requests, _ := s.traffic.since(0)
		if !slices.ContainsFunc(requests, func(r string) bool { return strings.HasPrefix(r, "patch ") && strings.Contains(r, "/events/") }) {
			return "not yet"
		}
		return ""
	})
}

// attributesOf returns what the API server authorises a request by; nil for what is not about resources.
func attributesOf(request string) *authorizationv1.ResourceAttributes {
	verb, rest, _ := strings.Cut(request, " ")
	path, selector, _ := strings.Cut(rest, "?")
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	a := &authorizationv1.ResourceAttributes{Verb: verb}
	switch {
	case parts[0] == "api" && len(parts) > 2:
		a.Version, parts = parts[1], parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		a.Group, a.Version, parts = parts[1], parts[2], parts[3:]
	default:
		return nil
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		a.Namespace, parts = parts[1], parts[2:]
	}
	a.Resource = parts[0]
	if len(parts) > 1 {
		a.Name = parts[1]
	}
	if len(parts) > 2 {
		a.Subresource = parts[2]
	}
	if a.Name == "" && verb == "get" {
		a.Verb = "list"
	}
	if name, is := strings.CutPrefix(selector, "metadata.name="); is {
		a.Name, _ = url.QueryUnescape(name)
	}
	return a
}

// covers reports whether a request is one for this right to allow.
func (r right) covers(a *authorizationv1.ResourceAttributes) bool {
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	return r.verb == a.Verb && r.group == a.Group && r.resource == resource && (r.name == "" || r.name == a.Name) && (r.namespace == "" || r.namespace == a.Namespace)
}

// rights are all of the operator's.
func (s *operatorSite) rights() []right {
	s.t.Helper()
	var all []right
	add := func(kind, namespace string) {
		for i, rule := range s.rules(kind, namespace) {
			names := rule.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						all = append(all, right{kind, namespace, i, verb, rule.APIGroups[0], resource, name})
					}
				}
			}
		}
	}
	add("ClusterRole", "")
	for _, namespace := range []string{"segment-bridge", "segment-bridge-operator", "default"} {
		add("Role", namespace)
	}
	return all
}

func (s *operatorSite) rules(kind, namespace string) []rbacv1.PolicyRule {
	s.t.Helper()
	var role rbacv1.ClusterRole
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(s.get(kind, namespace, "segment-bridge-operator").Object, &role); err != nil {
		s.t.Fatal(err)
	}
	return role.Rules
}

// without takes one right away, and returns what gives it back.
func (s *operatorSite) without(r right) (restore func()) {
	s.t.Helper()
	before := s.rules(r.kind, r.namespace)
	after := slices.Clone(before)
	rule := *before[r.rule].DeepCopy()
	// The rule falls apart into those of its other resources and names, and that of the other verbs.
	after = slices.Delete(after, r.rule, r.rule+1)
	for _, resource := range rule.Resources {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			part := *rule.DeepCopy()
			part.Resources = []string{resource}
			if name != "" {
				part.ResourceNames = []string{name}
			}
			if resource == r.resource && name == r.name {
				part.Verbs = slices.DeleteFunc(part.Verbs, func(v string) bool { return v == r.verb })
			}
			if len(part.Verbs) > 0 {
				after = append(after, part)
			}
		}
	}
	set := func(rules []rbacv1.PolicyRule) {
		text, err := json.Marshal(map[string]any{"rules": rules})
		if err != nil {
			s.t.Fatal(err)
		}
		s.patch(r.kind, r.namespace, "segment-bridge-operator", string(text))
	}
	set(after)
	return func() { set(before) }
}

// mayGrant reports whether the operator's account may grant the job's role what it has, all sources being on.
func (s *operatorSite) mayGrant() bool {
	s.t.Helper()
	clients, err := kubernetes.NewForConfig(s.cluster.ConfigFor(s.token))
	if err != nil {
		s.t.Fatal(err)
	}
	role := s.get("ClusterRole", "", "segment-bridge")
	var typed rbacv1.ClusterRole
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(role.Object, &typed); err != nil {
		s.t.Fatal(err)
	}
	// Only a rule that is not there yet has to be held.
	typed.ObjectMeta = metav1.ObjectMeta{Name: "segment-bridge"}
	typed.TypeMeta = metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"}
	typed.Rules = append(typed.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"konflux-public-info"}, Verbs: []string{"get"}})
	text, err := json.Marshal(typed)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = clients.RbacV1().ClusterRoles().Patch(s.t.Context(), "segment-bridge", "application/apply-patch+yaml", text,
		metav1.PatchOptions{FieldManager: operator.Name, Force: new(true), DryRun: []string{metav1.DryRunAll}})
	return err == nil
}

// TestOperatorForbidden takes the right to read the switch away while telemetry is on, and gives it back.
func TestOperatorForbidden(t *testing.T) {
	s := newOperatorSite(t)
	s.cluster.Define(t, "world/crds")
	s.put("Konflux", "", "konflux", `{"spec":{"telemetry":{"enabled":true}}}`)
	// A watch that is open is not cut off: here each lasts a second.
	s.traffic.change = func(r *http.Request) {
		if query := r.URL.Query(); query.Get("timeoutSeconds") != "" {
			query.Set("timeoutSeconds", "1")
			r.URL.RawQuery = query.Encode()
		}
	}
	s.start(operator.Options{WriteKey: builtInKey})
	s.putBridge(v1alpha1.New())
	s.awaitConditions("TelemetryEnabled=True/KonfluxEnabled", "Ready=True/Installed")
	whole := plainInstallation("Secret segment-bridge/segment-bridge-write-key")
	s.awaitInstalled(whole)

	var watching right
	for _, r := range s.rights() {
		if r.resource == "konfluxes" && r.verb == "watch" {
			watching = r
		}
	}
	restore := s.without(watching)
	s.awaitConditions("TelemetryEnabled=Unknown/KonfluxUnreadable", "Ready=True/Installed")
	s.awaitInstalled(whole)
	if got := s.message(v1alpha1.ConditionTelemetryEnabled); !strings.Contains(got, "stays on") {
		t.Errorf("message is %q", got)
	}
	// What was switched meanwhile is seen when it may be.
	s.put("Konflux", "", "konflux", `{"spec":{"telemetry":{"enabled":false}}}`)
	s.awaitInstalled(whole)
	restore()
	s.awaitConditions("TelemetryEnabled=False/KonfluxDisabled", "Ready=True/Off")
	s.awaitInstalled([]string{})

	// Nor can it install what it may not.
	s.put("Konflux", "", "konflux", `{"spec":{"telemetry":{"enabled":true}}}`)
	s.awaitConditions("Ready=True/Installed")
	var applying right
	for _, r := range s.rights() {
		if r.resource == "networkpolicies" && r.verb == "create" {
			applying = r
		}
	}
	restore = s.without(applying)
	s.await("the API server knows", func() string {
		if s.get("NetworkPolicy", "segment-bridge", "segment-bridge") != nil {
			s.delete("NetworkPolicy", "segment-bridge", "segment-bridge")
			time.Sleep(200 * time.Millisecond)
			return "it was made again"
		}
		return ""
	})
	s.awaitConditions("Ready=False/ApplyFailed", "TelemetryEnabled=True/KonfluxEnabled")
	if got := s.message(v1alpha1.ConditionReady); got != "apply NetworkPolicy segment-bridge/segment-bridge: the operator's account may not: compare its roles with deploy/operator/rbac.yaml" {
		t.Errorf("message is %q", got)
	}
	restore()
	s.awaitConditions("Ready=True/Installed")
	s.awaitInstalled(whole)
}
