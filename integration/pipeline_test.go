// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/open"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// The hourly job as three processes, each with the credentials of its container
// alone: what comes in at the API server and at Tekton Results comes out at the
// receiver, exactly, once, and as it was staged.
func TestPipeline(t *testing.T) {
	s := newSite(t, samplecluster.Config{Seed: 1}, world.ResultsOptions{PartialResponse: true})
	now := s.sample.Now
	late := s.startedBeforeTheWindow()
	first := s.oracle(now.Add(-4*time.Hour), now)
	expected := first.expect(t, s.objects...)
	if len(expected) < 50 {
		t.Fatalf("the sample has only %d events in the window", len(expected))
	}
	dir := t.TempDir()

	extracted := s.mustRun(s.extractEnv(), s.extractArgs(dir, now)...)
	for _, source := range extracted.summary.Sources {
		if source.Outcome != "ok" || source.Objects == 0 {
			t.Errorf("source %s: outcome %s, %d objects", source.Name, source.Outcome, source.Objects)
		}
	}
	staged := s.mustRun(s.bucketEnv(), "transform", "--in", dir)
	if want := int64(len(expected) + 1); staged.summary.Staged.Events != want || staged.summary.Staged.Rejected != 0 {
		t.Errorf("staged %+v, want %d events", staged.summary.Staged, want)
	}
	printed := s.dryRun()
	loaded := s.mustRun(s.loadEnv(), "load")
	if d := loaded.summary.Destinations; len(d) != 1 || d[0].Delivered != int64(len(expected)+1) {
		t.Errorf("loaded %+v, want %d events delivered", d, len(expected)+1)
	}
	s.checkReceived(expected, first)
	s.checkSame(printed)

	t.Run("a second run right after stages and sends nothing", func(t *testing.T) {
		requests := s.receiver.Report().Requests
		s.mustRun(s.extractEnv(), s.extractArgs(dir, now.Add(time.Minute))...)
		if staged := s.mustRun(s.bucketEnv(), "transform", "--in", dir).summary.Staged; staged.Events != 0 || staged.Batch != "" {
			t.Errorf("staged %+v", staged)
		}
		if d := s.mustRun(s.loadEnv(), "load").summary.Destinations[0]; d.Events != 0 {
			t.Errorf("loaded %+v", d)
		}
		if again := s.receiver.Report().Requests; again != requests {
			t.Errorf("the receiver had %d more requests", again-requests)
		}
	})

	t.Run("a run one hour later sends only what is new", func(t *testing.T) {
		then := now.Add(time.Hour)
		s.letAnHourPass(then, late)
		second := s.oracle(then.Add(-4*time.Hour), then)
		fresh := second.expect(t, s.objects...)
		maps.DeleteFunc(fresh, func(id string, _ event) bool { _, old := expected[id]; return old })
		if _, ok := fresh[late+"-completed"]; !ok || len(fresh) < 5 {
			t.Fatalf("%d events are new; the completion of the run that started before the first window is among them: %t", len(fresh), ok)
		}
		s.mustRun(s.extractEnv(), s.extractArgs(dir, then)...)
		staged := s.mustRun(s.bucketEnv(), "transform", "--in", dir)
		if want := int64(len(fresh) + 1); staged.summary.Staged.Events != want {
			t.Errorf("staged %+v, want %d events", staged.summary.Staged, want)
		}
		printed := s.dryRun()
		s.mustRun(s.loadEnv(), "load")
		maps.Copy(expected, fresh)
		s.checkReceived(expected, first, second)
		s.checkSame(printed)
	})

	s.checkNoNames(dir)
}

func (s *site) extractArgs(dir string, until time.Time) []string {
	return []string{
		"extract", "--source", "kube", "--source", "results", "--results-ca-file", s.results.CAFile,
		"--until", until.Format(time.RFC3339), "--out", dir,
	}
}

