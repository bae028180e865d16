// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/otlp/otlptest"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

// More than a thousand names, each in a place of its own wherever an object can hold one, are in the API server and in Tekton
// Results, and none is in anything that comes out: not as it is, not encoded, not as a hash that everybody could try
// names on.
func TestCanaries(t *testing.T) {
	c := newCanaries(t)
	t.Run("job", c.job)
	t.Run("by hand", c.byHand)
	t.Run("wires", c.wires)
	t.Run("errors", c.errors)
	t.Run("operator", c.operator)
	places := slices.Sorted(maps.Keys(c.outputs))
	for _, part := range []string{"records.ndjson.gz", "report.json", ".parquet", "v1/manifests/", "v1/receipts/segment/", "v1/rejected/segment/", "v1/rejected/splunk/", "v1/receipts/otlp/", "v1/receipts/kong/", "termination message of load", "file"} {
		if !slices.ContainsFunc(places, func(place string) bool { return strings.Contains(place, part) }) {
			t.Errorf("there is no %s in %q", part, places)
		}
	}
	search := newSearch(t, append(c.Names, append(c.sample.Names(), samplecluster.Marker, segmenttest.Canary)...))
	expectNone(t, search, c.outputs)
	for place, content := range c.outputs {
		if len(bytes.TrimSpace(content)) == 0 {
			t.Errorf("%s is empty: nothing was searched", place)
		}
		if hits := search.In(content); len(hits) > 0 && len(hits) < 50 {
			for _, hit := range hits {
				t.Logf("%s was planted after %q", hit.Name, c.Where(hit.Name))
			}
		}
	}
}

// canaries is a site with a flock in it, and all that came out of it.
type canaries struct {
	*site
	*flock
	outputs map[string][]byte
	wire    *recorder
}

func newCanaries(t *testing.T) *canaries {
	t.Helper()
	s := newSite(t, samplecluster.Config{Seed: 9, Runs: 20}, world.ResultsOptions{PartialResponse: true})
	c := &canaries{s, newFlock(s.sample.Now), map[string][]byte{}, &recorder{next: s.receiver}}
	var created []*unstructured.Unstructured
	for _, objects := range [][][]byte{c.teams, c.inCluster} {
		more, err := s.cluster.Create(t.Context(), objects...)
		if err != nil {
			t.Fatal(err)
		}
		created = append(created, more...)
	}
	if _, err := s.results.Store(t.Context(), c.stored...); err != nil {
		t.Fatal(err)
	}
	konflux := s.cluster.Dynamic.Resource(schema.GroupVersionResource{Group: "konflux.konflux-ci.dev", Version: "v1alpha1", Resource: "konfluxes"})
	for text, part := range map[string][]string{canaryKonflux: nil, canaryKonfluxStatus: {"status"}} {
		o, err := konflux.Patch(t.Context(), "konflux", types.MergePatchType, c.object(s.sample.Now, "", text), metav1.PatchOptions{}, part...)
		if err != nil {
			t.Fatal(err)
		}
		created = append(created, o)
	}
	// What the servers keep is what counts.
	kept := slices.Concat(c.stored...)
	for _, o := range created {
		text, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, text...)
	}
	c.Names = slices.DeleteFunc(c.Names, func(name string) bool { return !bytes.Contains(kept, []byte(name)) })
	if len(c.Names) < 1000 {
		t.Fatalf("the servers keep only %d names", len(c.Names))
	}
	t.Logf("%d names are planted in %d objects", len(c.Names), len(created)+len(c.stored))
	server := httptest.NewServer(c.wire)
	t.Cleanup(server.Close)
	c.address = server.URL
	return c
}

// output adds something to search.
func (c *canaries) output(place string, content []byte) {
	if _, twice := c.outputs[place]; twice {
		c.t.Fatalf("there are two outputs %q", place)
	}
	c.outputs[place] = content
}

func (c *canaries) outputAll(place string, contents map[string][]byte) {
	for name, content := range contents {
		c.output(place+" "+name, append([]byte(name+"\n"), content...))
	}
}

// try runs the program, which prints all that it can, and keeps what it says.
func (c *canaries) try(place string, env []string, args ...string) result {
	c.t.Helper()
	r := c.run(env, args...)
	c.output(place, slices.Concat(r.stdout, r.stderr))
	return r
}

// job is the job as the operator makes it.
func (c *canaries) job(t *testing.T) {
	c.t = t
	c.surround()
	settings := c.settings(c.results.URL)
	settings.Spec.Sources.TektonResults.CAConfigMap = "results-ca"
	objects := c.install(settings)
	pod := c.newPod(cronJob(t, objects, install.CronJob).Spec.JobTemplate.Spec.Template.Spec, nil)
	var said []byte
	for _, r := range pod.run() {
		said = slices.Concat(said, r.stdout, r.stderr)
	}
	c.output("pod", said)
	for container, said := range pod.said {
		if said != "" {
			c.output("termination message of "+container, []byte(said))
		}
	}
	c.outputAll("spool", readFolder(t, pod.volumes["spool"]))
	told := 0
	for _, e := range c.receiver.Events() {
		if strings.HasPrefix(e.MessageID, "ca9a0000") || strings.Contains(string(e.Raw), `"status":"Other"`) {
			told++
		}
	}
	if told < 4 {
		t.Errorf("only %d events tell of objects with canaries", told)
	}
}

