// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/minio/minio-go/v7"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestMain(m *testing.M) { Main(m) }

// outcomes is how each run of testdata/runs.yaml ends: Tekton's word, and the event's.
var outcomes = map[string][2]string{
	"succeeds":     {"Succeeded", "succeeded"},
	"fails":        {"Failed", "failed"},
	"is-cancelled": {"Cancelled", "cancelled"},
	"times-out":    {"PipelineRunTimeout", "timeout"},
}

// TestRuns lets pipelines run and end in every way there is, lets Tekton Results store and delete them, and has our
// CronJob tell of them, once each, also across a crash of the node; and it wants the machine back as it was.
func TestRuns(t *testing.T) {
	before := stateOfMachine(t)
	began := time.Now()
	step := func(what string) {
		t.Logf("%-40s %5.1f s", what, time.Since(began).Seconds())
		began = time.Now()
	}
	c := New(t)
	step("cluster up")
	c.InstallTekton(t)
	step("Tekton Pipelines installed")
	results := c.InstallResults(t)
	step("Tekton Results installed")
	bucket, segment := c.MinIO(t), c.Receiver(t)
	step("MinIO and receiver installed")
	program := c.LoadBridge(t)
	step("our image built and loaded")

	c.Namespace(t, "team-a-tenant", map[string]string{"konflux-ci.dev/type": "tenant"})
	uids := startRuns(t, c)
	step("runs started")
	awaitRuns(t, c)
	step("runs ended as they should")
	Eventually(t, time.Minute, func() error {
		if left := runs(t, c); len(left) > 0 {
			return fmt.Errorf("%d runs are still in the cluster", len(left))
		}
		return nil
	})
	step("runs stored and deleted by the watcher")

	c.RestartNode(t)
	step("kubelet and containerd restarted")

	// Here a test of the whole product applies the operator's overlay and a Konflux resource instead.
	values := map[string]any{"Bucket": bucket, "Segment": segment, "Results": results}
	c.Apply(t, "../world/crds")
	c.ApplyText(t, manifests(t, c, program, fill(t, "testdata/segmentbridge.yaml", values)))
	c.ApplyText(t, fill(t, "testdata/secrets.yaml", values))
	Eventually(t, 90*time.Second, func() error { return firedAndDone(t, c) })
	step("the CronJob fired and its pod is done")
	c.Kubectl(t, "create", "job", "-n", "segment-bridge", "last", "--from=cronjob/segment-bridge")
	c.Kubectl(t, "wait", "-n", "segment-bridge", "--for=condition=Complete", "--timeout=60s", "job/last")
	step("a job created from it is done")
	checkEvents(t, segment, uids)
	checkBucket(t, bucket)
	if report := segment.Report(t); report.Duplicates != 0 || len(report.Drops)+len(report.Refusals)+len(report.Violations) != 0 {
		t.Errorf("the receiver's report: %+v", report)
	}
	if logs := c.Logs(t, "segment-bridge", "job/last"); strings.Contains(logs, "team-a") || !strings.Contains(logs, `"command":"load"`) {
		t.Errorf("the job's logs are\n%s", logs)
	}
	step("events and bucket checked")

	if t.Failed() {
		return // the cluster is worth a look, and goes down after it
	}
	c.Down(t)
	step("cluster down")
	compareState(t, before)
}

// startRuns creates the runs, and returns their UIDs by name.
func startRuns(t *testing.T, c *Cluster) map[string]string {
	t.Helper()
	// The webhook answers a moment after its pod is ready.
	data, err := os.ReadFile("testdata/runs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	Eventually(t, time.Minute, func() error {
		_, err := c.kubectl(t.Context(), string(data), "apply", "-f", "-")
		return err
	})
	uids := map[string]string{}
	for _, run := range runs(t, c) {
		uids[run.GetName()] = string(run.GetUID())
	}
	if len(uids) != len(outcomes) {
		t.Fatalf("the cluster has the runs %v", uids)
	}
	return uids
}

