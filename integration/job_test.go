// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

const pseudonymKey = "a key of 32 bytes for pseudonyms"

// The pod of the CronJob, as its specification says, carries what is in the API server and in Tekton Results to the
// receiver, by way of a bucket or of a volume; and what one container needs no other has.
func TestPod(t *testing.T) {
	s := newSite(t, samplecluster.Config{Seed: 6}, world.ResultsOptions{PartialResponse: true})
	s.surround()
	for name, change := range map[string]func(*install.Settings){
		"bucket": func(*install.Settings) {},
		"volume": func(s *install.Settings) { s.Spec.Stage = v1alpha1.Stage{} },
		"keyed": func(s *install.Settings) {
			s.Spec.Pseudonyms.Scheme, s.PseudonymKey = v1alpha1.SchemeHMAC, []byte(pseudonymKey)
		},
		"without a write key": func(s *install.Settings) { s.WriteKey = "" },
	} {
		t.Run(name, func(t *testing.T) {
			v := s.afresh(t)
			settings := v.settings(v.results.URL)
			settings.Spec.Sources.TektonResults.CAConfigMap = "results-ca"
			settings.Spec.Retention = &v1alpha1.Retention{Compact: true, ExpireAfter: &metav1.Duration{Duration: 9 * 24 * time.Hour}}
			change(&settings)
			if settings.WriteKey == "" {
				secrets := v.cluster.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace(install.Namespace)
				if err := secrets.Delete(t.Context(), install.WriteKeySecret, metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			objects := v.install(settings)
			job, maintenance := cronJob(t, objects, install.CronJob), cronJob(t, objects, install.MaintenanceCronJob)
			v.admitJob(job)
			v.admitJob(maintenance)

			claims := map[string]string{install.StageClaim: t.TempDir()}
			first := v.newPod(job.Spec.JobTemplate.Spec.Template.Spec, claims)
			results := first.run()
			v.checkGiven(first, settings)
			first.checkSaid()
			staged := results[install.ContainerTransform].summary.Staged
			since, until := first.window()
			window := v.oracle(since, until)
			expected := window.expect(t, v.objects...)
			const more = 2 // the heartbeat, and what the cluster is like
			if staged == nil || staged.Events != int64(len(expected)+more) || len(expected) < 50 {
				t.Fatalf("staged %+v, want %d events", staged, len(expected)+more)
			}
			switch {
			case settings.WriteKey == "":
				if !strings.Contains(string(results[install.ContainerLoad].stderr), "staged and not delivered") || len(v.receiver.Events()) > 0 {
					t.Errorf("load says\n%s", results[install.ContainerLoad].stderr)
				}
			case settings.PseudonymKey != nil:
				// The oracle hides names without a key. The cluster's own pseudonym needs none.
				if got := len(v.receiver.Events()); got != len(expected)+more {
					t.Errorf("%d events came, want %d", got, len(expected)+more)
				}
			default:
				v.checkReceived(expected, window)
			}

			sent := len(v.receiver.Events())
			second := v.newPod(job.Spec.JobTemplate.Spec.Template.Spec, claims)
			again, fresh := second.run()[install.ContainerTransform].summary.Staged, 0
			if _, later := second.window(); v.oracle(since, later).inventory() != window.inventory() {
				fresh = 1 // an hour has begun between the two
			}
			if settings.WriteKey != "" {
				sent += fresh
			}
			if again.Events != int64(fresh) || len(v.receiver.Events()) != sent {
				t.Errorf("a second pod staged %+v and %d events have come, want %d and %d", again, len(v.receiver.Events()), fresh, sent)
			}
			v.newPod(maintenance.Spec.JobTemplate.Spec.Template.Spec, claims).run()
			if settings.Spec.Stage.S3 == nil {
				v.bucket = nil
			}
			v.checkNoNames(claims[install.StageClaim], first.volumes["spool"], second.volumes["spool"])
		})
	}
}

// afresh is the site with a bucket and a receiver of its own, for a part of a test.
func (s *site) afresh(t *testing.T) *site {
	t.Helper()
	v := *s
	v.t, v.bucket = t, world.MinIO(t)
	v.receiver, v.address = startReceiver(t)
	return &v
}

// checkGiven checks that each container was given its own secrets and no other's.
func (s *site) checkGiven(p *pod, settings install.Settings) {
	s.t.Helper()
	bucket := []string{install.ContainerWindow, install.ContainerTransform, install.ContainerLoad}
	if settings.Spec.Stage.S3 == nil {
		bucket = nil
	}
	token := ""
	for name, given := range contents(s.t, p.volumes["service-account"]) {
		if name == "/token" {
			token = given
		}
	}
	for _, secret := range []struct {
		name, text string
		wanted     bool
		containers []string
	}{
		{"write key", writeKey, settings.WriteKey != "", []string{install.ContainerLoad}},
		{"token", token, true, []string{install.ContainerExtract}},
		{"bucket's key", s.bucket.SecretKey, settings.Spec.Stage.S3 != nil, bucket},
		{"pseudonym key", pseudonymKey, settings.PseudonymKey != nil, []string{install.ContainerExtract}},
	} {
		for container, given := range p.given {
			want := secret.wanted && slices.Contains(secret.containers, container)
			if secret.text == "" || strings.Contains(given, secret.text) != want {
				s.t.Errorf("container %s has the %s: %t, want %t", container, secret.name, !want, want)
			}
		}
	}
	for container, given := range p.given {
		if !strings.Contains(given, "GOMEMLIMIT=40MiB") {
			s.t.Errorf("container %s has no limit for its memory", container)
		}
	}
}

// checkSaid checks that each container left its summary where the operator looks for it.
func (p *pod) checkSaid() {
	p.site.t.Helper()
	for _, name := range []string{install.ContainerExtract, install.ContainerTransform, install.ContainerLoad} {
		var said struct {
			Command string
			OK      bool
		}
		if err := json.Unmarshal([]byte(p.said[name]), &said); err != nil || said.Command != name || !said.OK {
			p.site.t.Errorf("container %s left the message %q", name, p.said[name])
		}
	}
}

// Each right of the job's account is needed: taken away, the source that needs it says so. None is missing. Those of the
// inventory depend on what the cluster serves; TestInventory takes them away.
func TestPodRights(t *testing.T) {
	s := newSite(t, samplecluster.Config{Seed: 7, Runs: 20}, world.ResultsOptions{PartialResponse: true})
	// Where nothing is stored, the records are counted too.
	s.results = world.Results(t, s.database, world.ResultsOptions{TLS: true, Auth: s.cluster})
	s.surround()
	settings := s.settings(s.results.URL)
	settings.Spec.Sources.TektonResults.CAConfigMap = "results-ca"
	settings.Spec.Sources.Inventory = new(false)
	objects := s.install(settings)
	p := s.newPod(cronJob(t, objects, install.CronJob).Spec.JobTemplate.Spec.Template.Spec, nil)
	p.container(p.spec.InitContainers[0])
	extract := p.spec.InitContainers[1]

	if r := p.container(extract); r.code != 0 || len(r.summary.Sources) != 5 || len(r.summary.Degraded) > 0 || strings.Contains(string(r.stderr), "cannot be read") {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	var role *rbacv1.ClusterRole
	for _, o := range objects {
		if r, ok := o.(*rbacv1.ClusterRole); ok {
			role = r
		}
	}
	needs := map[string]string{
		"pipelineruns": "kube/pipelineruns", "components": "kube/components", "namespaces": "kube/namespaces",
		"konfluxes": "kube/konfluxes", "records": "results", "configmaps": "",
	}
	for i, rule := range role.Rules {
		for _, verb := range rule.Verbs {
			t.Run(verb+" "+rule.Resources[0], func(t *testing.T) {
				less := role.DeepCopy()
				less.Rules[i].Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return v == verb })
				if len(less.Rules[i].Verbs) == 0 {
					less.Rules = slices.Delete(less.Rules, i, i+1)
				}
				s.apply(less)
				defer s.apply(role)
				source, known := needs[rule.Resources[0]]
				if !known {
					t.Fatal("no test tells what it is for")
				}
				for deadline := time.Now().Add(time.Minute); ; { // both servers keep what they know of rights for a moment
					r := p.container(extract)
					if source == "" && strings.Contains(string(r.stderr), "published versions cannot be read") || source != "" && slices.Equal(r.summary.Degraded, []string{source}) {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("without the right, exit code %d\n%s%s", r.code, r.stdout, r.stderr)
					}
					time.Sleep(200 * time.Millisecond)
				}
			})
		}
	}
}
