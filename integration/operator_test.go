// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

// An operatorProcess is the operator as a process.
type operatorProcess struct {
	cmd             *exec.Cmd
	metrics, health string // addresses
	mu              sync.Mutex
	output          bytes.Buffer
}

func (p *operatorProcess) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *operatorProcess) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// run starts the operator under its service account, as `segment-bridge operator`, which becomes the program beside it.
func (s *operatorSite) run() *operatorProcess {
	s.t.Helper()
	path, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := operatorBinary(); err != nil {
		s.t.Fatal(err)
	}
	p := &operatorProcess{metrics: freeAddress(s.t), health: freeAddress(s.t)}
	p.cmd = exec.CommandContext(s.t.Context(), path, "operator", "--kubeconfig", s.cluster.Kubeconfig(s.t, s.token),
		"--metrics-address", p.metrics, "--health-address", p.health, "--leader-election-namespace", "segment-bridge-operator", "--log-level", "debug")
	p.cmd.Env = []string{"HOME=/nonexistent", "SEGMENT_BRIDGE_IMAGE=registry.example.com/segment-bridge:v1"}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill() //nolint:errcheck // it may have ended
			p.cmd.Wait()         //nolint:errcheck // it was killed
		}
		if s.t.Failed() {
			s.t.Logf("the operator wrote:\n%s", p.text())
		}
	})
	s.await("the operator answers", func() string { return p.get(p.health, "/readyz", "ok") })
	return p
}

// get returns "" when the answer contains want, else what it is.
func (p *operatorProcess) get(address, path, want string) string {
	response, err := http.Get("http://" + address + path) //nolint:noctx // it is on this machine
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(text), want) {
		return fmt.Sprintf("%s %v %s", response.Status, err, text)
	}
	return ""
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestOperatorLife follows the operator, as a process with its own account and no more rights than that has, from an
// empty cluster through all that happens to an installation to its end.
func TestOperatorLife(t *testing.T) {
	s := newOperatorSite(t)
	theirs := s.plantOthers()
	p := s.run()

	// Without a resource it does nothing. Then a key is asked for that is not there yet.
	s.putBridge(v1alpha1.New().Enable(true).SendWith("segment", "key").SendTo("https://segment.example.com/v1/batch"))
	s.awaitConditions("TelemetryEnabled=True/Enabled", "Ready=True/Installed", "Degraded=True/WriteKeyMissing")
	s.awaitInstalled(plainInstallation())
	if got := s.message(v1alpha1.ConditionDegraded); !strings.Contains(got, "Secret segment in namespace segment-bridge") {
		t.Errorf("message does not say what to do: %s", got)
	}
	s.put("Secret", "segment-bridge", "segment", `{"stringData":{"key":"canary-write-key-one"}}`)
	s.awaitConditions("Degraded=False/AsExpected")
	s.awaitKey("canary-write-key-one")
	s.put("Secret", "segment-bridge", "segment", `{"stringData":{"key":"canary-write-key-two"}}`)
	s.awaitKey("canary-write-key-two")

	t.Run("drift", s.drift)
	t.Run("runs", func(t *testing.T) { s.lastRuns(t, p) })

	// The user interface is installed later, and so is the product, which decides from then on.
	s.cluster.Namespace(t, "konflux-ui", nil)
	s.await("the UI has the key", func() string {
		if got := s.value("konflux-ui", "segment-bridge-config", "key") + " " + s.value("konflux-ui", "segment-bridge-config", "url"); got != "canary-write-key-two segment.example.com/v1" {
			return got
		}
		return ""
	})
	s.cluster.Define(t, "world/crds")
	s.put("Konflux", "", "konflux", `{"spec":{"telemetry":{"enabled":false}}}`)
	s.awaitConditions("TelemetryEnabled=False/KonfluxDisabled", "Ready=True/Off")
	s.awaitInstalled([]string{})
	s.put("Konflux", "", "konflux", `{"spec":{"telemetry":{"enabled":true,"spec":{"segmentKey":"canary-write-key-three"}}}}`)
	s.awaitConditions("TelemetryEnabled=True/KonfluxEnabled", "Ready=True/Installed")
	s.awaitKey("canary-write-key-three")
	if got := p.get(p.metrics, "/metrics", `segment_bridge_condition{status="true",type="TelemetryEnabled"} 1`); got != "" {
		t.Error(got)
	}

	// The product is removed with its definition, and the resource decides again. Then that goes.
	s.delete("CustomResourceDefinition", "", "konfluxes.konflux.konflux-ci.dev")
	s.awaitConditions("TelemetryEnabled=True/Enabled", "Ready=True/Installed")
	s.awaitKey("canary-write-key-two")
	s.delete("SegmentBridge", "", v1alpha1.Name)
	s.await("the resource is gone", func() string {
		if s.bridge() != nil {
			return "it has " + fmt.Sprint(s.bridge().Finalizers)
		}
		return ""
	})
	s.awaitInstalled([]string{})
	s.expectOthers(theirs)

	before := len(p.text())
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if after := p.text()[before:]; after == "" || strings.Contains(after, `"level":"ERROR"`) {
		t.Errorf("after SIGTERM it wrote:\n%s", after)
	}
	s.expectSilence(p.text())
}