// awaitRuns waits until each run has ended, and cancels the one that is to be cancelled once its step runs. The watcher
// deletes runs soon after they end: what was seen last counts.
func awaitRuns(t *testing.T, c *Cluster) {
	t.Helper()
	ended, cancelled := map[string]string{}, false
	Eventually(t, 3*time.Minute, func() error {
		for _, run := range runs(t, c) {
			conditions, _, _ := unstructured.NestedSlice(run.Object, "status", "conditions") // none yet
			for _, condition := range conditions {
				if condition, ok := condition.(map[string]any); ok && condition["status"] != "Unknown" {
					ended[run.GetName()] = fmt.Sprint(condition["reason"])
				}
			}
		}
		if !cancelled {
			phase := c.Kubectl(t, "get", "pods", "-n", "team-a-tenant", "-l", "tekton.dev/pipelineRun=is-cancelled", "-o", "jsonpath={.items[*].status.phase}")
			if cancelled = phase == "Running"; cancelled {
				c.Kubectl(t, "patch", "pipelinerun", "-n", "team-a-tenant", "is-cancelled", "--type=merge", "-p", `{"spec":{"status":"Cancelled"}}`)
			}
		}
		if len(ended) < len(outcomes) {
			return fmt.Errorf("these runs have ended: %v", ended)
		}
		return nil
	})
	for name, outcome := range outcomes {
		if ended[name] != outcome[0] {
			t.Errorf("the run %s ended with %s, want %s", name, ended[name], outcome[0])
		}
	}
}

func runs(t *testing.T, c *Cluster) []unstructured.Unstructured {
	t.Helper()
	resource := schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"}
	list, err := c.Dynamic.Resource(resource).Namespace("team-a-tenant").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// firedAndDone returns nil when the CronJob has made a job, and that succeeded.
func firedAndDone(t *testing.T, c *Cluster) error {
	t.Helper()
	succeeded := c.Kubectl(t, "get", "jobs", "-n", "segment-bridge", "-o", "jsonpath={.items[*].status.succeeded}")
	if failed := c.Kubectl(t, "get", "jobs", "-n", "segment-bridge", "-o", "jsonpath={.items[*].status.failed}"); failed != "" {
		t.Fatalf("jobs failed: %s", failed)
	}
	if !strings.Contains(succeeded, "1") {
		return fmt.Errorf("no job of the CronJob has succeeded")
	}
	return nil
}

// checkEvents wants each run told of once as started and once as finished, with its outcome, and no name anywhere.
func checkEvents(t *testing.T, segment *Segment, uids map[string]string) {
	t.Helper()
	seen := map[string]int{}
	got := map[string]string{}
	for _, event := range segment.Events(t) {
		seen[event.MessageID]++
		if strings.Contains(string(event.JSON), "team-a") {
			t.Errorf("an event has a name in it: %s", event.JSON)
		}
		var call struct{ Properties struct{ Outcome string } }
		if err := json.Unmarshal(event.JSON, &call); err != nil {
			t.Fatal(err)
		}
		got[event.MessageID] = call.Properties.Outcome
	}
	for name, uid := range uids {
		if seen[uid+"-started"] != 1 || seen[uid+"-completed"] != 1 {
			t.Errorf("the run %s was told of %d times as started and %d times as completed", name, seen[uid+"-started"], seen[uid+"-completed"])
		}
		if outcome := got[uid+"-completed"]; outcome != outcomes[name][1] {
			t.Errorf("the run %s was told of as %q, want %q", name, outcome, outcomes[name][1])
		}
	}
}

// checkBucket wants something staged, and no name in a key or an object's bytes.
func checkBucket(t *testing.T, bucket *Bucket) {
	t.Helper()
	objects := 0
	for object := range bucket.Client.ListObjects(t.Context(), bucket.Name, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		reader, err := bucket.Client.GetObject(t.Context(), bucket.Name, object.Key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var data bytes.Buffer
		_, err = data.ReadFrom(reader)
		reader.Close() //nolint:errcheck // it was read to its end
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(object.Key+data.String(), "team-a") {
			t.Errorf("the object %s has a name in it", object.Key)
		}
		objects++
	}
	if objects < 3 { // a batch, its manifest, a receipt
		t.Errorf("the bucket has %d objects", objects)
	}
}

// manifests returns what installs the product without its operator.
func manifests(t *testing.T, c *Cluster, program, bridge string) string {
	t.Helper()
	id := c.Kubectl(t, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
	cmd := exec.CommandContext(t.Context(), program, "manifests", "-f", "-", "--cluster-id", id, "--image", BridgeImage)
	cmd.Stdin = strings.NewReader(bridge)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("segment-bridge manifests: %v: %s", err, complaint.String())
	}
	return string(out)
}

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
