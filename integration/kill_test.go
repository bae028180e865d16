// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// shortLease keeps a process that is started again from waiting long for the dead one.
const shortLease = "--lease=1s"

// sampledKills is at how many moments a job is killed, spread over all there are.
const sampledKills = 10

// The program as a process that gets SIGKILL at one of its requests, before the
// server sees it or before the process sees the answer, and is started again.
// Package internal/crash does so at every point, without processes.
func TestKill(t *testing.T) {
	sample := samplecluster.New(samplecluster.Config{Seed: 5, Runs: 25})
	dir := t.TempDir()
	if err := sample.WriteDir(dir); err != nil {
		t.Fatal(err)
	}
	for name, containers := range map[string]bool{"one process": false, "three containers": true} {
		t.Run(name, func(t *testing.T) {
			points := newVictim(t, sample, dir, containers).finish().all
			for i := range sampledKills {
				point := (2*i + 1) * points / (2 * sampledKills)
				t.Run(strconv.Itoa(point), func(t *testing.T) {
					v := newVictim(t, sample, dir, containers)
					v.killAt = point
					v.finish()
				})
			}
			t.Logf("killed at %d of %d points", sampledKills, points)
		})
	}
}

// A victim is a site of which nothing but bucket and receiver is real, and proxies
// before these two.
type victim struct {
	*site
	dir, work, spool string
	containers       bool
	expected         map[string]event
	refused          string
	stageURL         string

	mu      sync.Mutex
	process *os.Process
	points  int // that were passed
	all     int // of the first job
	killAt  int // the point; negative means none
	// dead says that the process at hand was killed, killed that one was.
	dead, killed bool
	// What there was at the moment of the kill.
	taken   int
	objects []string
}

func newVictim(t *testing.T, sample *samplecluster.Cluster, dir string, containers bool) *victim {
	t.Helper()
	v := &victim{
		site: &site{t: t, sample: sample, bucket: world.MinIO(t), output: new(bytes.Buffer)},
		dir:  dir, work: t.TempDir(), spool: t.TempDir(), containers: containers, killAt: -1,
	}
	var objects [][]byte
	for o := range sample.Objects() {
		objects = append(objects, o.JSON)
	}
	for r := range sample.Records() {
		objects = append(objects, r.Object.JSON)
	}
	v.expected = v.oracle(sample.Now.Add(-4*time.Hour), sample.Now).expect(t, objects...)
	v.refused = slices.Min(slices.Collect(maps.Keys(v.expected)))
	v.receiver, v.address = startReceiver(t)
	v.receiver.Refuse(func(e segmenttest.Event) bool { return e.MessageID == v.refused })
	v.address = v.proxy(v.address)
	behind := *v.bucket
	behind.Endpoint = strings.TrimPrefix(v.proxy("http://"+v.bucket.Endpoint), "http://")
	v.stageURL = behind.URL("telemetry")
	return v
}

// proxy returns the address of a proxy before a server.
func (v *victim) proxy(address string) string {
	v.t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		v.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(*http.Response) error {
		v.pass()
		return nil
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.pass()
		proxy.ServeHTTP(w, r)
	}))
	v.t.Cleanup(server.Close)
	return server.URL
}

// pass is one point. It does not return when the process is dead.
func (v *victim) pass() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.killed && v.points == v.killAt {
		v.dead, v.killed = true, true
		if err := v.process.Kill(); err != nil {
			v.t.Error(err)
		}
		v.taken, v.objects = v.receiver.Report().Accepted, v.keys()
	}
	if v.dead {
		panic(http.ErrAbortHandler)
	}
	v.points++
}

