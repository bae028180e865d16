// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/operator/install"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
)

const (
	backfillRuns   = 20_000
	backfillShards = 8
	// aloneFolder is the stage of the one pod that does what the shards do.
	aloneFolder = "alone"
)

// backfills puts runs of the past into the archive, asks for them by the resource, and kills the pod of a shard. What the
// shards leave is byte for byte what one pod leaves that reads the same slices, and has every event once. It comes after
// all that looks at the events of the cluster's own runs, since it adds others.
func (p *product) backfills(t *testing.T) {
	since, until, events := p.plant(t)
	p.patch(t, "segmentbridge/segment-bridge", fmt.Sprintf(`{"spec":{"backfill":{"since":%q,"until":%q,"shards":%d,"parallelism":3}}}`,
		since.Format(time.RFC3339), until.Format(time.RFC3339), backfillShards))
	var job batchv1.Job
	Eventually(t, time.Minute, func() error {
		status := p.bridge(t).Status.Backfill
		if status == nil {
			return fmt.Errorf("no back-fill has begun")
		}
		return p.api.Get(t.Context(), client.ObjectKey{Namespace: install.Namespace, Name: status.Job}, &job)
	})
	p.awaitContainer(t, job.Name, install.ContainerExtract)
	p.Kubectl(t, "delete", "pod", "-n", install.Namespace, "--grace-period=0", "--force", p.pods(t, job.Name)[0].Name)
	began := time.Now()
	Eventually(t, 5*time.Minute, func() error {
		if status := p.bridge(t).Status.Backfill; status.Succeeded != backfillShards || !status.Complete {
			return fmt.Errorf("the back-fill is %+v", status)
		}
		return nil
	})
	t.Logf("%d shards of %d runs took %.1f s", backfillShards, backfillRuns, time.Since(began).Seconds())
	told := p.Kubectl(t, "events", "-n", metav1.NamespaceDefault, "--for=segmentbridge/segment-bridge")
	for _, word := range []string{"BackfillStarted", "BackfillFinished"} {
		if !strings.Contains(told, word) {
			t.Errorf("no event of the resource says %s:\n%s", word, told)
		}
	}

	p.backfillAlone(t, &job)
	dir := p.download(t)
	same(t, filepath.Join(dir, aloneFolder), dir)
	ids := map[string]bool{}
	batches := 0
	ledger := stage.NewLedger(file.New(dir), stage.Options{})
	for batch, err := range ledger.Batches(t.Context(), stage.Range{Until: until.Add(time.Second)}) {
		if err != nil {
			t.Fatal(err)
		}
		m, err := ledger.Manifest(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		batches++
		for track, err := range ledger.Tracks(t.Context(), m) {
			if err != nil {
				t.Fatal(err)
			}
			if ids[track.MessageID] {
				t.Errorf("%s is staged twice", track.MessageID)
			}
			ids[track.MessageID] = true
		}
	}
	if batches != backfillShards || len(ids) != events+backfillShards { // with heartbeats
		t.Errorf("%d batches have %d events, want %d with %d and a heartbeat each", batches, len(ids), backfillShards, events)
	}

	p.patch(t, "segmentbridge/segment-bridge", `{"spec":{"backfill":null}}`)
	p.Kubectl(t, "wait", "-n", install.Namespace, "--for=delete", "job/"+job.Name, "--timeout=60s")
}

// plant puts runs into the database of Tekton Results, and returns a window and how many events are in it.
func (p *product) plant(t *testing.T) (since, until time.Time, events int) {
	t.Helper()
	sample := samplecluster.New(samplecluster.Config{Seed: 8, Runs: backfillRuns * 12 / 10})
	since, until = sample.Now.Add(-70*time.Hour), sample.Now.Add(-2*time.Hour)
	var planted []world.Planted
	for run := range sample.Runs() {
		if run.Completed.After(sample.Now) || len(planted) == backfillRuns {
			continue
		}
		planted = append(planted, world.Planted{Object: run.Lean(), Created: run.Started, Updated: run.Completed.Add(2 * time.Second)})
		for _, at := range []time.Time{run.Started, run.Completed} {
			if !at.Before(since) && at.Before(until) {
				events++
			}
		}
	}
	sql, err := world.PlantSQL(planted...)
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
	if err != nil || len(found) == 0 {
		t.Fatalf("find psql: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), slices.Max(found), "--no-psqlrc", "--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1",
		"--host", nodeIP, "--username", "postgres", "--dbname", "tekton-results")
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(sql), &complaint
	err = p.within(cmd.Start) // it belongs to the network that its thread was in
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("plant records: %v: %s", err, &complaint)
	}
	return since, until, events
}

// backfillAlone does what the job does in one container, into another stage.
func (p *product) backfillAlone(t *testing.T, job *batchv1.Job) {
	t.Helper()
	template := job.Spec.Template.DeepCopy()
	one, transform := template.Spec.InitContainers[0], template.Spec.Containers[0]
	one.Name, one.Args[0] = "run", "run"
	one.Args = slices.DeleteFunc(one.Args, func(arg string) bool { return strings.HasPrefix(arg, "--out=") })
	for _, e := range transform.Env {
		if e.Name == "SEGMENT_BRIDGE_STAGE" {
			e.Value = strings.Replace(e.Value, "s3://"+p.bucket.Name, "s3://"+p.bucket.Name+"/"+aloneFolder, 1)
		}
		if !slices.ContainsFunc(one.Env, func(have corev1.EnvVar) bool { return have.Name == e.Name }) {
			one.Env = append(one.Env, e)
		}
	}
	for _, m := range transform.VolumeMounts {
		if !slices.ContainsFunc(one.VolumeMounts, func(have corev1.VolumeMount) bool { return have.MountPath == m.MountPath }) {
			one.VolumeMounts = append(one.VolumeMounts, m)
		}
	}
	template.Spec.InitContainers, template.Spec.Containers = nil, []corev1.Container{one}
	template.Labels = install.Labels()
	template.Labels[install.LabelComponent] = "job"
	alone := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: install.Namespace, Name: "alone"},
		Spec:       batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: *template},
	}
	if err := p.api.Create(t.Context(), alone); err != nil {
		t.Fatal(err)
	}
	p.Kubectl(t, "wait", "-n", install.Namespace, "--for=condition=Complete", "job/alone", "--timeout=300s")
	p.Kubectl(t, "delete", "job", "-n", install.Namespace, "alone")
}

// same wants every batch below a folder, data and manifest, in another, byte for byte.
func same(t *testing.T, folder, other string) {
	t.Helper()
	compared := 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(folder, path)
		if err != nil || entry.IsDir() || !strings.HasPrefix(name, "v1/events/") && !strings.HasPrefix(name, "v1/manifests/") {
			return err
		}
		want, err1 := os.ReadFile(path)
		got, err2 := os.ReadFile(filepath.Join(other, name))
		if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what one pod makes: %v, %v", name, err1, err2)
		}
		compared++
		return nil
	})
	if err != nil || compared != 2*backfillShards {
		t.Errorf("%d objects are the same, want %d: %v", compared, 2*backfillShards, err)
	}
}
