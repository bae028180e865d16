// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/segment-bridge/segment-bridge/extract/results"
	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const (
	backfillRuns   = 20_000
	backfillShards = 8
	backfillSeed   = 8
	// backfillPods are at work at the same time.
	backfillPods = 4
)

// Shards that are processes of their own, killed at the worst of moments among them, leave the objects in the bucket that
// one process leaves which reads slice after slice: the same keys, the same bytes. Each event is in one of them, and several
// loaders deliver each once.
func TestBackfill(t *testing.T) {
	if _, err := binary(); err != nil { // which takes time the first time
		t.Fatal(err)
	}
	b := newBackfill(t)
	alone, sharded := b.site(), b.site()

	began := time.Now()
	r := alone.mustRun(append(alone.bucketEnv(), b.env...), append([]string{"run", "--strict"}, b.flags()...)...)
	t.Logf("one process took %s and read %d records of %d", time.Since(began).Round(time.Millisecond), r.summary.Sources[0].Objects, backfillRuns)
	if r.summary.Staged.Events != int64(len(b.expected))+backfillShards || r.summary.Staged.AlreadyStaged+r.summary.Staged.Duplicates != 0 {
		t.Errorf("staged %+v, want %d events and a heartbeat for each slice", r.summary.Staged, len(b.expected))
	}

	began = time.Now()
	read := b.shards(sharded)
	t.Logf("%d shards, %d at a time, took %s and read %d records in all, %.1f times what there is",
		backfillShards, backfillPods, time.Since(began).Round(time.Millisecond), read, float64(read)/backfillRuns)
	if read != b.read || read != r.summary.Sources[0].Objects {
		t.Errorf("the shards read %d records and one process %d, want %d: from the latest down to their slices", read, r.summary.Sources[0].Objects, b.read)
	}

	want, got := alone.rawBucket(), sharded.rawBucket()
	size := 0
	for _, content := range want {
		size += len(content)
	}
	t.Logf("the stage has %d objects and %.1f bytes an event", len(want), float64(size)/float64(len(b.expected)))
	if len(want) != 2*backfillShards+1 { // with store.json
		t.Errorf("one process left %q", slices.Sorted(maps.Keys(want)))
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !bytes.Equal(got[key], want[key]) {
			t.Errorf("%s differs: %d bytes, want %d\n%.3000s\n%.3000s", key, len(got[key]), len(want[key]), got[key], want[key])
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("the shards left more: %q", slices.Sorted(maps.Keys(got)))
	}

	b.askScaleDocs(alone, want)

	began = time.Now()
	var loaders sync.WaitGroup
	for range 3 {
		l := sharded.beside()
		loaders.Go(func() { l.mustRun(l.loadEnv(), "load", "--rate=0") })
	}
	loaders.Wait()
	t.Logf("3 loaders delivered %d events in %s", sharded.receiver.Report().Accepted, time.Since(began).Round(time.Millisecond))
	var slices []oracle
	for i := range backfillShards {
		slice := b.window.Slice(i, backfillShards)
		slices = append(slices, sharded.oracle(slice.Since, slice.Until))
	}
	sharded.checkReceived(b.expected, slices...)

	// To read a slice again changes nothing.
	before := sharded.rawBucket()
	if r := sharded.mustRun(append(sharded.bucketEnv(), b.env...), append([]string{"run", "--strict", "--shard-index=2"}, b.flags()...)...); r.summary.Staged.Events != 0 {
		t.Errorf("staged again: %+v", r.summary.Staged)
	}
	if after := sharded.rawBucket(); !maps.EqualFunc(after, before, bytes.Equal) {
		t.Errorf("read again it left %d objects, before %d, or others", len(after), len(before))
	}
	// Of so many names, some.
	few := sharded.beside()
	few.sample, few.output = samplecluster.New(samplecluster.Config{Seed: backfillSeed, Runs: 50}), sharded.output
	few.checkNoNames()
}

// askScaleDocs asks the stage in the folder what docs/scale.md asks with DuckDB.
func (b *backfill) askScaleDocs(s *site, contents map[string][]byte) {
	b.t.Helper()
	folder := b.t.TempDir()
	for key, content := range contents {
		path := filepath.Join(folder, filepath.FromSlash(strings.TrimPrefix(key, "telemetry/")))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			b.t.Fatal(err)
		}
	}
	page, err := os.ReadFile("../docs/scale.md")
	if err != nil {
		b.t.Fatal(err)
	}
	_, query, found := strings.Cut(string(page), "```sql\n-- DuckDB")
	if !found {
		b.t.Fatal("docs/scale.md has no query for DuckDB")
	}
	query, _, _ = strings.Cut(query, "```")
	rows := queryDuckDB(b.t, "SET VARIABLE stage = '"+folder+"';\n-- "+query)[0]
	total := 0.0
	for _, row := range rows {
		events, _ := row["events"].(float64)
		total += events
		if row["cluster"] != s.oracle(b.window.Since, b.window.Until).hash() {
			b.t.Errorf("unexpected row %v", row)
		}
	}
	if want := len(b.expected) + backfillShards; int(total) != want {
		b.t.Errorf("DuckDB finds %v events, want %d", total, want)
	}
}

