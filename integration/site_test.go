// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
	"github.com/segment-bridge/segment-bridge/stage"
)

func TestMain(m *testing.M) { world.Main(m) }

const writeKey = "0123456789abcdefghijABCDEFGHIJ01"

// A site is a made-up Konflux cluster on the real servers, with telemetry set up
// as operator/install says: a service account that has only the rights listed there.
type site struct {
	t        *testing.T
	sample   *samplecluster.Cluster
	cluster  *world.Cluster
	database *world.Database
	results  *world.ResultsServer
	bucket   *world.Bucket
	receiver *segmenttest.Receiver
	// address of the receiver; kubeconfig and token of the service account.
	address, kubeconfig, tokenFile string
	// objects are what is in the cluster, and what Tekton Results alone holds, as
	// these servers have it.
	objects [][]byte
	// output is all that the processes wrote to standard output and error.
	output *bytes.Buffer
}

// uids says which UID the API server gave to an object of the sample.
type uids map[string]string

func newSite(t *testing.T, config samplecluster.Config, options world.ResultsOptions) *site {
	t.Helper()
	config.Now = time.Now().UTC().Truncate(time.Second)
	s := &site{t: t, output: new(bytes.Buffer), sample: samplecluster.New(config), cluster: world.NewControlPlane(t), database: world.Postgres(t), bucket: world.MinIO(t)}
	s.cluster.InstallCRDs(t)
	s.install(s.settings("results.example.com"))
	token := s.cluster.Token(t, install.Namespace, install.CronJob, time.Hour)
	s.kubeconfig = s.cluster.Kubeconfig(t, token)
	s.tokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(s.tokenFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	options.TLS, options.Auth = true, s.cluster
	s.results = world.Results(t, s.database, options)

	s.receiver, s.address = startReceiver(t)
	s.populate()
	return s
}

// settings are those of an installation on the site that reads all sources and stages in its bucket.
func (s *site) settings(results string) install.Settings {
	settings := install.Settings{
		ClusterID: s.sample.ID, Image: "segment-bridge:test", Results: &install.Results{Address: results},
		WriteKey: writeKey, URL: s.address,
	}
	settings.Spec.Stage.S3 = &v1alpha1.S3{
		Bucket: s.bucket.Name, Prefix: "telemetry", Endpoint: "http://" + s.bucket.Endpoint, Region: s.bucket.Region, CredentialsSecret: "bucket",
	}
	return settings
}

// install applies the objects of an installation, and returns them.
func (s *site) install(settings install.Settings) []install.Object {
	s.t.Helper()
	objects, err := install.Objects(settings)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, object := range objects {
		s.apply(object)
	}
	return objects
}

func (s *site) apply(object install.Object) {
	s.t.Helper()
	u, err := install.Unstructured(object)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cluster.ApplyObjects(s.t, u)
}

// many is the number of objects from which on they are put into the API server's
// database, which takes a tenth of the time.
const many = 1000

// populate creates the sample's objects in the API server, and stores in Tekton
// Results those that are there.
func (s *site) populate() {
	s.t.Helper()
	given := uids{}
	objects := slices.DeleteFunc(slices.Collect(s.sample.Objects()), func(o samplecluster.Object) bool {
		// The namespaces of Kubernetes and of Tekton are there already.
		return o.Kind == "Namespace" && !strings.Contains(o.Name, samplecluster.Marker) && o.Name != "konflux-info"
	})
	texts := make([][]byte, len(objects))
	for i, o := range objects {
		texts[i] = o.JSON
	}
	if len(objects) < many {
		given = s.create(objects, texts)
	} else if err := s.cluster.Plant(s.t.Context(), texts...); err != nil {
		s.t.Fatal(err)
	}
	for _, text := range texts {
		s.objects = append(s.objects, given.apply(text))
	}
	var (
		stored [][]byte
		times  []world.RecordTimes
	)
	for r := range s.sample.Records() {
		stored = append(stored, given.apply(r.Object.JSON))
		times = append(times, world.RecordTimes{Created: r.Created, Updated: r.Updated})
	}
	s.store(stored, times)
	s.objects = append(s.objects, stored...)
}

// create creates the objects and returns the UIDs that the API server gave them.
func (s *site) create(objects []samplecluster.Object, texts [][]byte) uids {
	s.t.Helper()
	created, err := s.cluster.Create(s.t.Context(), texts...)
	if err != nil {
		s.t.Fatal(err)
	}
	given := uids{}
	for i, object := range created {
		given[objects[i].UID] = string(object.GetUID())
		s.keepTime(object, texts[i])
	}
	return given
}

// apply gives an object the UID that the API server chose.
func (u uids) apply(object []byte) []byte {
	var m struct {
		Metadata struct{ UID string }
	}
	if err := json.Unmarshal(object, &m); err != nil {
		panic(err)
	}
	if given, ok := u[m.Metadata.UID]; ok {
		return bytes.ReplaceAll(object, []byte(m.Metadata.UID), []byte(given))
	}
	return object
}

// keepTime gives a created object the time of creation that the sample says; the
// API server lets nobody choose it.
func (s *site) keepTime(created *unstructured.Unstructured, sample []byte) {
	s.t.Helper()
	if created.GetKind() == "PipelineRun" || created.GetKind() == "ConfigMap" {
		return // nothing is told of it
	}
	var m map[string]any
	if err := json.Unmarshal(sample, &m); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cluster.Backdate(s.t.Context(), created, at(m, "metadata", "creationTimestamp")); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) store(texts [][]byte, times []world.RecordTimes) {
	s.t.Helper()
	names, err := s.results.Store(s.t.Context(), texts...)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range times {
		times[i].Name = names[i]
	}
	if err := s.results.SetTimes(s.t.Context(), times...); err != nil {
		s.t.Fatal(err)
	}
}

// update gives a run in the cluster the labels and the status it has in text, and
// takes off the finalizers that it had while it was running.
func (s *site) update(text []byte) {
	s.t.Helper()
	runs := s.cluster.Dynamic.Resource(schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"})
	var want unstructured.Unstructured
	if err := want.UnmarshalJSON(text); err != nil {
		s.t.Fatal(err)
	}
	client := runs.Namespace(want.GetNamespace())
	found, err := client.Get(s.t.Context(), want.GetName(), metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	found.SetFinalizers(nil)
	found.SetLabels(want.GetLabels())
	if found, err = client.Update(s.t.Context(), found, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	found.Object["status"] = want.Object["status"]
	if _, err := client.UpdateStatus(s.t.Context(), found, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// prune deletes a run from the cluster.
func (s *site) prune(namespace, name string) {
	s.t.Helper()
	runs := s.cluster.Dynamic.Resource(schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"})
	if err := runs.Namespace(namespace).Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// oracle returns what is to be expected of this site.
func (s *site) oracle(since, until time.Time) oracle {
	return oracle{
		clusterID: s.sample.ID, since: since, until: until,
		extra: map[string]any{"konfluxVersion": s.sample.KonfluxVersion, "kubernetesVersion": s.sample.KubernetesVersion},
	}
}

// The credentials that each container of the job has, and no other.
func (s *site) extractEnv() []string {
	return []string{"KUBECONFIG=" + s.kubeconfig, "SA_TOKEN_PATH=" + s.tokenFile, "TEKTON_RESULTS_API_ADDR=" + s.results.URL}
}

func (s *site) bucketEnv() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + s.bucket.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.bucket.SecretKey,
		"SEGMENT_BRIDGE_STAGE=" + s.stage(),
	}
}

func (s *site) stage() string { return s.bucket.URL("telemetry") }

func (s *site) loadEnv() []string {
	return append(s.bucketEnv(), "SEGMENT_WRITE_KEY="+writeKey, "SEGMENT_BATCH_API="+s.address+"/v1/batch")
}

// binary is the program under test, and operatorBinary the operator's, beside it. Each is built once.
var (
	binary         = sync.OnceValues(func() (string, error) { return build("segment-bridge") })
	operatorBinary = sync.OnceValues(func() (string, error) { return build("segment-bridge-operator") })
	programs       = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "segment-bridge-binary-") })
)

// build builds a program as for its image, where there is no C library, and returns its path.
func build(program string) (string, error) {
	dir, err := programs()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, program)
	// As `make build` does, which has compiled most of it.
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-tags", "timetzdata,grpcnotrace", "-o", path, "../cmd/"+program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w: %s", program, err, out)
	}
	return path, nil
}

