// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// What several clusters have staged while nobody delivered.
const (
	backlogClusters = 4
	backlogHours    = 60
	backlogEvents   = 20 // of a batch
)

// A pool is loaders of one stage, each a process with an address of its own for the
// one receiver.
type pool struct {
	t        *testing.T
	bucket   *world.Bucket
	ledger   *stage.Ledger
	receiver *segmenttest.Receiver
}

func newPool(t *testing.T) *pool {
	t.Helper()
	if _, err := binary(); err != nil { // which takes time the first time
		t.Fatal(err)
	}
	p := &pool{t: t, bucket: world.MinIO(t), receiver: newReceiver(t)}
	b := openBucket(t, p.bucket)
	p.ledger = stagetest.NewLedger(t, b)
	backlog(t, b)
	return p
}

// backlog stages batches in memory, which takes no time, and copies them.
func backlog(t *testing.T, to stage.Bucket) {
	t.Helper()
	from := new(mem.Bucket)
	ledger := stagetest.NewLedger(t, from)
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for c := range backlogClusters {
		names, err := telemetry.NewPseudonymizer(fmt.Sprint("cluster ", c))
		if err != nil {
			t.Fatal(err)
		}
		for hour := range backlogHours {
			window := record.Window{Since: start.Add(time.Duration(hour) * time.Hour), Until: start.Add(time.Duration(hour+1) * time.Hour)}
			report := record.Report{
				Cluster: names.Cluster(), Window: window, Scheme: telemetry.SchemeSHA256,
				Sources: []record.SourceReport{{Name: record.SourceNamespaces, Outcome: record.OutcomeOK}},
			}
			events := func(yield func(*telemetry.Event, error) bool) {
				for i := range backlogEvents {
					e := telemetry.Event{
						Name: catalogue.NamespaceCreated, MessageID: fmt.Sprintf("%d-%02d-%02d-namespace-created", c, hour, i),
						Time: window.Since.Add(time.Duration(i) * time.Minute), Cluster: names.Cluster(),
						Properties: []telemetry.Property{
							{Name: catalogue.NamespaceHash, Value: telemetry.PseudonymValue(names.Namespace(fmt.Append(nil, i)))},
							{Name: catalogue.ClusterIDHash, Value: telemetry.PseudonymValue(names.Cluster())},
						},
					}
					if !yield(&e, nil) {
						return
					}
				}
			}
			if staged, err := ledger.Stage(t.Context(), report, events); err != nil || staged.Events != backlogEvents {
				t.Fatalf("staged %+v, %v", staged, err)
			}
		}
	}
	var copies sync.WaitGroup
	slots := make(chan struct{}, 16)
	for info, err := range from.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		slots <- struct{}{}
		copies.Go(func() {
			defer func() { <-slots }()
			object, err := from.Open(t.Context(), info.Key)
			if err == nil {
				_, err = to.Put(t.Context(), info.Key, io.NewSectionReader(object, 0, object.Size()), stage.Condition{IfAbsent: true})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	copies.Wait()
}

// A poolLoader is one process.
type poolLoader struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}

	mu       sync.Mutex
	requests int
}

// start starts a loader. The receiver takes its requests as they come; after, unless
// nil, is told of each, by its number, before the loader is.
func (p *pool) start(after func(l *poolLoader, n int, body []byte), args ...string) *poolLoader {
	p.t.Helper()
	path, err := binary()
	if err != nil {
		p.t.Fatal(err)
	}
	l := &poolLoader{ended: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		p.receiver.ServeHTTP(answer, r)
		time.Sleep(20 * time.Millisecond) // as far away as Segment
		l.mu.Lock()
		l.requests++
		n := l.requests
		l.mu.Unlock()
		if after != nil {
			after(l, n, body)
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the process may be dead
	}))
	p.t.Cleanup(server.Close)
	l.cmd = exec.CommandContext(p.t.Context(), path, append([]string{"load", "--rate", "0"}, args...)...)
	l.cmd.Env = []string{
		"AWS_ACCESS_KEY_ID=" + p.bucket.AccessKey, "AWS_SECRET_ACCESS_KEY=" + p.bucket.SecretKey, "HOME=/nonexistent", "TMPDIR=" + p.t.TempDir(),
		"SEGMENT_BRIDGE_STAGE=" + p.bucket.URL("a/prefix"), "SEGMENT_WRITE_KEY=" + writeKey, "SEGMENT_BATCH_API=" + server.URL + "/v1/batch",
	}
	l.cmd.Stdout, l.cmd.Stderr = &l.output, &l.output
	if err := l.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = l.cmd.Wait() // the state tells
		close(l.ended)
	}()
	return l
}

func (l *poolLoader) sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

// summary waits for the end and returns what the loader says.
func (p *pool) summary(l *poolLoader) (s load.Summary) {
	p.t.Helper()
	select {
	case <-l.ended:
	case <-time.After(2 * time.Minute):
		p.t.Fatal("a loader does not come to its end")
	}
	if code := l.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("exit code %d\n%s", code, &l.output)
	}
	for line := range bytes.Lines(l.output.Bytes()) {
		if bytes.HasPrefix(line, []byte(`{"command":`)) {
			var said struct{ Destinations []load.Summary }
			if err := json.Unmarshal(line, &said); err != nil || len(said.Destinations) != 1 {
				p.t.Fatalf("%v\n%s", err, line)
			}
			return said.Destinations[0]
		}
	}
	p.t.Fatalf("no summary\n%s", &l.output)
	return s
}