// A backfill is an archive with a past, and a window of it that is to be read.
type backfill struct {
	t        *testing.T
	sample   *samplecluster.Cluster
	results  *world.ResultsServer
	window   record.Window
	env      []string
	expected map[string]event
	read     int64 // the records that all slices together have to look at
}

func newBackfill(t *testing.T) *backfill {
	t.Helper()
	sample := samplecluster.New(samplecluster.Config{Seed: backfillSeed, Runs: backfillRuns * 12 / 10})
	b := &backfill{t: t, sample: sample, results: world.Results(t, world.Postgres(t), world.ResultsOptions{PartialResponse: true})}
	b.env = []string{"TEKTON_RESULTS_API_ADDR=" + b.results.URL, "CLUSTER_ID=" + sample.ID}
	var (
		planted []world.Planted
		objects [][]byte
		first   = sample.Now
	)
	for run := range sample.Runs() {
		if run.Completed.After(sample.Now) || len(planted) == backfillRuns {
			continue
		}
		p := world.Planted{Object: run.Lean(), Created: run.Started.Add(time.Second), Updated: run.Completed.Add(2 * time.Second)}
		if later := p.Updated.AddDate(0, 0, 2); len(planted)%10 == 0 && later.Before(sample.Now) {
			p.Updated = later // pruned after two days, and written once more
		}
		planted, objects = append(planted, p), append(objects, p.Object)
		if run.Started.Before(first) {
			first = run.Started
		}
	}
	if err := b.results.Plant(t.Context(), planted...); err != nil {
		t.Fatal(err)
	}
	// Not all that there is, and bounds that are no multiples of anything.
	b.window = record.Window{Since: first.Add(3 * time.Hour), Until: sample.Now.Add(-2*time.Hour + 7*time.Second)}
	for i := range backfillShards {
		since := b.window.Slice(i, backfillShards).Since.Add(-results.DefaultSlack)
		for _, p := range planted {
			if !p.Updated.Before(since) {
				b.read++
			}
		}
	}
	b.expected = oracle{clusterID: sample.ID, since: b.window.Since, until: b.window.Until}.expect(t, objects...)
	t.Logf("%d runs in %s, %d events", len(planted), sample.Now.Sub(first).Round(time.Hour), len(b.expected))
	if len(planted) != backfillRuns || len(b.expected) < backfillRuns {
		t.Fatalf("the archive has %d runs and the window %d events", len(planted), len(b.expected))
	}
	return b
}

// site returns a bucket and a receiver for the archive.
func (b *backfill) site() *site {
	s := &site{t: b.t, sample: b.sample, results: b.results, bucket: world.MinIO(b.t), output: new(bytes.Buffer)}
	s.sample.KonfluxVersion, s.sample.KubernetesVersion = "", ""
	s.receiver, s.address = startReceiver(b.t)
	return s
}

