// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/operator"
	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

// reconciles returns how often the reconciler ran in this process.
func reconciles(t *testing.T) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0.0
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == operator.Name }) {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestOperatorIdle counts what the operator does until an installation is in place, and in an hour in which nothing
// happens. That hour is passed in half a minute: clock, watches and lease run 120 times as fast.
func TestOperatorIdle(t *testing.T) {
	const faster = 120
	s := newOperatorSite(t)
	s.cluster.Define(t, "world/crds")
	s.traffic.change = func(r *http.Request) {
		query := r.URL.Query()
		if seconds, err := strconv.Atoi(query.Get("timeoutSeconds")); err == nil {
			query.Set("timeoutSeconds", strconv.Itoa(max(1, seconds/faster)))
			r.URL.RawQuery = query.Encode()
		}
	}
	before := reconciles(t)
	s.start(operator.Options{WriteKey: builtInKey}, func(o *ctrl.Options) {
		o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, operator.Name, "segment-bridge-operator"
		o.LeaderElectionReleaseOnCancel = true
		o.LeaseDuration, o.RenewDeadline, o.RetryPeriod = new(8*time.Second), new(6*time.Second), new(time.Minute/faster)
	})
	s.putBridge(v1alpha1.New().Enable(true))
	s.awaitConditions("Ready=True/Installed")
	whole := plainInstallation("Secret segment-bridge/segment-bridge-write-key")
	s.awaitInstalled(whole)
	time.Sleep(2 * time.Second)
	_, n := s.traffic.since(0)
	toSteady := reconciles(t) - before
	t.Logf("to the steady state: %.0f reconciliations, %d requests", toSteady, n)
	if toSteady > 20 {
		t.Errorf("%.0f reconciliations until an installation of %d objects is in place", toSteady, len(whole))
	}
	version := s.bridge().ResourceVersion

	// An hour: the clock is moved at its middle, so that the facts are read again once.
	time.Sleep(time.Hour / faster / 2)
	s.clock.move(time.Hour)
	s.patch("Namespace", "", "segment-bridge", `{"metadata":{"annotations":{"look":"again"}}}`) // instead of the timer, which is not moved
	time.Sleep(time.Hour / faster / 2)
	requests, total := s.traffic.since(n)
	kinds := map[string]int{}
	for _, r := range requests {
		verb, path, _ := strings.Cut(r, " ")
		if strings.Contains(path, "/leases/") {
			verb = "lease"
		}
		kinds[verb]++
	}
	idle := reconciles(t) - before - toSteady
	t.Logf("in an idle hour: %.0f reconciliations, %d requests: %v", idle, total-n, kinds)
	if idle > 4 || kinds["get"] > 30 || kinds["patch"] > 1 || kinds["create"] > 0 || kinds["watch"] > 200 {
		t.Errorf("an idle hour takes %.0f reconciliations and %v: %v", idle, kinds, requests)
	}
	if got := s.bridge(); got.ResourceVersion != version {
		t.Errorf("the status was written again: %+v", got.Status)
	}
}

// TestOperatorTwice runs two operators at once that know nothing of each other, and then two of which one leads.
func TestOperatorTwice(t *testing.T) {
	s := newOperatorSite(t)
	b := v1alpha1.New().Enable(true)
	b.Spec.Pseudonyms.Scheme = v1alpha1.SchemeHMAC
	stops := []func(){s.start(operator.Options{WriteKey: builtInKey}), s.start(operator.Options{WriteKey: builtInKey})}
	whole := plainInstallation("Secret segment-bridge/segment-bridge-write-key", "Secret segment-bridge/segment-bridge-pseudonym-key")
	for i := range 3 {
		b.Annotations = map[string]string{"round": fmt.Sprint(i)}
		b.Spec.Enabled = new(true)
		s.putBridge(b)
		s.awaitConditions("Ready=True/Installed", "TelemetryEnabled=True/Enabled")
		s.awaitInstalled(whole)
		s.awaitQuiet()
		key := s.value("segment-bridge", "segment-bridge-pseudonym-key", "key")
		s.delete("Secret", "segment-bridge", "segment-bridge-pseudonym-key")
		s.awaitConditions("Ready=False/PseudonymKeyLost")
		s.put("Secret", "segment-bridge", "segment-bridge-pseudonym-key", `{"metadata":{"labels":{"app.kubernetes.io/name":"segment-bridge","segment-bridge.dev/owner":"operator"}},"stringData":{"key":"`+strings.Repeat("k", 32)+`"}}`)
		s.awaitConditions("Ready=True/Installed")
		if key == strings.Repeat("k", 32) {
			t.Error("the key is not random")
		}
		b.Spec.Enabled = new(false)
		s.putBridge(b)
		s.awaitConditions("Ready=True/Off")
		s.awaitInstalled([]string{})
	}
	for _, stop := range stops {
		stop()
	}

	lease := func(o *ctrl.Options) {
		o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, operator.Name, "segment-bridge-operator"
		o.LeaderElectionReleaseOnCancel = true
		o.LeaseDuration, o.RenewDeadline, o.RetryPeriod = new(15*time.Second), new(10*time.Second), new(200*time.Millisecond)
	}
	first := s.start(operator.Options{WriteKey: builtInKey}, lease)
	b.Spec.Enabled, b.Spec.Pseudonyms.Scheme = new(true), v1alpha1.SchemeSHA256
	s.putBridge(b)
	s.awaitConditions("Ready=True/Installed", "TelemetryEnabled=True/Enabled")
	s.start(operator.Options{WriteKey: "anotheranotheranotheranother0000"}, lease)
	s.awaitQuiet()
	s.awaitKey(builtInKey)
	first()
	s.awaitKey("anotheranotheranotheranother0000") // the second leads, and has another key built in
}

// awaitQuiet waits until nothing is written for a second.
func (s *operatorSite) awaitQuiet() {
	s.t.Helper()
	last, since := "", time.Now()
	s.await("the operators agree", func() string {
		now := s.bridge().ResourceVersion
		for _, kind := range []string{"CronJob", "NetworkPolicy", "ServiceAccount", "Secret"} {
			list, err := s.resource(kind, "segment-bridge").List(s.t.Context(), metav1.ListOptions{})
			if err != nil {
				s.t.Fatal(err)
			}
			for _, o := range list.Items {
				now += " " + o.GetResourceVersion()
			}
		}
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < time.Second {
			return "they still write"
		}
		return ""
	})
}

// TestOperatorUpgrade finds the objects of an earlier version: with another shape and other labels, and one that is not
// made any more.
func TestOperatorUpgrade(t *testing.T) {
	s := newOperatorSite(t)
	for _, object := range world.Objects(t, "testdata/operator-v0.yaml") {
		// As the operator applied them.
		if _, err := s.resource(object.GetKind(), object.GetNamespace()).Apply(t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: operator.Name}); err != nil {
			t.Fatal(err)
		}
	}
	s.putBridge(v1alpha1.New().Enable(true))
	s.start(operator.Options{WriteKey: builtInKey})
	s.awaitConditions("Ready=True/Installed")
	s.awaitInstalled(plainInstallation("Secret segment-bridge/segment-bridge-write-key"))
	if s.get("NetworkPolicy", "segment-bridge", "segment-bridge-egress") != nil {
		t.Error("what is not made any more is still there")
	}
	binding := s.get("ClusterRoleBinding", "", "segment-bridge")
	if text, _ := json.Marshal(binding.Object["roleRef"]); !strings.Contains(string(text), `"name":"segment-bridge"`) {
		t.Errorf("the binding is to %s", text)
	}
	cronJob := s.get("CronJob", "segment-bridge", "segment-bridge")
	if text, _ := json.Marshal(cronJob.Object["spec"]); strings.Contains(string(text), "old-image") || !strings.Contains(string(text), "segment-bridge:test") {
		t.Errorf("the cron job is still the old one: %s", text)
	}

	// From a volume to a bucket and back, with one source less.
	b := v1alpha1.New().Enable(true).StageIn(v1alpha1.S3{Bucket: "telemetry"})
	b.Spec.Sources.Kube = new(true)
	b.Spec.Sources.TektonResults.Address = "results.example.com:8080"
	b.Spec.Retention = &v1alpha1.Retention{Compact: true}
	s.putBridge(b)
	s.awaitConditions("Ready=True/Installed")
	s.await("the volume is gone and maintenance is there", func() string {
		got := s.installed()
		if slices.Contains(got, "PersistentVolumeClaim segment-bridge/segment-bridge-stage") || !slices.Contains(got, "CronJob segment-bridge/segment-bridge-maintenance") {
			return fmt.Sprint(got)
		}
		return ""
	})
	b = v1alpha1.New().Enable(true)
	b.Spec.Sources.Kube = new(false)
	b.Spec.Sources.Inventory = new(false)
	b.Spec.Sources.TektonResults.Address = "results.example.com:8080"
	s.putBridge(b)
	s.awaitConditions("Ready=True/Installed")
	s.awaitInstalled(plainInstallation("Secret segment-bridge/segment-bridge-write-key"))
	s.await("the role reads records alone", func() string {
		text, _ := json.Marshal(s.get("ClusterRole", "", "segment-bridge").Object["rules"])
		if strings.Contains(string(text), "pipelineruns") || !strings.Contains(string(text), "records") {
			return string(text)
		}
		return ""
	})
	// What cannot be is said, and what was there stays.
	b.Spec.Sources.TektonResults.Address, b.Spec.Sources.TektonResults.Enabled = "", new(false)
	s.putBridge(b)
	s.awaitConditions("Ready=False/InvalidSpec")
	s.awaitInstalled(plainInstallation("Secret segment-bridge/segment-bridge-write-key"))
}