// byHand has each command at its most talkative, and every destination that needs no server of its own.
func (c *canaries) byHand(t *testing.T) {
	c.t = t
	c.receiver.Refuse(func(e segmenttest.Event) bool { return strings.HasPrefix(e.MessageID, "ca9a0000") })
	defer c.receiver.Refuse(nil)
	traces := &recorder{next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	collector := httptest.NewServer(traces)
	defer collector.Close()

	file, work := filepath.Join(t.TempDir(), "events.ndjson"), t.TempDir()
	env := append(slices.Concat(c.extractEnv(), c.loadEnv()), "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"SEGMENT_BRIDGE_STAGE="+c.bucket.URL("by-hand"))
	source := []string{"--source", "kube", "--source", "inventory", "--source", "results", "--results-ca-file", c.results.CAFile}
	c.try("dry run", env, append([]string{"run", "--dry-run"}, source...)...)
	r := c.try("run", env, append([]string{"run", "--destination", "segment", "--destination", "file:" + file, "--destination", "stdout", "--work-dir", work}, source...)...)
	if r.code != 0 || r.summary.Staged.Events < 50 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if rejected := r.summary.Destinations[0].Rejected; rejected == 0 {
		t.Errorf("nothing was rejected: %+v", r.summary.Destinations)
	}
	c.outputAll("file", readFolder(t, filepath.Dir(file)))
	for _, command := range [][]string{
		{"window", "--out", filepath.Join(t.TempDir(), "window.json")},
		{"plan"},
		{"compact", "--after", "24h"},
		{"expire", "--older-than", "9528h", "--dry-run"},
		{"audit"},
		{"audit", "--format=json"},
		{"replay", "--force", "--since", "2020-01-01", "--dry-run"},
		{"replay", "--rejected", "--destination", "segment"},
		{"load"},
		{"version"},
	} {
		c.try(strings.Join(command[:min(2, len(command))], " "), env, command...)
	}
	names := filepath.Join(t.TempDir(), "names.txt")
	if err := os.WriteFile(names, []byte(strings.Join(c.Names, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := c.try("audit with the names", env, "audit", "--names", names); r.code != 0 || !strings.Contains(string(r.stdout), fmt.Sprint(len(c.Names))) {
		t.Errorf("the audit does not agree: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	page := t.TempDir()
	c.try("audit as a page", env, "audit", "--html", filepath.Join(page, "report.html"))
	c.outputAll("page", readFolder(t, page))
	for _, format := range []string{"text", "json"} {
		if r := c.try("doctor, "+format, env, "doctor", "--format", format, "--results-ca-file", c.results.CAFile); r.code != 0 {
			t.Errorf("doctor: exit code %d\n%s", r.code, r.stdout)
		}
	}
	c.outputAll("bucket", c.readBucket())
	c.output("traces and metrics", traces.bytes())
}

// errors provokes what servers answer with names in it.
func (c *canaries) errors(t *testing.T) {
	c.t = t
	// The account that may nothing is named in the API server's answers, and so are namespaces in those of Tekton Results.
	namespace, account := c.namespaces[0], c.Name("the name of a service account")
	c.cluster.ServiceAccount(t, namespace, account)
	token := c.cluster.Token(t, namespace, account, time.Hour)
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := []string{
		"KUBECONFIG=" + c.cluster.Kubeconfig(t, token), "SA_TOKEN_PATH=" + tokenFile, "TEKTON_RESULTS_API_ADDR=" + c.results.URL, "CLUSTER_ID=" + c.sample.ID,
	}
	ca := "--results-ca-file=" + c.results.CAFile
	fails := func(place string, env []string, args ...string) {
		t.Helper()
		if r := c.try(place, env, args...); r.code == 0 {
			t.Errorf("%s ended well:\n%s%s", place, r.stdout, r.stderr)
		}
	}
	fails("extract without rights", nobody, "extract", "--strict", "--source", "kube", "--out", t.TempDir(), ca)
	c.try("inventory without rights", nobody, "extract", "--strict", "--source", "inventory", "--out", t.TempDir(), ca)
	for _, scheme := range []string{"https://", "grpcs://"} {
		address := "--results-address=" + scheme + strings.TrimPrefix(c.results.URL, "https://")
		fails("records without rights, "+scheme, nobody, "extract", "--strict", "--source", "results", "--out", t.TempDir(), ca, address)
		fails("records of one namespace, "+scheme, nobody, "extract", "--strict", "--source", "results", "--out", t.TempDir(), ca, address, "--results-namespace", c.namespaces[1])
	}
	fails("doctor without rights", append(nobody, c.loadEnv()...), "doctor", ca)

	// Saved objects lie in folders that are called like namespaces, and may be damaged.
	saved := t.TempDir()
	folder := filepath.Join(saved, "namespaces", c.namespaces[2], "tekton.dev", "pipelineruns")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, text := range c.inCluster {
		for name, content := range map[string][]byte{"whole": text, "half": text[:len(text)/2], "yaml": append([]byte("a: b: "), text...)} {
			extension := map[string]string{"yaml": ".yaml"}[name]
			if extension == "" {
				extension = ".json"
			}
			path := filepath.Join(folder, fmt.Sprintf("%s-%d%s", c.Names[i], i, name)+extension)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	spool := t.TempDir()
	c.try("damaged files", nil, "extract", "--source", "dir:"+saved, "--cluster-id", c.sample.ID, "--since", "2020-01-01", "--out", spool)
	c.outputAll("spool of damaged files", readFolder(t, spool))

	// MinIO repeats an unknown key, and the bucket's and the object's names.
	fails("bucket with a wrong key", append(c.loadEnv(), "AWS_ACCESS_KEY_ID="+c.Name("an access key")), "load")
	fails("bucket that is not there", append(c.loadEnv(), "SEGMENT_BRIDGE_STAGE="+strings.Replace(c.stage(), c.bucket.Name, "nothing-here", 1)), "load")

	// OpenTelemetry's exporters print variables that they cannot read, and what a collector answers.
	collector := httptest.NewServer(otlptest.New())
	defer collector.Close()
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_HEADERS=authorization ", "OTEL_EXPORTER_OTLP_TIMEOUT=", "OTEL_RESOURCE_ATTRIBUTES=", "A="} {
		r := c.try("with "+variable, append(c.loadEnv(), "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, variable+segmenttest.Canary), "load")
		if r.code != 0 || !strings.Contains(string(r.stderr), "observed") {
			t.Errorf("%s: exit code %d\n%s", variable, r.code, r.stderr)
		}
	}

	// The receiver's failing answers hold a canary of their own.
	for _, status := range []int{400, 401, 403, 404, 413, 418} {
		before := c.receiver.Report().Requests
		c.receiver.Inject(segmenttest.Fault{Status: status})
		stage := "SEGMENT_BRIDGE_STAGE=" + c.bucket.URL("by-hand")
		c.try(fmt.Sprint("delivery with ", status), append(c.loadEnv(), stage), "replay", "--since", "2020-01-01", "--force", "--destination", "segment", "--patience", "5s")
		if c.receiver.Report().Requests == before {
			t.Errorf("nothing was sent that %d could answer", status)
		}
	}
	c.outputAll("bucket after errors", c.readBucket())
	c.output("wire", c.wire.bytes())
}

// operator runs the operator beside it all, told of a job that left its messages, and reads what it shows.
func (c *canaries) operator(t *testing.T) {
	c.t = t
	o := &operatorSite{t: t, cluster: c.cluster, clock: &clock{}, traffic: &traffic{}}
	o.cluster.Define(t, "../deploy/crd/segment-bridge.dev_segmentbridges.yaml")
	o.cluster.Apply(t, "../deploy/operator/rbac.yaml")
	o.token = o.cluster.Token(t, "segment-bridge-operator", "segment-bridge-operator", time.Hour)
	p := o.run()
	o.putBridge(v1alpha1.New().Enable(true).SendWith("segment", "key").SendTo("https://segment.example.com/v1/batch"))
	o.await("the operator has decided", func() string {
		if b := o.bridge(); b == nil || len(b.Status.Conditions) < 3 {
			return "no conditions"
		}
		return ""
	})
	c.output("the operator's metrics", fetch(t, "http://"+p.metrics+"/metrics"))
	c.output("the operator's log", []byte(p.text()))
	status, err := json.Marshal(o.bridge().Status)
	if err != nil {
		t.Fatal(err)
	}
	c.output("the operator's status", status)
	events, err := o.resource("Event", "").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"CronJob", "ClusterRole", "NetworkPolicy"} {
		list, err := o.resource(kind, "").List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=segment-bridge"})
		if err != nil {
			t.Fatal(err)
		}
		events.Items = append(events.Items, list.Items...)
	}
	text, err := json.Marshal(unstructured.UnstructuredList{Items: events.Items})
	if err != nil {
		t.Fatal(err)
	}
	c.output("events and what the operator installs", text)
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A recorder keeps what comes in, headers and all, as it is and unpacked.
type recorder struct {
	next http.Handler
	mu   sync.Mutex
	seen bytes.Buffer
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	fmt.Fprintf(&r.seen, "%s %s\n%v\n%s\n", req.Method, req.URL, req.Header, body)
	if plain, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
		_, _ = io.Copy(&r.seen, plain)
	}
	r.mu.Unlock()
	req.Body = io.NopCloser(bytes.NewReader(body))
	r.next.ServeHTTP(w, req)
}

func (r *recorder) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.seen.Bytes())
}