// rawBucket returns every object as it is.
func (s *site) rawBucket() map[string][]byte {
	s.t.Helper()
	contents := map[string][]byte{}
	for _, key := range s.keys() {
		object, err := s.bucket.Client.GetObject(s.t.Context(), s.bucket.Name, key, minio.GetObjectOptions{})
		if err == nil {
			contents[key], err = io.ReadAll(object)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return contents
}

// beside returns a site for another goroutine.
func (s *site) beside() *site {
	other := *s
	other.output = new(bytes.Buffer)
	return &other
}

func (b *backfill) flags() []string {
	return []string{
		"--source=results", "--since=" + b.window.Since.Format(time.RFC3339), "--until=" + b.window.Until.Format(time.RFC3339),
		fmt.Sprintf("--shards=%d", backfillShards),
	}
}

// shards runs each slice as a pod does, several at the same time, and returns how many records they read. One is killed
// while it reads, one between data and manifest, and one after its manifest; each is started again.
func (b *backfill) shards(s *site) (read int64) {
	b.t.Helper()
	var (
		mu   sync.Mutex
		pods sync.WaitGroup
		free = make(chan struct{}, backfillPods)
	)
	for i := range backfillShards {
		pods.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			pod := &shard{site: s.beside(), index: i, spool: b.t.TempDir(), env: b.env, kill: i%2 == 1 && i < 6}
			bucket := *s.bucket
			pod.bucket = &bucket
			switch address := "http://" + bucket.Endpoint; i {
			case 1:
				pod.env = append(slices.Clone(b.env), "TEKTON_RESULTS_API_ADDR="+pod.proxy(b.results.URL, "page_token=", true))
			case 3:
				bucket.Endpoint = strings.TrimPrefix(pod.proxy(address, "/v1/manifests/", true), "http://")
			case 5:
				bucket.Endpoint = strings.TrimPrefix(pod.proxy(address, "/v1/manifests/", false), "http://")
			}
			n := pod.run(b)
			mu.Lock()
			defer mu.Unlock()
			read += n
		})
	}
	pods.Wait()
	return read
}

// A shard is a pod of the Indexed Job: two processes and what they share.
type shard struct {
	*site
	index int
	spool string
	env   []string // of extract
	kill  bool     // it is to be killed once

	mu      sync.Mutex
	process *os.Process
	killed  bool
}

// proxy returns the address of a proxy before a server, which kills the process once: at its first request that writes to a
// path, or reads with a query, that contains part, before the server sees it or before the process sees the answer.
func (p *shard) proxy(address, part string, before bool) string {
	target, err := url.Parse(address)
	if err != nil {
		p.t.Error(err)
		return address
	}
	matches := func(r *http.Request) bool {
		return strings.Contains(r.URL.RawQuery, part) || r.Method == http.MethodPut && strings.Contains(r.URL.Path, part)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if matches(r.Request) {
			p.die()
		}
		return nil
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before && matches(r) {
			p.die()
		}
		proxy.ServeHTTP(w, r)
	}))
	p.t.Cleanup(server.Close)
	return server.URL
}

// die kills the process, once, and does not return then.
func (p *shard) die() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return
	}
	p.killed = true
	if err := p.process.Kill(); err != nil {
		p.t.Error(err)
	}
	panic(http.ErrAbortHandler)
}

// run runs the pod, and once more when one of its processes was killed. It returns how many records it read in the end.
func (p *shard) run(b *backfill) (read int64) {
	index := "JOB_COMPLETION_INDEX=" + strconv.Itoa(p.index)
	for range 2 {
		if err := os.RemoveAll(p.spool); err != nil { // a pod has one of its own
			p.t.Error(err)
		}
		extracted, ok := p.start(slices.Concat(p.env, []string{index}), append([]string{"extract", "--strict", "--out=" + p.spool}, b.flags()...)...)
		if !ok {
			continue
		}
		read = extracted.summary.Sources[0].Objects
		if _, ok := p.start(append(p.bucketEnv(), index), "transform", "--in="+p.spool); ok {
			break
		}
	}
	if p.kill != p.killed {
		p.t.Errorf("shard %d was not killed", p.index)
	}
	return read
}

// start runs a process, and reports whether it ended well; if it was not killed it has to.
func (p *shard) start(env []string, args ...string) (r result, ok bool) {
	path, err := binary()
	if err != nil {
		p.t.Error(err)
		return r, false
	}
	cmd := exec.CommandContext(p.t.Context(), path, args...)
	cmd.Env = append(slices.Clone(env), "HOME=/nonexistent", "TMPDIR="+os.TempDir())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	p.mu.Lock()
	err = cmd.Start()
	p.process = cmd.Process
	before := p.killed
	p.mu.Unlock()
	if err == nil {
		err = cmd.Wait()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.killed == before {
		p.t.Errorf("shard %d, %s: %v\n%s%s", p.index, args[0], err, &stdout, &stderr)
	}
	if err == nil {
		if err := json.Unmarshal(stdout.Bytes(), &r.summary); err != nil {
			p.t.Errorf("the summary is not JSON: %v", err)
		}
	}
	return r, err == nil
}
