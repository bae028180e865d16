// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

var update = flag.Bool("update", false, "write the golden files")

var since, until = stagetest.Noon.Add(-4 * time.Hour), stagetest.Noon.Add(time.Hour)

func collect(seq iter.Seq2[*telemetry.Event, error]) []*telemetry.Event {
	var events []*telemetry.Event
	for e, err := range seq {
		if err != nil {
			panic(err)
		}
		events = append(events, e)
	}
	return events
}

// content returns every object of a bucket.
func content(t testing.TB, b stage.Bucket) map[string]string {
	t.Helper()
	all := map[string]string{}
	keys, err := stagetest.Keys(t.Context(), b, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		o, err := b.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, o.Size())
		if _, err := o.ReadAt(text, 0); err != nil && o.Size() > 0 {
			t.Fatal(err)
		}
		all[key] = string(text)
	}
	return all
}

// Neither the order of the events, nor repeated ones, nor the memory for sorting
// leave a trace in the batch.
func TestSameInputSameBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var want map[string]string
	for _, memory := range []int{0, 1 << 20, 20_000} {
		for repeat := range 3 {
			events := collect(stagetest.Runs(300, stagetest.Noon, time.Second))
			for range 100 * repeat {
				events = append(events, events[random.IntN(600)])
			}
			random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			b := new(mem.Bucket)
			dir := t.TempDir()
			l := stage.NewLedger(b, stage.Options{Plan: catalogue.Plan(), Library: stagetest.Library, WorkDir: dir, MemoryBytes: memory})
			staged, err := l.Stage(t.Context(), stagetest.Report(since, until), stagetest.Of(events...))
			if err != nil || staged.Events != 600 || staged.Duplicates != int64(100*repeat) {
				t.Fatalf("staged %+v, %v", staged, err)
			}
			got := content(t, b)
			if want == nil {
				want = got
			}
			for key := range want {
				if got[key] != want[key] {
					t.Errorf("memory %d, repeat %d: %s is missing or differs", memory, repeat, key)
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("temporary files are left: %v, %v", left, err)
			}
		}
	}
}

// Of two copies the finished one counts, in whichever order they come.
func TestCopyWithTheMostTasksWins(t *testing.T) {
	running, _ := stagetest.Run(1, stagetest.Noon, 3)
	done, _ := stagetest.Run(1, stagetest.Noon, 11)
	for _, events := range [][]*telemetry.Event{{running, done}, {done, running}, {done, running, done}} {
		l := stagetest.NewLedger(t, new(mem.Bucket))
		staged, err := l.Stage(t.Context(), stagetest.Report(since, until), stagetest.Of(events...))
		if err != nil {
			t.Fatal(err)
		}
		for track, err := range l.Tracks(t.Context(), staged.Manifest) {
			if err != nil || !bytes.Contains(track.Payload, []byte(`"taskCount":11,`)) {
				t.Errorf("staged %s, %v", track.Payload, err)
			}
		}
	}
}

// The counts of an event that was staged before and comes in several copies.
func TestCountsAddUp(t *testing.T) {
	l := stagetest.NewLedger(t, new(mem.Bucket))
	old, fresh := collect(stagetest.Runs(2, stagetest.Noon, time.Second))[0], collect(stagetest.Runs(2, stagetest.Noon, time.Second))[2]
	if _, err := l.Stage(t.Context(), stagetest.Report(since, until), stagetest.Of(old)); err != nil {
		t.Fatal(err)
	}
	bad := *fresh
	bad.MessageID = "no suffix"
	staged, err := l.Stage(t.Context(), stagetest.Report(since, until), stagetest.Of(old, fresh, &bad, old, fresh, fresh))
	if err != nil || staged.Events != 1 || staged.AlreadyStaged != 1 || staged.Duplicates != 3 || staged.Rejected != 1 {
		t.Errorf("staged %+v, %v", staged, err)
	}
}

