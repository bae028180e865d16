// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

var update = flag.Bool("update", false, "write the golden files")

// plain is an installation for which nothing is configured.
func plain() install.Settings {
	return install.Settings{
		ClusterID: "0b1f3c5e-cluster", Image: "registry.example.com/segment-bridge:v1.0.0",
		Results: &install.Results{Address: "tekton-results-api-service.tekton-pipelines.svc.cluster.local:8080", Namespace: "tekton-pipelines"},
	}
}

// full is one for which all is.
func full() install.Settings {
	s := install.Settings{
		ClusterID: "0b1f3c5e-cluster", Image: "not used", OpenShift: true,
		Results:    &install.Results{Address: "grpcs://results.example.com:8443"},
		APIServers: []netip.AddrPort{netip.MustParseAddrPort("[fd00::1]:6443"), netip.MustParseAddrPort("10.0.0.7:6443")},
		WriteKey:   "0123456789abcdefghijABCDEFGHIJ01", URL: "http://collector.example.com/segment", UINamespace: "konflux-ui",
		PseudonymKey: []byte("a key that only this cluster knows"),
	}
	s.Spec = v1alpha1.SegmentBridgeSpec{
		Schedule:   "*/20 * * * *",
		Window:     v1alpha1.Window{Lookback: &metav1.Duration{Duration: 6 * time.Hour}, MaxLookback: &metav1.Duration{Duration: 48 * time.Hour}},
		Pseudonyms: v1alpha1.Pseudonyms{Scheme: v1alpha1.SchemeHMAC},
		Stage: v1alpha1.Stage{S3: &v1alpha1.S3{
			Bucket: "telemetry", Prefix: "/prod/eu/", Endpoint: "https://minio.storage.svc:9000", Region: "eu-west-1",
			Encryption: "aws:kms", KMSKey: "arn:aws:kms:eu-west-1:1:key/a&b", CredentialsSecret: "bucket",
		}},
		Retention: &v1alpha1.Retention{Compact: true, ExpireAfter: &metav1.Duration{Duration: 9528 * time.Hour}},
	}
	s.Spec.Sources.TektonResults.ServerName = "tekton-results-api-service.tekton-pipelines.svc.cluster.local"
	s.Spec.Sources.TektonResults.CAConfigMap = "results-ca"
	rate := int32(200)
	s.Spec.Segment.EventsPerSecond = &rate
	s.Spec.Job = v1alpha1.Job{
		Image: "registry.example.com/mirror/segment-bridge:v1.0.0", ImagePullPolicy: corev1.PullAlways,
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}},
		Resources: map[string]corev1.ResourceRequirements{install.ContainerLoad: {
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		}},
		Labels:       map[string]string{"team": "observability", install.LabelComponent: "not this"},
		Annotations:  map[string]string{"sidecar.istio.io/inject": "false"},
		NodeSelector: map[string]string{"kubernetes.io/arch": "arm64"}, PriorityClassName: "low",
		Tolerations: []corev1.Toleration{{Key: "infra", Operator: corev1.TolerationOpExists}},
		Proxy:       &v1alpha1.Proxy{HTTPSProxy: "http://proxy.example.com:3128", NoProxy: "10.0.0.0/8"},
	}
	return s
}

func TestGolden(t *testing.T) {
	golden := map[string][]install.Object{}
	for name, settings := range map[string]install.Settings{"plain": plain(), "full": full()} {
		objects, err := install.Objects(settings)
		if err != nil {
			t.Fatal(err)
		}
		golden[name] = objects
		for _, job := range jobs(t, settings) {
			golden[name+"-jobs"] = append(golden[name+"-jobs"], job)
		}
	}
	for name, objects := range golden {
		t.Run(name, func(t *testing.T) {
			got, err := install.YAML(objects)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the objects differ from %s; look at the difference after go test ./operator/install -update", golden)
			}
		})
	}
}

// every returns settings of every kind, by what they are called.
func every() map[string]install.Settings {
	all := map[string]install.Settings{}
	for _, base := range []string{"plain", "full"} {
		for bits := range 1 << 6 {
			on := func(i int) bool { return bits>>i&1 == 1 }
			s := plain()
			if base == "full" {
				s = full()
			}
			s.OpenShift = on(0)
			kube := on(1)
			s.Spec.Sources.Kube = &kube
			if kube && on(2) {
				s.Results = nil
			}
			if on(3) {
				s.Spec.Stage = v1alpha1.Stage{S3: &v1alpha1.S3{Bucket: "events"}}
			}
			if on(4) {
				s.Spec.Pseudonyms.Scheme = v1alpha1.SchemeHMAC
			}
			if on(5) {
				s.WriteKey, s.Spec.Retention = "", nil
			}
			all[fmt.Sprintf("%s %06b", base, bits)] = s
		}
	}
	return all
}

