// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

func TestMain(m *testing.M) { Main(m) }

// TestProduct follows an installation through its life on a cluster where pipelines run, as its users have it: the operator
// comes from the overlay for S3, Konflux switches telemetry on, pods carry what happened to the bucket and to Segment. All
// along, and whatever is taken away meanwhile, every run is told of as started and as finished exactly once; and in the end
// the machine is as it was.
func TestProduct(t *testing.T) {
	before := stateOfMachine(t)
	began := time.Now()
	p := &product{Cluster: New(t), top: t, peaks: map[string]Memory{}}
	t.Logf("%-60s %5.1f s", "cluster up", time.Since(began).Seconds())
	p.api, p.meter, p.gate = p.client(t), p.Measure(t), p.Gate(t, "minio.minio.svc:9000")
	for _, phase := range []struct {
		name string
		test func(*testing.T)
	}{
		{"the stack is installed", p.installStack},
		{"the operator is installed from its overlay and switched on", p.installOperator},
		{"runs of every kind are told of, deleted ones included", p.tellsOfRuns},
		{"each container has its own secrets and rights and no others", p.givesEachItsOwn},
		{"switched off, all of it is gone and nothing else", p.switchesOffAndOn},
		{"Segment is away for two runs, and the key is another", p.survivesSegment},
		{"the bucket's server is killed while a batch is written", p.survivesBucket},
		{"the node restarts while Segment's answer is awaited", p.survivesNode},
		{"the pod is deleted between Segment's answer and the receipt", p.survivesDeletion},
		{"failures explain themselves", p.explainsFailures},
		{"all was told of exactly once, and no name", p.toldOfAll},
		{"a back-fill in shards leaves what one pod leaves", p.backfills},
	} {
		began := time.Now()
		if !t.Run(phase.name, phase.test) {
			return // the cluster is worth a look, and goes down after it
		}
		t.Logf("%-60s %5.1f s", phase.name, time.Since(began).Seconds())
	}
	began = time.Now()
	p.Down(t)
	t.Logf("%-60s %5.1f s", "cluster down", time.Since(began).Seconds())
	compareState(t, before)
}

// A product is an installation, with all that it works with.
type product struct {
	*Cluster

	top     *testing.T    // the whole test: what is to outlive a phase ends with it
	api     client.Client // an administrator's
	results *Results
	bucket  *Bucket
	gate    *Gate // stands before the bucket
	segment *Segment
	meter   *Meter
	runs    *diary // of the pipeline runs

	before   map[string]string      // the cluster's objects before telemetry was switched on
	due      map[string]pipelineRun // the runs as they were when the last job was triggered
	past     []segmenttest.Event    // what was taken before the receiver forgot
	repeated int                    // events that may have come twice, for a reason
	jobs     int                    // how many were triggered
	said     strings.Builder        // all logs and termination messages of our containers
	peaks    map[string]Memory      // the highest of each of our containers
}

// installStack installs what the product works with, two things at a time.
func (p *product) installStack(t *testing.T) {
	t.Run("side by side", func(t *testing.T) {
		for name, install := range map[string]func(*testing.T){
			"Tekton and its Results": func(t *testing.T) {
				p.InstallTekton(t)
				p.results = p.InstallResults(t)
			},
			"MinIO":      func(t *testing.T) { p.bucket = p.MinIO(t) },
			"receiver":   func(t *testing.T) { p.segment = p.Receiver(t) },
			"our images": func(t *testing.T) { p.LoadBridge(t); p.LoadOperator(t) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				install(t)
			})
		}
	})
}