// startedBeforeTheWindow stores a run that started before the first window and is
// still running, and returns its UID.
func (s *site) startedBeforeTheWindow() string {
	s.t.Helper()
	started := s.sample.Now.Add(-5 * time.Hour)
	for r := range s.sample.Runs() {
		if r.Started.After(s.sample.Now) || !r.Completed.After(s.sample.Now) || r.Completed.After(s.sample.Now.Add(time.Hour)) {
			continue
		}
		text := lateCopy(r, s.sample.Now, started)
		s.store([][]byte{text}, []world.RecordTimes{{Created: started, Updated: started}})
		s.objects = append(s.objects, text)
		return lateUID(r)
	}
	s.t.Fatal("the sample has no run that goes on")
	return ""
}

// lateCopy is a run of the sample as a run of its own, known to Tekton Results
// alone, that started at another time.
func lateCopy(r samplecluster.Run, now, started time.Time) []byte {
	text := bytes.ReplaceAll(r.Object(now).JSON, []byte(r.UID), []byte(lateUID(r)))
	return bytes.ReplaceAll(text, []byte(r.Started.Format(time.RFC3339)), []byte(started.Format(time.RFC3339)))
}

func lateUID(r samplecluster.Run) string { return "1a7e" + r.UID[4:] }

// letAnHourPass lets the runs that go on come to their end: every other one is
// pruned after it was stored. New objects are not made.
func (s *site) letAnHourPass(then time.Time, late string) {
	s.t.Helper()
	prune := false
	for r := range s.sample.Runs() {
		if r.Pruned || !r.Completed.After(s.sample.Now) || r.Completed.After(then) {
			continue
		}
		if lateUID(r) == late {
			text := lateCopy(r, then, s.sample.Now.Add(-5*time.Hour))
			if err := s.results.Update(s.t.Context(), text); err != nil {
				s.t.Fatal(err)
			}
			s.objects = append(s.objects, text)
		}
		text := bytes.ReplaceAll(r.Object(then).JSON, []byte(r.UID), []byte(s.uidOf(r)))
		s.update(text)
		s.objects = append(s.objects, text)
		if prune = !prune; prune {
			s.store([][]byte{text}, []world.RecordTimes{{Created: r.Completed, Updated: r.Completed}})
			s.prune(r.Namespace, r.Name)
		}
	}
}

// uidOf is the UID that the API server gave to a run.
func (s *site) uidOf(r samplecluster.Run) string {
	s.t.Helper()
	for _, text := range s.objects {
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			s.t.Fatal(err)
		}
		if m["kind"] == "PipelineRun" && str(m, "metadata", "name") == r.Name && str(m, "metadata", "namespace") == r.Namespace {
			return str(m, "metadata", "uid")
		}
	}
	s.t.Fatal("the run is not there")
	return ""
}

// dryRun returns the track calls that a dry run prints, by message ID.
func (s *site) dryRun() map[string]any {
	s.t.Helper()
	requests := s.receiver.Report().Requests
	calls := map[string]any{}
	for line := range bytes.Lines(s.mustRun(s.loadEnv(), "load", "--dry-run").stdout) {
		var body struct{ Batch []map[string]any }
		if err := json.Unmarshal(line, &body); err != nil {
			s.t.Fatalf("a dry run printed a line that is no body: %v", err)
		}
		for _, call := range body.Batch {
			calls[str(call, "messageId")] = call
		}
	}
	if s.receiver.Report().Requests != requests {
		s.t.Error("a dry run sent something")
	}
	return calls
}