// Whatever is configured, a container has what it needs and no other's secret, and a pod is as restricted as can be.
func TestLeastPrivilege(t *testing.T) {
	for name, s := range every() {
		for job, pod := range pods(t, s) {
			if *pod.AutomountServiceAccountToken || *pod.SecurityContext.RunAsNonRoot != true || pod.SecurityContext.SeccompProfile == nil || pod.HostNetwork {
				t.Errorf("%s: the pod of %s is not restricted", name, job)
			}
			if (pod.SecurityContext.RunAsUser == nil) != s.OpenShift || (pod.SecurityContext.FSGroup == nil) != s.OpenShift {
				t.Errorf("%s: on OpenShift %t the user is %v", name, s.OpenShift, pod.SecurityContext.RunAsUser)
			}
			mounted := map[string]bool{}
			for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
				sc := c.SecurityContext
				if *sc.AllowPrivilegeEscalation || !*sc.ReadOnlyRootFilesystem || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) || sc.Capabilities.Add != nil {
					t.Errorf("%s: container %s is not restricted", name, c.Name)
				}
				if c.Args[0] != c.Name || c.Command != nil {
					t.Errorf("%s: container %s runs %q", name, c.Name, c.Args)
				}
				for _, m := range c.VolumeMounts {
					mounted[m.Name] = true
				}
				if got, want := secretsOf(pod, c), allowed(s, c.Name); !slices.Equal(got, want) {
					t.Errorf("%s: container %s has %q, want %q", name, c.Name, got, want)
				}
			}
			for _, v := range pod.Volumes {
				if !mounted[v.Name] {
					t.Errorf("%s: nobody mounts volume %s", name, v.Name)
				}
				delete(mounted, v.Name)
			}
			if len(mounted) > 0 {
				t.Errorf("%s: volumes %v are mounted and not there", name, mounted)
			}
		}
	}
}

// allowed returns what a container may know or write to, in order.
func allowed(s install.Settings, container string) []string {
	var all []string
	if s.Spec.Stage.S3 == nil {
		if container != install.ContainerExtract {
			all = append(all, "volume "+install.StageClaim)
		}
	} else if secret := s.Spec.Stage.S3.CredentialsSecret; secret != "" && container != install.ContainerExtract {
		all = append(all, "secret "+secret)
	}
	switch container {
	case install.ContainerExtract:
		all = append(all, "token")
		if s.Spec.Pseudonyms.Scheme == v1alpha1.SchemeHMAC {
			all = append(all, "secret "+install.PseudonymKeySecret)
		}
	case install.ContainerLoad:
		all = append(all, "secret "+install.WriteKeySecret)
	}
	slices.Sort(all)
	return all
}

// secretsOf returns what a container gets to know and where it writes what lasts, in order.
func secretsOf(pod corev1.PodSpec, c corev1.Container) []string {
	var all []string
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			all = append(all, "secret "+e.ValueFrom.SecretKeyRef.Name)
		}
	}
	for _, m := range c.VolumeMounts {
		v := pod.Volumes[slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })]
		switch {
		case v.Secret != nil:
			all = append(all, "secret "+v.Secret.SecretName)
		case v.PersistentVolumeClaim != nil:
			all = append(all, "volume "+v.PersistentVolumeClaim.ClaimName)
		case v.Projected != nil:
			all = append(all, "token")
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// pods returns those of all jobs that there can be, by the names of the jobs.
func pods(t *testing.T, s install.Settings) map[string]corev1.PodSpec {
	t.Helper()
	all := map[string]corev1.PodSpec{}
	for _, cron := range cronJobs(t, s) {
		all[cron.Name] = cron.Spec.JobTemplate.Spec.Template.Spec
	}
	for _, job := range jobs(t, s) {
		all[job.Name+job.GenerateName] = job.Spec.Template.Spec
	}
	return all
}

// jobs returns a back-fill and loaders.
func jobs(t *testing.T, s install.Settings) []*batchv1.Job {
	t.Helper()
	b := install.Backfill{Since: now.AddDate(0, 0, -30), Shards: 16}
	backfill, err1 := install.BackfillJob(s, b.Complete(s, now), now)
	loaders, err2 := install.LoadJob(s, 5)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return []*batchv1.Job{backfill, loaders}
}

var now = time.Date(2026, 11, 22, 12, 0, 0, 7, time.UTC)

func cronJobs(t *testing.T, s install.Settings) []*batchv1.CronJob {
	t.Helper()
	objects, err := install.Objects(s)
	if err != nil {
		t.Fatal(err)
	}
	var all []*batchv1.CronJob
	for _, o := range objects {
		if c, ok := o.(*batchv1.CronJob); ok {
			all = append(all, c)
		}
	}
	return all
}