func TestViolationsAreCountedAndNotStaged(t *testing.T) {
	good, _ := stagetest.Run(1, stagetest.Noon, 1)
	change := func(change func(*telemetry.Event)) *telemetry.Event {
		e, _ := stagetest.Run(2, stagetest.Noon, 1)
		change(e)
		return e
	}
	other, err := telemetry.NewPseudonymizer("another cluster")
	if err != nil {
		t.Fatal(err)
	}
	bad := []*telemetry.Event{
		change(func(e *telemetry.Event) { e.Name = "A Name That Is Secret" }),
		change(func(e *telemetry.Event) { e.Properties = e.Properties[1:] }),
		change(func(e *telemetry.Event) { e.Properties = e.Properties[1:] }),
		change(func(e *telemetry.Event) { e.Properties[2].Value = telemetry.IntegerValue(-1) }),
		change(func(e *telemetry.Event) { e.Cluster = other.Cluster() }),
		change(func(e *telemetry.Event) { e.Time = time.Time{} }),
	}
	var log bytes.Buffer
	b := new(mem.Bucket)
	l := stage.NewLedger(b, stage.Options{Plan: catalogue.Plan(), Library: stagetest.Library, WorkDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	staged, err := l.Stage(t.Context(), stagetest.Report(since, until), stagetest.Of(bad...))
	if err != nil || staged.Manifest != nil || staged.Rejected != 6 || len(content(t, b)) > 0 {
		t.Errorf("only violations: %+v, %v", staged, err)
	}
	staged, err = l.Stage(t.Context(), stagetest.Report(since, until), stagetest.Of(append(bad, good)...))
	if err != nil || staged.Rejected != 6 || staged.Events != 1 {
		t.Fatalf("staged %+v, %v", staged, err)
	}
	counts := map[string]int64{}
	for _, v := range staged.Manifest.Violations {
		counts[v.Property] += v.Count
	}
	if counts[catalogue.NamespaceHash] != 2 || counts[catalogue.TaskCount] != 1 || counts[""] != 3 || len(staged.Manifest.Violations) != 5 {
		t.Errorf("violations %+v", staged.Manifest.Violations)
	}
	if strings.Contains(log.String(), "Secret") || strings.Contains(fmt.Sprint(content(t, b)), "Secret") || !strings.Contains(log.String(), "not staged") {
		t.Errorf("log:\n%s", log.String())
	}
}

func TestNothingNewWritesNothing(t *testing.T) {
	puts := 0
	b := &stagetest.Faulty{Bucket: new(mem.Bucket), Fault: func(op, _ string) stagetest.Fault {
		if op == "put" {
			puts++
		}
		return stagetest.None
	}}
	l := stagetest.NewLedger(t, b)
	for range 2 {
		if staged, err := l.Stage(t.Context(), stagetest.Report(since, until), stagetest.Of()); err != nil || staged.Manifest != nil {
			t.Errorf("staged %+v, %v", staged, err)
		}
	}
	if puts != 0 {
		t.Errorf("%d writes", puts)
	}
}

func TestStageRefuses(t *testing.T) {
	l := stagetest.NewLedger(t, new(mem.Bucket))
	events := stagetest.Runs(1, stagetest.Noon, time.Second)
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		ledger *stage.Ledger
		report record.Report
		events iter.Seq2[*telemetry.Event, error]
	}{
		"no cluster":       {l, record.Report{Window: record.Window{Since: since, Until: until}}, events},
		"an empty window":  {l, stagetest.Report(until, until), events},
		"parts of seconds": {l, stagetest.Report(since, until.Add(time.Millisecond)), events},
		"no plan":          {stage.NewLedger(new(mem.Bucket), stage.Options{}), stagetest.Report(since, until), events},
		"no work folder": {
			stage.NewLedger(new(mem.Bucket), stage.Options{Plan: catalogue.Plan(), WorkDir: "/nowhere"}), stagetest.Report(since, until), events,
		},
		"events that end in an error": {l, stagetest.Report(since, until), func(yield func(*telemetry.Event, error) bool) {
			started, _ := stagetest.Run(1, stagetest.Noon, 1)
			_ = yield(started, nil) && yield(nil, broken)
		}},
	} {
		staged, err := test.ledger.Stage(t.Context(), test.report, test.events)
		if err == nil || staged.Manifest != nil {
			t.Errorf("%s: %+v, %v", name, staged, err)
		}
	}
	for b, err := range l.Batches(t.Context(), stage.Range{}) {
		t.Errorf("batch %v was committed, %v", b, err)
	}
}

// The documents are a contract: their golden text shows every change.
func TestGoldenDocuments(t *testing.T) {
	b := new(mem.Bucket)
	l := stagetest.NewLedger(t, b)
	started, completed := stagetest.Run(1, stagetest.Noon, 5)
	bad := *started
	bad.Time = time.Time{}
	installed := stagetest.Installed("install", stagetest.Noon)
	staged, err := l.Stage(t.Context(), stagetest.Report(since, until), stagetest.Of(started, completed, installed, stagetest.Heartbeat(stagetest.Noon), &bad))
	if err != nil {
		t.Fatal(err)
	}
	m := staged.Manifest
	file, err := l.Reject(t.Context(), "segment", m, []stage.Rejection{{MessageID: started.MessageID, Reason: "HTTP 400"}})
	if err != nil {
		t.Fatal(err)
	}
	r := &stage.Receipt{
		Destination: "segment", Cluster: m.Cluster, Batch: m.Batch, Started: until, Finished: until.Add(time.Second),
		Events: 4, Delivered: 3, Rejected: 1, Reasons: map[string]int64{"HTTP 400": 1}, Rejections: file,
	}
	if err := l.PutReceipt(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	// What hangs on the plan and on the compression is not the subject here.
	zeros := strings.Repeat("0", 64)
	hide := strings.NewReplacer(
		m.Files[0].SHA256, zeros, m.Files[0].SHA256[:16], zeros[:16], file.SHA256, zeros, file.SHA256[:16], zeros[:16],
		m.Plan.Hash, zeros[:16], fmt.Sprintf(`"size": %d`, m.Files[0].Size), `"size": 9000`, fmt.Sprintf(`"size": %d`, file.Size), `"size": 9000`,
	)
	for key, text := range content(t, b) {
		text = hide.Replace(text)
		var golden string
		switch {
		case strings.HasPrefix(key, "v1/manifests/"):
			golden = "testdata/manifest.json"
		case strings.HasPrefix(key, "v1/receipts/"):
			golden = "testdata/receipt.json"
		default:
			continue
		}
		if *update {
			if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || text != string(want) {
			t.Errorf("%s has changed (%v): run the test with -update if that is meant:\n%s", golden, err, text)
		}
	}
}

func BenchmarkStage(b *testing.B) {
	events := collect(stagetest.Runs(50_000, stagetest.Noon, time.Second/10))
	end := stagetest.Noon.Add(10 * time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		staged, err := stagetest.NewLedger(b, new(mem.Bucket)).Stage(b.Context(), stagetest.Report(since, end), stagetest.Of(events...))
		if err != nil || staged.Events != 100_000 {
			b.Fatal(staged, err)
		}
	}
	b.ReportMetric(float64(len(events)*b.N)/b.Elapsed().Seconds(), "events/s")
}