// result is what a process left.
type result struct {
	code           int
	stdout, stderr []byte
	summary        summary
}

// summary is the part of the JSON summary that tests look at.
type summary struct {
	OK       bool
	Error    string
	Degraded []string
	Sources  []struct {
		Name, Outcome             string
		Objects, Records, Invalid int64
		Bytes                     int64
		Error                     string
	}
	Staged *struct {
		Batch                                       string
		Events, AlreadyStaged, Duplicates, Rejected int64
	}
	Compacted    *stage.Compacted
	Expired      *stage.Expired
	Destinations []struct {
		Name                                 string `json:"destination"`
		Batches, Events, Delivered, Rejected int64
	}
}

// run runs the program in an environment that has only env.
func (s *site) run(env []string, args ...string) result {
	s.t.Helper()
	path, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), path, append(args, "--log-level=debug")...)
	// gRPC would like to say what servers said.
	cmd.Env = append(env, "HOME=/nonexistent", "TMPDIR="+os.TempDir(), "GRPC_GO_LOG_SEVERITY_LEVEL=info")
	r := s.wait(cmd)
	for line := range bytes.Lines(r.stderr) {
		if !json.Valid(line) {
			s.t.Errorf("segment-bridge %s writes a line that is no JSON: %s", args[0], line)
		}
	}
	return r
}

// wait runs a process of the program and returns what it left.
func (s *site) wait(cmd *exec.Cmd) result {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	r := result{code: cmd.ProcessState.ExitCode(), stdout: stdout.Bytes(), stderr: stderr.Bytes()}
	s.output.Write(r.stdout)
	s.output.Write(r.stderr)
	for line := range bytes.Lines(slices.Concat(r.stdout, r.stderr)) {
		if bytes.HasPrefix(line, []byte(`{"command":`)) {
			if err := json.Unmarshal(line, &r.summary); err != nil {
				s.t.Errorf("the summary is not JSON: %v", err)
			}
		}
	}
	return r
}

// mustRun runs the program and expects it to end well.
func (s *site) mustRun(env []string, args ...string) result {
	s.t.Helper()
	r := s.run(env, args...)
	if r.code != 0 || !r.summary.OK {
		s.t.Fatalf("segment-bridge %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}
