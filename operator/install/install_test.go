// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
	"github.com/segment-bridge/segment-bridge/stage/open"
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

// The same settings give the same objects, each once, labelled, with a kind, and namespaced where it ought to be.
func TestObjects(t *testing.T) {
	for name, s := range every() {
		objects, err := install.Objects(s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := install.Objects(s)
		if err != nil || !reflect.DeepEqual(objects, again) {
			t.Errorf("%s: the objects differ from one time to the next", name)
		}
		seen := map[string]bool{}
		for _, o := range objects {
			kind := o.GetObjectKind().GroupVersionKind()
			id := kind.String() + " " + o.GetNamespace() + "/" + o.GetName()
			if seen[id] || kind.Kind == "" || !strings.HasPrefix(o.GetName(), "segment-bridge") {
				t.Errorf("%s: unexpected object %s", name, id)
			}
			seen[id] = true
			for key, value := range install.Labels() {
				if o.GetLabels()[key] != value {
					t.Errorf("%s: %s has no label %s", name, id, key)
				}
			}
			global := slices.Contains([]string{"Namespace", "ClusterRole", "ClusterRoleBinding"}, kind.Kind)
			if (o.GetNamespace() == "") != global {
				t.Errorf("%s: %s is in the wrong place", name, id)
			}
		}
	}
}

// A stage in the resource is one that the commands open.
func TestStageURL(t *testing.T) {
	for _, s3 := range []v1alpha1.S3{
		{Bucket: "b-1.x"},
		{Bucket: "events", Prefix: "/a=b/c+d.e_f-g/", Endpoint: "http://127.0.0.1:9000/", Region: "eu-west-1"},
		{Bucket: "events", Encryption: "aws:kms", KMSKey: "arn:aws:kms:eu-west-1:1:key/a&b=c#d"},
	} {
		s := plain()
		s.Spec.Stage.S3 = &s3
		for _, cron := range cronJobs(t, s) {
			env := cron.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Env
			i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == "SEGMENT_BRIDGE_STAGE" })
			if _, err := open.Bucket(t.Context(), env[i].Value); err != nil {
				t.Errorf("%+v becomes %s: %v", s3, env[i].Value, err)
			}
			u, err := url.Parse(env[i].Value)
			if err != nil || strings.Trim(u.Path, "/") != strings.Trim(s3.Prefix, "/") || u.Query().Get("kms-key") != s3.KMSKey {
				t.Errorf("%+v becomes %s", s3, env[i].Value)
			}
		}
	}
}

// What a resource asks for is complete, and its Job has a name of its own.
func TestBackfill(t *testing.T) {
	s := plain()
	since := metav1.NewTime(now.AddDate(0, 0, -30))
	b := install.BackfillOf(&v1alpha1.Backfill{Since: since})
	whole := b.Complete(s, now)
	if want := now.Add(-4 * time.Hour).Truncate(time.Second); whole.Shards != 8 || whole.Parallelism != 1 || !whole.Until.Equal(want) {
		t.Errorf("on a volume: %+v", whole)
	}
	s.Spec.Stage.S3 = &v1alpha1.S3{Bucket: "events"}
	s.Spec.Window.Lookback = &metav1.Duration{Duration: 6 * time.Hour}
	if whole = b.Complete(s, now); whole.Parallelism != 4 || now.Sub(whole.Until).Round(time.Second) != 6*time.Hour {
		t.Errorf("in a bucket: %+v", whole)
	}
	names := map[string]bool{}
	until := metav1.NewTime(now)
	for _, asked := range []v1alpha1.Backfill{
		{Since: since}, {Since: metav1.NewTime(since.Add(time.Second))}, {Since: since, Until: &until}, {Since: since, Shards: 9}, {Since: since, Parallelism: 2},
	} {
		names[install.BackfillOf(&asked).Name()] = true
	}
	if len(names) != 5 {
		t.Errorf("names %v", names)
	}
	s.Spec.Retention = &v1alpha1.Retention{ExpireAfter: &metav1.Duration{Duration: 31 * 24 * time.Hour}}
	for want, change := range map[string]func(*install.Backfill){
		"shards are not from 1 to 1000":              func(b *install.Backfill) { b.Shards = 1001 },
		"parallelism is less than 1":                 func(b *install.Backfill) { b.Parallelism = -1 },
		"since is not before until (2026-11-22T06:0": func(b *install.Backfill) { b.Since = now },
		"until is in the future":                     func(b *install.Backfill) { b.Until = now.Add(time.Second) },
		"do not leave a minute":                      func(b *install.Backfill) { b.Until, b.Shards = b.Since.Add(9*time.Minute), 10 },
		"would be sent again":                        func(b *install.Backfill) { b.Since = now.AddDate(0, 0, -32) },
	} {
		wrong := b.Complete(s, now)
		change(&wrong)
		if _, err := install.BackfillJob(s, wrong, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	present := s
	present.Spec.Sources.Kube, present.Results = new(bool), nil
	if _, err := install.BackfillJob(present, b.Complete(s, now), now); err == nil || !strings.Contains(err.Error(), "nothing that it could read") {
		t.Errorf("error %v of a back-fill that would read the present alone", err)
	}
	if _, err := install.LoadJob(s, 0); err == nil {
		t.Error("no loaders are enough")
	}
}

// Clusters do not all run at the same minute, and each keeps its own.
func TestJitter(t *testing.T) {
	minutes := map[string]int{}
	for i := range 6000 {
		s := plain()
		s.ClusterID = fmt.Sprintf("cluster-%d", i)
		minutes[cronJobs(t, s)[0].Spec.Schedule]++
	}
	for schedule, n := range minutes {
		if n < 50 || n > 200 {
			t.Errorf("%d of 6000 clusters run at %s", n, schedule)
		}
	}
	if len(minutes) != 60 {
		t.Errorf("clusters run at %d different minutes", len(minutes))
	}
}

func TestValidate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*install.Settings)
		want   string
	}{
		"no cluster ID": {func(s *install.Settings) { s.ClusterID = "" }, "spec.clusterID"},
		"no image":      {func(s *install.Settings) { s.Image = "" }, "spec.job.image"},
		"nothing to read": {func(s *install.Settings) {
			s.Spec.Sources.Kube, s.Spec.Sources.Inventory, s.Results = new(bool), new(bool), nil
		}, "nothing to read"},
		"unknown container":    {func(s *install.Settings) { s.Spec.Job.Resources = map[string]corev1.ResourceRequirements{"laod": {}} }, `"laod"`},
		"retention and window": {func(s *install.Settings) { s.Spec.Window.MaxLookback = &metav1.Duration{Duration: 9528 * time.Hour} }, "expireAfter"},
		"lookback and longest": {func(s *install.Settings) { s.Spec.Window.MaxLookback = &metav1.Duration{Duration: 5 * time.Hour} }, "maxLookback"},
	} {
		t.Run(name, func(t *testing.T) {
			s := full()
			s.Spec.Job.Image = ""
			test.change(&s)
			if _, err := install.Objects(s); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}