func (s *operatorSite) awaitKey(want string) {
	s.t.Helper()
	s.await("the job's write key", func() string {
		if got := s.value("segment-bridge", "segment-bridge-write-key", "write-key"); got != want {
			return fmt.Sprintf("it is %q, want %q", got, want)
		}
		return ""
	})
}

// plantOthers puts objects of others next to what the operator makes, and returns them.
func (s *operatorSite) plantOthers() []string {
	s.t.Helper()
	s.put("ConfigMap", "segment-bridge", "theirs", `{"data":{"a":"b"}}`)
	s.put("Secret", "segment-bridge", "theirs", `{"stringData":{"a":"b"}}`)
	s.put("ServiceAccount", "segment-bridge", "theirs", `{"metadata":{"labels":{"app.kubernetes.io/name":"segment-bridge-theirs"}}}`)
	s.put("ServiceAccount", "default", "segment-bridge", `{"automountServiceAccountToken":false}`)
	s.put("PersistentVolumeClaim", "segment-bridge", "theirs", `{"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}`)
	s.put("ClusterRole", "", "segment-bridge-theirs", `{"rules":[]}`)
	return []string{
		"Namespace /segment-bridge", "ConfigMap segment-bridge/theirs", "Secret segment-bridge/theirs", "ServiceAccount segment-bridge/theirs",
		"ServiceAccount default/segment-bridge", "PersistentVolumeClaim segment-bridge/theirs", "ClusterRole /segment-bridge-theirs",
		"ClusterRole /segment-bridge-operator", "Role segment-bridge/segment-bridge-operator",
	}
}

func (s *operatorSite) expectOthers(objects []string) {
	s.t.Helper()
	for _, o := range objects {
		kind, path, _ := strings.Cut(o, " ")
		namespace, name, _ := strings.Cut(path, "/")
		if object := s.get(kind, namespace, name); object == nil || object.GetDeletionTimestamp() != nil {
			s.t.Errorf("%s is gone, and belongs to others", o)
		} else if label := object.GetLabels()["segment-bridge.dev/owner"]; label != "" {
			s.t.Errorf("%s is still labelled %s", o, label)
		}
	}
}