// TestOperatorNamespace has an operator that makes the namespace itself, as one may that is part of another product.
func TestOperatorNamespace(t *testing.T) {
	s := &operatorSite{t: t, cluster: world.NewControlPlane(t), clock: &clock{}, traffic: &traffic{}}
	s.cluster.Define(t, "../deploy/crd/segment-bridge.dev_segmentbridges.yaml")
	go s.releaseClaims(t.Context())
	s.startAs(rest.CopyConfig(s.cluster.Config), operator.Options{WriteKey: builtInKey, Registry: prometheus.NewRegistry()})
	whole := plainInstallation("Secret segment-bridge/segment-bridge-write-key")

	// A volume that is retained stays, and with it the namespace.
	s.putBridge(v1alpha1.New().Enable(true).StageOn(v1alpha1.Volume{ReclaimPolicy: v1alpha1.ReclaimRetain}))
	s.awaitConditions("Ready=True/Installed")
	s.awaitInstalled(whole)
	s.delete("SegmentBridge", "", v1alpha1.Name)
	s.awaitInstalled([]string{"PersistentVolumeClaim segment-bridge/segment-bridge-stage"})
	s.await("the namespace is left", func() string {
		if n := s.get("Namespace", "", "segment-bridge"); n == nil || n.GetDeletionTimestamp() != nil || n.GetLabels()["segment-bridge.dev/owner"] != "" {
			return fmt.Sprint(n)
		}
		return ""
	})
	// It is somebody else's from then on.
	s.delete("PersistentVolumeClaim", "segment-bridge", "segment-bridge-stage")
	s.putBridge(v1alpha1.New().Enable(true))
	s.awaitConditions("Ready=True/Installed")
	s.awaitInstalled(whole)
	s.delete("SegmentBridge", "", v1alpha1.Name)
	s.awaitInstalled([]string{})
	time.Sleep(time.Second)
	if n := s.get("Namespace", "", "segment-bridge"); n == nil || n.GetDeletionTimestamp() != nil {
		t.Error("a namespace that was there before is deleted")
	}
}