// checkReceived compares what the receiver accepted with what is expected, and
// one heartbeat for each run, and what the cluster is like where the run looked.
func (s *site) checkReceived(expected map[string]event, runs ...oracle) {
	s.t.Helper()
	if n := len(s.receiver.Duplicates()); n > 0 {
		s.t.Errorf("%d events came twice", n)
	}
	report := s.receiver.Report()
	if len(report.Drops) > 0 || len(report.Refusals) > 0 || len(report.Violations) > 0 {
		s.t.Errorf("the receiver complains: %+v", report)
	}
	got := map[string]event{}
	for _, e := range s.receiver.Events() {
		var call struct {
			Type, AnonymousID, Event, Timestamp string
			Context                             struct {
				Library struct{ Name, Version string }
				Device  struct{ ID string }
			}
			Properties map[string]any
		}
		if err := json.Unmarshal(e.JSON, &call); err != nil {
			s.t.Fatal(err)
		}
		if call.Type != "track" || call.AnonymousID != "anonymous" || call.Context.Library.Name != "segment-bridge" || call.Context.Library.Version == "" {
			s.t.Errorf("unexpected track call %s", e.JSON)
		}
		got[e.MessageID] = event{call.Event, call.Timestamp, call.Context.Device.ID, call.Properties}
	}
	for _, run := range runs {
		heartbeat, ok := got[run.heartbeat()]
		if !ok || heartbeat.Event != "Segment Bridge Heartbeat" || heartbeat.Properties["resultsOutcome"] != "ok" {
			s.t.Errorf("heartbeat of %s: %+v", run.until, heartbeat)
		}
		delete(got, run.heartbeat())
		if looked := heartbeat.Properties["inventoryOutcome"]; looked != nil {
			inventory := got[run.inventory()]
			if looked != "ok" || inventory.Event != "Cluster Inventory" || inventory.Properties["podCount"] == nil || inventory.Properties["platformDistribution"] == nil {
				s.t.Errorf("the cluster was looked at (%v) and is %+v", looked, inventory)
			}
			delete(got, run.inventory())
		}
	}
	for _, id := range slices.Sorted(maps.Keys(expected)) {
		if !reflect.DeepEqual(got[id], expected[id]) {
			s.t.Errorf("event %s:\n got %+v\nwant %+v", id, got[id], expected[id])
		}
		delete(got, id)
	}
	for id, e := range got {
		s.t.Errorf("unexpected event %s: %+v", id, e)
	}
}

// checkSame checks that each printed track call is in the stage and came to the
// receiver, the same as JSON.
func (s *site) checkSame(printed map[string]any) {
	s.t.Helper()
	received := map[string]any{}
	for _, e := range s.receiver.Events() {
		received[e.MessageID] = decoded(s.t, e.Raw)
	}
	staged := s.stagedCalls()
	if len(printed) == 0 {
		s.t.Error("the dry run printed nothing")
	}
	for id, call := range printed {
		if !reflect.DeepEqual(call, staged[id]) || !reflect.DeepEqual(call, received[id]) {
			s.t.Errorf("event %s differs:\n printed %v\n  staged %v\nreceived %v", id, call, staged[id], received[id])
		}
	}
}

// stagedCalls reads every track call in the stage.
func (s *site) stagedCalls() map[string]any {
	s.t.Helper()
	s.t.Setenv("AWS_ACCESS_KEY_ID", s.bucket.AccessKey)
	s.t.Setenv("AWS_SECRET_ACCESS_KEY", s.bucket.SecretKey)
	bucket, err := open.Bucket(s.t.Context(), s.stage())
	if err != nil {
		s.t.Fatal(err)
	}
	ledger := stage.NewLedger(bucket, stage.Options{Library: telemetry.Library{Name: "test"}})
	calls := map[string]any{}
	for batch, err := range ledger.Batches(s.t.Context(), stage.Range{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		manifest, err := ledger.Manifest(s.t.Context(), batch)
		if err != nil {
			s.t.Fatal(err)
		}
		for track, err := range ledger.Tracks(s.t.Context(), manifest) {
			if err != nil {
				s.t.Fatal(err)
			}
			if _, twice := calls[track.MessageID]; twice {
				s.t.Errorf("event %s is staged twice", track.MessageID)
			}
			calls[track.MessageID] = decoded(s.t, track.Payload)
		}
	}
	return calls
}

func decoded(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