// drift changes and deletes what is installed.
func (s *operatorSite) drift(t *testing.T) {
	const ns, name = "segment-bridge", "segment-bridge"
	s.patch("CronJob", ns, name, `{"metadata":{"labels":{"team":"theirs","app.kubernetes.io/name":"other"},"annotations":{"note":"theirs"}},"spec":{"suspend":true,"schedule":"0 0 1 1 *"}}`)
	s.await("the cron job is repaired", func() string {
		o := s.get("CronJob", ns, name)
		schedule, _, _ := unstructured.NestedString(o.Object, "spec", "schedule")
		if schedule == "0 0 1 1 *" || o.GetLabels()["app.kubernetes.io/name"] != "segment-bridge" {
			return fmt.Sprint(o.Object)
		}
		// What nobody asked about is theirs to set.
		if suspended, _, _ := unstructured.NestedBool(o.Object, "spec", "suspend"); !suspended || o.GetLabels()["team"] != "theirs" || o.GetAnnotations()["note"] != "theirs" {
			t.Errorf("what others set is lost: %v", o.Object)
		}
		return ""
	})
	s.patch("ClusterRole", "", name, `{"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}`)
	s.patch("Namespace", "", ns, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`)
	s.delete("NetworkPolicy", ns, "segment-bridge-default-deny")
	s.delete("ServiceAccount", ns, name)
	s.delete("Secret", ns, "segment-bridge-write-key")
	s.awaitInstalled(plainInstallation("Secret segment-bridge/segment-bridge-write-key"))
	s.await("role and namespace are repaired", func() string {
		role, _ := json.Marshal(s.get("ClusterRole", "", name).Object["rules"])
		if label := s.get("Namespace", "", ns).GetLabels()["pod-security.kubernetes.io/enforce"]; strings.Contains(string(role), `"*"`) || label != "restricted" {
			return string(role) + label
		}
		return ""
	})
}

// lastRuns lets jobs end, as the controllers of a cluster would, and looks at what the operator tells of them.
func (s *operatorSite) lastRuns(t *testing.T, p *operatorProcess) {
	s.runJob("one", "Complete", time.Now().Add(-2*time.Hour), map[string]string{
		"extract":   `{"command":"extract","ok":true,"degraded":["results","Not A Source"]}`,
		"transform": `{"command":"transform","ok":true,"staged":{"batch":"b","events":40,"rejected":2,"later":{}}}`,
		"load":      `{"command":"load","ok":true,"destinations":[{"destination":"segment","delivered":38,"rejected":1,"pending":1}]}`,
	})
	got := s.awaitConditions("LastRunSucceeded=True/Succeeded", "Degraded=True/SourcesUnreadable").Status.LastRun
	if got.Staged != 40 || got.Delivered != 38 || got.Rejected != 3 || got.Pending != 1 || fmt.Sprint(got.Degraded) != "[results]" || got.Job != "one" || got.Finished == nil || got.Started == nil {
		t.Errorf("last run is %+v", got)
	}
	if left := p.get(p.metrics, "/metrics", `segment_bridge_last_run_events{outcome="delivered"} 38`); left != "" {
		t.Error(left)
	}
	s.runJob("two", "Failed", time.Now().Add(-time.Hour), map[string]string{
		"extract": `{"command":"extract","ok":true}`, "transform": `{"command":"transform","ok":true,"staged":{"events":5}}`,
		"load": `{"command":"load","ok":false,"error":"deliver to segment: HTTP 401: check the write key"}`,
	})
	got = s.awaitConditions("LastRunSucceeded=False/Failed", "Degraded=False/AsExpected").Status.LastRun
	if got.Message != "load: deliver to segment: HTTP 401: check the write key" || got.Staged != 5 {
		t.Errorf("last run is %+v", got)
	}
	// An older one that ends in view changes nothing; nor do one that runs and one of another's.
	s.runJob("zero", "Complete", time.Now().Add(-3*time.Hour), nil)
	s.runJob("three", "Failed", time.Now(), map[string]string{"extract": "not JSON"})
	if got = s.awaitConditions("LastRunSucceeded=False/Failed").Status.LastRun; got.Job != "three" {
		s.await("the third run", func() string {
			if got = s.bridge().Status.LastRun; got.Job != "three" || got.Message != "extract ended with exit code 1" {
				return fmt.Sprint(*got)
			}
			return ""
		})
	}
	for _, name := range []string{"zero", "one", "two"} {
		s.delete("Job", "segment-bridge", name)
	}
}

// runJob makes a job of the hourly cron job that has ended, with a pod whose containers left these messages.
func (s *operatorSite) runJob(name, condition string, end time.Time, messages map[string]string) {
	s.t.Helper()
	cronJob := s.get("CronJob", "segment-bridge", "segment-bridge")
	template, _, _ := unstructured.NestedMap(cronJob.Object, "spec", "jobTemplate")
	job := &unstructured.Unstructured{Object: template}
	job.SetAPIVersion("batch/v1")
	job.SetKind("Job")
	job.SetName(name)
	job.SetNamespace("segment-bridge")
	job.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(cronJob, cronJob.GroupVersionKind())})
	created, err := s.resource("Job", "segment-bridge").Create(s.t.Context(), job, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	pod := &unstructured.Unstructured{}
	spec, _, _ := unstructured.NestedMap(template, "spec", "template")
	pod.Object = spec
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetName(name)
	pod.SetNamespace("segment-bridge")
	labels := pod.GetLabels()
	labels["batch.kubernetes.io/job-name"] = name
	pod.SetLabels(labels)
	pod.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(created, created.GroupVersionKind())})
	if _, err := s.resource("Pod", "segment-bridge").Create(s.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	status := map[string][]any{}
	for _, container := range []string{"window", "extract", "transform", "load"} {
		code := 0
		if m := messages[container]; strings.Contains(m, `"ok":false`) || m != "" && !strings.HasPrefix(m, "{") {
			code = 1
		}
		list := "initContainerStatuses"
		if container == "load" {
			list = "containerStatuses"
		}
		status[list] = append(status[list], map[string]any{
			"name": container, "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
			"state": map[string]any{"terminated": map[string]any{"exitCode": code, "reason": "Completed", "message": messages[container]}},
		})
	}
	text, _ := json.Marshal(map[string]any{"status": status})
	s.patch("Pod", "segment-bridge", name, string(text), "status")
	at := end.UTC().Format(time.RFC3339)
	conditions := fmt.Sprintf(`{"type":%q,"status":"True","lastTransitionTime":%q}`, condition, at)
	more := ""
	if condition == "Complete" {
		conditions = fmt.Sprintf(`{"type":"SuccessCriteriaMet","status":"True","lastTransitionTime":%q},`, at) + conditions
		more = fmt.Sprintf(`,"completionTime":%q,"succeeded":1`, at)
	} else {
		conditions = fmt.Sprintf(`{"type":"FailureTarget","status":"True","lastTransitionTime":%q},`, at) + conditions
	}
	s.patch("Job", "segment-bridge", name, fmt.Sprintf(`{"status":{"startTime":%q,"conditions":[%s]%s}}`, end.Add(-time.Minute).UTC().Format(time.RFC3339), conditions, more), "status")
}

// expectSilence looks for write keys where they must not be: in the log, in events, in the resource's status, in what
// describes the pods.
func (s *operatorSite) expectSilence(log string) {
	s.t.Helper()
	texts := map[string]string{"the log": log}
	for _, kind := range []string{"Event", "CronJob", "Job", "Pod", "SegmentBridge", "ConfigMap"} {
		list, err := s.resource(kind, "").List(s.t.Context(), metav1.ListOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := json.Marshal(list)
		if err != nil {
			s.t.Fatal(err)
		}
		texts[kind] = string(text)
	}
	if !strings.Contains(texts["Event"], "KonfluxEnabled") || !strings.Contains(texts["Event"], "WriteKeyMissing") {
		s.t.Errorf("events do not tell of the decisions: %s", texts["Event"])
	}
	for where, text := range texts {
		if strings.Contains(text, "canary") {
			s.t.Errorf("%s holds a write key: %s", where, text)
		}
	}
}