// start runs a command until it ends or is killed, and reports whether it ended
// well.
func (v *victim) start(args ...string) bool {
	v.t.Helper()
	path, err := binary()
	if err != nil {
		v.t.Fatal(err)
	}
	cmd := exec.CommandContext(v.t.Context(), path, args...)
	cmd.Env = []string{
		"AWS_ACCESS_KEY_ID=" + v.bucket.AccessKey, "AWS_SECRET_ACCESS_KEY=" + v.bucket.SecretKey, "HOME=/nonexistent", "TMPDIR=" + v.work,
		"SEGMENT_BRIDGE_STAGE=" + v.stageURL, "SEGMENT_WRITE_KEY=" + writeKey, "SEGMENT_BATCH_API=" + v.address + "/v1/batch",
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	v.mu.Lock()
	v.dead = false
	err = cmd.Start()
	v.process = cmd.Process
	v.mu.Unlock()
	if err != nil {
		v.t.Fatal(err)
	}
	err = cmd.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil && !v.dead {
		v.t.Fatalf("%s: %v\n%s", args[0], err, &output)
	}
	return !v.dead
}

// finish runs the job until it is done, whatever happens to it, once more, and
// checks what there is then.
func (v *victim) finish() *victim {
	v.t.Helper()
	v.job(0)
	v.all = v.points
	requests := v.receiver.Report().Requests
	before := v.keys()
	if v.killAt >= 0 && !v.killed {
		v.t.Errorf("nothing was killed at point %d", v.killAt)
	}
	v.job(1)
	if after := v.receiver.Report().Requests; after != requests || !slices.Equal(v.keys(), before) {
		v.t.Errorf("a further run sent %d requests and left %v, before %v", after-requests, v.keys(), before)
	}
	v.check()
	return v
}

// job runs the job, and again when it was killed: each container for itself, or all
// a minute later.
func (v *victim) job(minute int) {
	v.t.Helper()
	now := v.sample.Now
	extract := func() []string {
		until := now.Add(time.Duration(minute) * time.Minute)
		return []string{
			"--source", "dir:" + v.dir, "--cluster-id", v.sample.ID,
			"--since", now.Add(-4 * time.Hour).Format(time.RFC3339), "--until", until.Format(time.RFC3339),
		}
	}
	if !v.containers {
		for ; !v.start(append([]string{"run", shortLease}, extract()...)...); minute++ {
		}
		return
	}
	for _, args := range [][]string{append([]string{"extract", "--out", v.spool}, extract()...), {"transform", "--in", v.spool}, {"load", shortLease}} {
		for !v.start(args...) {
		}
	}
}

// check checks that every event is in one batch, came to the receiver, and came
// twice only if the kill fell between that and the receipt.
func (v *victim) check() {
	v.t.Helper()
	staged := v.stagedCalls()
	received := map[string]bool{}
	for _, e := range v.receiver.Events() {
		received[e.MessageID] = true
	}
	heartbeats := 0
	for id := range staged {
		_, expected := v.expected[id]
		if strings.Contains(id, "-heartbeat-") {
			heartbeats++
		} else if !expected {
			v.t.Errorf("event %s is staged and was not expected", id)
		}
		if received[id] == (id == v.refused) {
			v.t.Errorf("event %s is staged and came to the receiver: %t", id, received[id])
		}
	}
	if len(staged) != len(v.expected)+heartbeats || heartbeats != 1 {
		v.t.Errorf("%d events are staged with %d heartbeats, want %d with 1", len(staged), heartbeats, len(v.expected)+1)
	}
	twice := 0
	if !slices.ContainsFunc(v.objects, func(key string) bool { return strings.Contains(key, "/receipts/") }) {
		twice = v.taken
	}
	if n := len(v.receiver.Duplicates()); n != twice {
		v.t.Errorf("%d events came twice, want %d", n, twice)
	}
	for _, key := range unnamed(v.keys()) {
		if !slices.Contains(unnamed(v.objects), key) {
			v.t.Errorf("%s belongs to nothing, and did not when the process was killed", key)
		}
	}
}

// unnamed returns the data files among keys that have no manifest.
func unnamed(keys []string) []string {
	batch := func(key string) string {
		name := key[strings.LastIndexByte(key, '/')+1:]
		return name[:strings.IndexByte(name, '.')]
	}
	committed := map[string]bool{}
	for _, key := range keys {
		if strings.Contains(key, "/manifests/") {
			committed[batch(key)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		return !strings.Contains(key, "/events/") || committed[batch(key)]
	})
}