// installOperator installs the operator as docs/install.md says, beside a Konflux resource that has telemetry off, and
// switches it on there.
func (p *product) installOperator(t *testing.T) {
	p.Define(t, "../world/crds")
	dir := t.TempDir()
	deploy, err := relative(dir, "../../deploy")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{"Deploy": deploy, "Bucket": p.bucket, "Gate": p.gate, "Segment": p.segment, "Results": p.results}
	p.ApplyText(t, fill(t, "testdata/product.yaml", values))
	p.Kubectl(t, "patch", "konflux", "konflux", "--subresource=status", "--type=merge", "-p",
		`{"status":{"conditions":[{"type":"Ready","status":"True","reason":"AllReady","message":"","lastTransitionTime":"`+time.Now().UTC().Format(time.RFC3339)+`"}]}}`)
	text := fill(t, "testdata/overlay/kustomization.yaml", values)
	images, err := os.ReadFile("../../deploy/overlays/s3/images.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"kustomization.yaml": []byte(text), "images.yaml": images} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The first time kubectl does not find the definition of the resource, which comes with it.
	Eventually(t, 30*time.Second, func() error {
		_, err := p.kubectl(t.Context(), "", "apply", "--server-side", "-k", dir)
		return err
	})
	p.Await(t, "segment-bridge-operator", "segment-bridge-operator")
	p.awaitConditions(t, "TelemetryEnabled=False/KonfluxDisabled", "Ready=True/Off")
	p.runs = p.keepDiary(t)
	p.before = p.inventory(t)
	p.patch(t, "konflux/konflux", `{"spec":{"telemetry":{"enabled":true}}}`)
	p.awaitConditions(t, "TelemetryEnabled=True/KonfluxEnabled", "Ready=True/Installed", "Degraded=False/AsExpected")
	for object, want := range map[string]string{"segment-bridge-write-key": "write-key", "segment-bridge-config": "key"} {
		namespace := map[string]string{"write-key": "segment-bridge", "key": "konflux-ui"}[want]
		if got := p.Kubectl(t, "get", "secret", "-n", namespace, object, "-o", `go-template={{index .data "`+want+`" | base64decode}}`); got != p.segment.Key {
			t.Errorf("Secret %s holds %q", object, got)
		}
	}
}

// relative returns the path of a folder as seen from another: kustomize takes no other.
func relative(from, to string) (string, error) {
	to, err := filepath.Abs(to)
	if err != nil {
		return "", err
	}
	return filepath.Rel(from, to)
}

func (p *product) client(t *testing.T) client.Client {
	t.Helper()
	log.SetLogger(logr.Discard())
	types := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(types), v1alpha1.AddToScheme(types)); err != nil {
		t.Fatal(err)
	}
	api, err := client.New(p.Config, client.Options{Scheme: types})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// bridge returns the resource.
func (p *product) bridge(t *testing.T) *v1alpha1.SegmentBridge {
	t.Helper()
	var b v1alpha1.SegmentBridge
	if err := p.api.Get(t.Context(), client.ObjectKey{Name: v1alpha1.Name}, &b); err != nil {
		t.Fatal(err)
	}
	return &b
}

// awaitConditions waits until the resource has the conditions: "Type=Status/Reason".
func (p *product) awaitConditions(t *testing.T, want ...string) {
	t.Helper()
	Eventually(t, time.Minute, func() error {
		var has []string
		b := p.bridge(t)
		for _, c := range b.Status.Conditions {
			has = append(has, c.Type+"="+string(c.Status)+"/"+c.Reason)
		}
		for _, w := range want {
			if !slices.Contains(has, w) || b.Status.ObservedGeneration != b.Generation {
				return fmt.Errorf("the resource has the conditions %v, want %v", has, want)
			}
		}
		return nil
	})
}

// patch merges JSON into an object: "secret/bucket" in the job's namespace, "konflux/konflux".
func (p *product) patch(t *testing.T, object, merge string) {
	t.Helper()
	p.Kubectl(t, "patch", "-n", install.Namespace, object, "--type=merge", "-p", merge)
}

// trigger starts the job by hand, as docs/install.md says, and returns its name. Changes are merged into it at once.
func (p *product) trigger(t *testing.T, merge ...string) (job string) {
	t.Helper()
	p.jobs++
	p.due = p.runs.all()
	job = fmt.Sprintf("by-hand-%d", p.jobs)
	p.Kubectl(t, "create", "job", "-n", install.Namespace, job, "--from=cronjob/"+install.CronJob)
	for _, m := range merge {
		p.patch(t, "job/"+job, m)
	}
	return job
}

// pods returns the pods of a job, the oldest first.
func (p *product) pods(t *testing.T, job string) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := p.api.List(t.Context(), &pods, client.InNamespace(install.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return pods.Items
}

// awaitJob waits until a job has ended, with this reason of its condition ("" when it succeeds), notes what its containers
// said and took, and returns its pods.
func (p *product) awaitJob(t *testing.T, name, reason string) []corev1.Pod {
	t.Helper()
	var job batchv1.Job
	Eventually(t, 2*time.Minute, func() error {
		if err := p.api.Get(t.Context(), client.ObjectKey{Namespace: install.Namespace, Name: name}, &job); err != nil {
			return err
		}
		for _, c := range job.Status.Conditions {
			if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
				return nil
			}
		}
		return fmt.Errorf("job %s has not ended: %+v", name, job.Status)
	})
	got := ""
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && c.Type == batchv1.JobFailed {
			got = c.Reason
		}
	}
	pods := p.pods(t, name)
	if got != batchv1.JobReasonDeadlineExceeded { // its pods are deleted
		for i := range pods {
			p.note(t, &pods[i])
		}
	}
	if got != reason {
		t.Fatalf("job %s ended with reason %q, want %q", name, got, reason)
	}
	Eventually(t, time.Minute, func() error {
		if last := p.bridge(t).Status.LastRun; last == nil || last.Job != name {
			return fmt.Errorf("the status is not about job %s: %+v", name, last)
		}
		return nil
	})
	return pods
}

// run triggers the job and waits until it has done all of its work.
func (p *product) run(t *testing.T) []corev1.Pod {
	t.Helper()
	return p.awaitJob(t, p.trigger(t), "")
}

// awaitContainer waits until a container of a job's first pod runs, or has run.
func (p *product) awaitContainer(t *testing.T, job, container string) {
	t.Helper()
	Eventually(t, time.Minute, func() error {
		for _, pod := range p.pods(t, job) {
			for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
				if c.Name == container && (c.State.Running != nil || c.State.Terminated != nil) {
					return nil
				}
			}
		}
		return fmt.Errorf("container %s of job %s does not run", container, job)
	})
}

// onlyOnce lets a job end with its first failure, without the two retries that it has.
const onlyOnce = `{"spec":{"backoffLimit":0}}`

// fill fills in a file of testdata.
func fill(t *testing.T, file string, values any) string {
	t.Helper()
	var text strings.Builder
	parsed, err := template.ParseFiles(file)
	if err == nil {
		err = parsed.Execute(&text, values)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}
