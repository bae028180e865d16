// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
	"github.com/segment-bridge/segment-bridge/stage/open"
)

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