// check checks that every event arrived, that all have receipts that say so, and
// returns the IDs of events that arrived again.
func (p *pool) check() []string {
	p.t.Helper()
	report := p.receiver.Report()
	if want := backlogClusters * backlogHours * backlogEvents; len(p.receiver.Events()) != want || len(report.Violations)+len(report.Drops)+len(report.Refusals) > 0 {
		p.t.Errorf("%d events are to arrive: %+v", want, report)
	}
	batches := 0
	for b, err := range p.ledger.Batches(p.t.Context(), stage.Range{}) {
		if err != nil {
			p.t.Fatal(err)
		}
		batches++
		if r, err := p.ledger.Receipt(p.t.Context(), "segment", b); err != nil || r.Delivered != backlogEvents || r.Rejected != 0 {
			p.t.Errorf("receipt %+v, %v", r, err)
		}
	}
	receipts := 0
	for info := range p.bucket.Client.ListObjects(p.t.Context(), p.bucket.Name, minio.ListObjectsOptions{Prefix: "a/prefix/v1/receipts/", Recursive: true}) {
		if info.Err != nil {
			p.t.Fatal(info.Err)
		}
		receipts++
	}
	if want := backlogClusters * backlogHours; batches != want || receipts != want {
		p.t.Errorf("%d batches and %d receipts, want %d", batches, receipts, want)
	}
	var again []string
	for _, e := range p.receiver.Duplicates() {
		again = append(again, e.MessageID)
	}
	return again
}

// Loaders at the same time deliver every event once.
func TestLoadersShareABacklog(t *testing.T) {
	p := newPool(t)
	all := make([]*poolLoader, 4)
	began := time.Now()
	for i := range all {
		all[i] = p.start(nil)
	}
	var total int64
	for i, l := range all {
		s := p.summary(l)
		total += int64(s.Batches)
		t.Logf("loader %d delivered %d batches with %d requests", i, s.Batches, s.Requests)
		if s.Batches == 0 {
			t.Errorf("loader %d had nothing to do", i)
		}
	}
	t.Logf("%d batches in %.1f s", total, time.Since(began).Seconds())
	if again := p.check(); len(again) > 0 || total != backlogClusters*backlogHours {
		t.Errorf("%d batches were delivered, %d events again", total, len(again))
	}
}

// One loader is killed, and one is stopped for longer than its lease, each when the
// receiver has taken a batch and the loader does not know. The others do what is left,
// and deliver these two batches again; the one that wakes up does nothing more.
func TestLoadersThatDieOrSleep(t *testing.T) {
	p := newPool(t)
	const when = 5
	var mu sync.Mutex
	var onTheirWay []byte
	strike := func(sig syscall.Signal, struck chan<- struct{}) func(*poolLoader, int, []byte) {
		return func(l *poolLoader, n int, body []byte) {
			if n != when {
				return
			}
			mu.Lock()
			onTheirWay = append(onTheirWay, body...)
			mu.Unlock()
			if err := l.cmd.Process.Signal(sig); err != nil {
				t.Error(err)
			}
			for sig == syscall.SIGSTOP && !isStopped(l.cmd.Process.Pid) {
				time.Sleep(time.Millisecond)
			}
			close(struck)
		}
	}
	const lease = "--lease=8s"
	killed, stopped := make(chan struct{}), make(chan struct{})
	dead := p.start(strike(syscall.SIGKILL, killed), lease)
	sleeping := p.start(strike(syscall.SIGSTOP, stopped), lease)
	t.Cleanup(func() { _ = sleeping.cmd.Process.Kill() })
	<-killed
	<-stopped
	<-dead.ended
	began := time.Now()
	others := []*poolLoader{p.start(nil, lease), p.start(nil, lease)}
	total := 2 * (when - 1)
	for i, l := range others {
		s := p.summary(l)
		total += s.Batches
		t.Logf("loader %d delivered %d batches", i, s.Batches)
	}
	t.Logf("they took %.1f s", time.Since(began).Seconds())
	again := p.check()
	if err := sleeping.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if s := p.summary(sleeping); s.Batches != when-1 || sleeping.sent() != when {
		t.Errorf("the loader that slept delivered %+v, with %d requests", s, sleeping.sent())
	}
	if total != backlogClusters*backlogHours || len(again) != 2*backlogEvents {
		t.Errorf("%d batches were delivered, %d events again", total, len(again))
	}
	for _, id := range again {
		if !bytes.Contains(onTheirWay, []byte(id)) {
			t.Errorf("event %s was delivered again, and was not on its way", id)
		}
	}
	if later := p.check(); !slices.Equal(later, again) {
		t.Errorf("%d events were delivered again after the loader woke up", len(later)-len(again))
	}
}

// isStopped reports whether the kernel has stopped the process.
func isStopped(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	return err == nil && strings.HasPrefix(rest, "T")
}