// TestOperatorNamespaceMade makes the namespace, and deletes it when nothing of others is in it.
func TestOperatorNamespaceMade(t *testing.T) {
	s := &operatorSite{t: t, cluster: world.NewControlPlane(t), clock: &clock{}, traffic: &traffic{}}
	s.cluster.Define(t, "../deploy/crd/segment-bridge.dev_segmentbridges.yaml")
	go s.releaseClaims(t.Context())
	s.startAs(rest.CopyConfig(s.cluster.Config), operator.Options{WriteKey: builtInKey})
	b := v1alpha1.New().Enable(true)
	s.putBridge(b)
	s.awaitConditions("Ready=True/Installed")
	s.put("ConfigMap", "segment-bridge", "theirs", `{"data":{"a":"b"}}`)
	s.putBridge(v1alpha1.New().Enable(false))
	s.awaitConditions("Ready=True/Off")
	if n := s.get("Namespace", "", "segment-bridge"); n == nil || n.GetDeletionTimestamp() != nil {
		t.Error("a namespace with a ConfigMap of others is deleted")
	}
	s.await("it is said", func() string {
		list, err := s.resource("Event", "default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			if e.Object["reason"] == "NamespaceKept" {
				return ""
			}
		}
		return "there is no event"
	})

	// Without it, the namespace that was made here goes.
	s.delete("ConfigMap", "segment-bridge", "theirs")
	s.patch("Namespace", "", "segment-bridge", `{"metadata":{"annotations":{"segment-bridge.dev/made-by":"`+operator.Name+`"}}}`)
	s.putBridge(b)
	s.awaitConditions("Ready=True/Installed")
	s.putBridge(v1alpha1.New().Enable(false))
	s.await("the namespace is deleted", func() string {
		if n := s.get("Namespace", "", "segment-bridge"); n != nil && n.GetDeletionTimestamp() == nil {
			return fmt.Sprint(s.installed())
		}
		return ""
	})
}
