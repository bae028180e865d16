// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// The queries of docs/analysis, asked by DuckDB, and the rows that hyparquet reads say of a stage what the oracle says of
// the objects behind it: with batches of three clusters, of several weeks, versions and an earlier release, one that was
// not delivered everywhere, an event that was refused, replaced batches, and a file that no manifest names.
func TestAnalysis(t *testing.T) {
	for name, bucket := range map[string]bool{"files": false, "MinIO": true} {
		t.Run(name, func(t *testing.T) {
			a := newAnalysis(t, bucket)
			a.fill()
			folder := a.folder()
			a.checkAnswers(folder, a.answers())
			a.checkRows()

			compacted := a.mustRun(a.loadEnv(), "compact").summary.Compacted
			if compacted == nil || compacted.Merged != 1 || compacted.Replaced != 2 {
				t.Fatalf("compacted %+v, want one day of two batches", compacted)
			}
			a.batches[2].events += a.batches[1].events
			a.batches[2].rejected += a.batches[1].rejected
			a.batches = slices.Delete(a.batches, 1, 2)
			a.checkAnswers(a.folder(), a.answers())

			a.addTwins()
			answers := a.answers()
			delete(answers, "delivery") // which counts batches
			a.checkAnswers(a.folder(), answers)
		})
	}
}

// An analysis is a stage, and what is to be found in it.
type analysis struct {
	*site
	url     string // of the stage
	events  map[string]event
	batches []deliveredBatch
}

// A deliveredBatch is what the receipts of a batch are to say.
type deliveredBatch struct {
	until            time.Time
	cluster          string
	events, rejected int
	to               []string
}

func newAnalysis(t *testing.T, bucket bool) *analysis {
	t.Helper()
	a := &analysis{site: &site{t: t, output: new(bytes.Buffer)}, url: "file://" + t.TempDir(), events: map[string]event{}}
	if bucket {
		a.bucket = world.MinIO(t)
		a.url = a.stage()
	}
	a.receiver, a.address = startReceiver(t)
	return a
}

// loadEnv overrides that of the site, whose stage is always a bucket.
func (a *analysis) loadEnv() []string {
	env := []string{"SEGMENT_WRITE_KEY=" + writeKey, "SEGMENT_BATCH_API=" + a.address + "/v1/batch", "SEGMENT_BRIDGE_STAGE=" + a.url}
	if a.bucket != nil {
		env = append(env, "AWS_ACCESS_KEY_ID="+a.bucket.AccessKey, "AWS_SECRET_ACCESS_KEY="+a.bucket.SecretKey)
	}
	return env
}

// fill makes the stage.
func (a *analysis) fill() {
	a.t.Helper()
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	week := noon.AddDate(0, 0, 7)
	first, second, third := a.sampleAt(1, noon), a.sampleAt(2, week), a.sampleAt(3, week)
	older, newer := [2]string{"v0.1.0", "v1.33.1"}, [2]string{"v0.2.0", "v1.34.0"}
	file := "file:" + filepath.Join(a.t.TempDir(), "events.ndjson")
	a.addPrevious() // which the first job brings to the file

	var refused string
	a.receiver.Refuse(func(e segmenttest.Event) bool {
		if refused == "" && strings.HasSuffix(e.MessageID, "-completed") {
			refused = e.MessageID
		}
		return e.MessageID == refused
	})
	a.job(first, "one", noon.AddDate(0, 0, -8), noon.Add(-2*time.Hour), older, 1, "segment", file)
	a.receiver.Refuse(nil)
	a.job(first, "one", noon.Add(-2*time.Hour), noon, older, 0, "segment", file)
	a.job(second, "one", noon, week, newer, 0, "segment", file)
	a.job(third, "two", week.AddDate(0, 0, -8), week, newer, 0, file)
	a.batches[0].to = a.batches[1].to
	a.inventory("one", week.AddDate(0, 0, 1), newer, `{"name":"platformDistribution","type":"enum","value":"kind"},{"name":"nodeCount","type":"integer","value":5}`)
	a.inventory("one", week.AddDate(0, 0, 2), newer, inventoryOfOne)
	a.inventory("two", week.AddDate(0, 0, 2), newer, inventoryOfTwo)
}

// What two clusters are like, in the order of the plan.
const (
	inventoryOfOne = `{"name":"platformDistribution","type":"enum","value":"openshift"},{"name":"openShiftVersion","type":"version","value":"4.20.1"},
		{"name":"nodeCount","type":"integer","value":10},{"name":"nodeArchitectures","type":"counts","value":{"amd64":5,"arm64":2}},
		{"name":"mixedArchitectures","type":"boolean","value":true},{"name":"ingressCountOutcome","type":"enum","value":"forbidden"}`
	inventoryOfTwo = `{"name":"platformDistribution","type":"enum","value":"openshift"},{"name":"openShiftVersionOutcome","type":"enum","value":"absent"},
		{"name":"nodeCount","type":"integer","value":10},{"name":"nodeArchitectures","type":"counts","value":{"amd64":10}},
		{"name":"mixedArchitectures","type":"boolean","value":false},{"name":"ingressCount","type":"integer","value":50}`
)

// inventory stages what a cluster was like within the hour before until, as source inventory tells of it.
func (a *analysis) inventory(clusterID string, until time.Time, versions [2]string, metrics string) {
	a.t.Helper()
	o := oracle{
		clusterID: clusterID, since: until.Add(-time.Hour), until: until,
		extra: map[string]any{"konfluxVersion": versions[0], "kubernetesVersion": versions[1], "clusterIdHash": oracle{clusterID: clusterID}.hash()},
	}
	when := func(t time.Time) string { return t.Format(time.RFC3339) }
	var list []struct {
		Name  string
		Value any
	}
	if err := json.Unmarshal([]byte("["+metrics+"]"), &list); err != nil {
		a.t.Fatal(err)
	}
	properties := maps.Clone(o.extra)
	for _, m := range list {
		properties[m.Name] = m.Value
	}
	spool := a.t.TempDir()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := fmt.Fprintf(w, `{"inventory":{"taken":%q,"metrics":[%s]}}`, when(until), strings.ReplaceAll(metrics, "\n", " "))
	report := fmt.Sprintf(`{"format":1,"producer":"test","window":{"since":%q,"until":%q},"cluster":%q,"konfluxVersion":%q,"kubernetesVersion":%q,
		"pseudonymScheme":"sha256","sources":[{"name":"inventory","outcome":"ok","records":1}]}`, when(o.since), when(until), o.hash(), versions[0], versions[1])
	err = errors.Join(err, w.Close(), os.WriteFile(filepath.Join(spool, "records.ndjson.gz"), packed.Bytes(), 0o600),
		os.WriteFile(filepath.Join(spool, "report.json"), []byte(report), 0o600))
	if err != nil {
		a.t.Fatal(err)
	}
	a.mustRun(a.loadEnv(), "transform", "--in", spool)

	hour := when(o.since)
	a.events[o.hash()+"-inventory-"+hour] = event{Event: "Cluster Inventory", Timestamp: hour, Device: o.hash(), Properties: properties}
	a.events[o.heartbeat()] = event{
		Event: "Segment Bridge Heartbeat", Timestamp: when(until), Device: o.hash(), Properties: with(o.extra, map[string]any{"inventoryOutcome": "ok"}),
	}
	a.batches = append(a.batches, deliveredBatch{until: until, cluster: o.hash(), events: 2})
}

type sampled struct {
	*samplecluster.Cluster
	dir     string
	objects [][]byte
}

func (a *analysis) sampleAt(seed uint64, now time.Time) sampled {
	a.t.Helper()
	s := sampled{Cluster: samplecluster.New(samplecluster.Config{Seed: seed, Runs: 150, Now: now}), dir: a.t.TempDir()}
	if err := s.WriteDir(s.dir); err != nil {
		a.t.Fatal(err)
	}
	for o := range s.Objects() {
		s.objects = append(s.objects, o.JSON)
	}
	for r := range s.Records() {
		s.objects = append(s.objects, r.Object.JSON)
	}
	return s
}

// job runs the job on a sample, of whose events so many are refused by Segment.
func (a *analysis) job(s sampled, clusterID string, since, until time.Time, versions [2]string, refused int, destinations ...string) {
	a.t.Helper()
	args := []string{
		"run", "--source", "dir:" + s.dir, "--cluster-id", clusterID, "--konflux-version", versions[0], "--kubernetes-version", versions[1],
		"--since", since.Format(time.RFC3339), "--until", until.Format(time.RFC3339),
	}
	batch := deliveredBatch{until: until, rejected: refused}
	for _, d := range destinations {
		args = append(args, "--destination", d)
	}
	r := a.mustRun(a.loadEnv(), args...)
	for _, d := range r.summary.Destinations {
		batch.to = append(batch.to, d.Name)
	}
	a.expectBatch(oracle{
		clusterID: clusterID, since: since, until: until,
		extra: map[string]any{"konfluxVersion": versions[0], "kubernetesVersion": versions[1]},
	}, batch, s.objects...)
}

// expectBatch adds what the oracle says that a batch holds.
func (a *analysis) expectBatch(o oracle, batch deliveredBatch, objects ...[]byte) {
	a.t.Helper()
	events := o.expect(a.t, objects...)
	events[o.heartbeat()] = event{
		Event: "Segment Bridge Heartbeat", Timestamp: o.until.Format(time.RFC3339), Device: o.hash(),
		Properties: with(o.extra, map[string]any{"clusterIdHash": o.hash(), "dirOutcome": "ok"}),
	}
	batch.cluster, batch.events = o.hash(), len(events)
	a.batches = append(a.batches, batch)
	maps.Copy(a.events, events)
}

// addPrevious puts the stage of an earlier release there.
func (a *analysis) addPrevious() {
	a.t.Helper()
	const previous = "testdata/previous"
	a.put(previous, "v1")
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal([]byte(read(a.t, previous+"/objects.json")), &list); err != nil {
		a.t.Fatal(err)
	}
	var objects [][]byte
	for _, item := range list.Items {
		objects = append(objects, item)
	}
	until := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	a.expectBatch(oracle{
		clusterID: "previous", since: until.AddDate(0, 0, -11), until: until,
		extra: map[string]any{"konfluxVersion": "v0.1.0", "kubernetesVersion": "v1.33.1"},
	}, deliveredBatch{until: until, to: []string{"segment"}}, objects...)
}

// addTwins adds what runs leave that were not alone: a data file that was never committed, and a batch with events that
// another has too.
func (a *analysis) addTwins() {
	a.t.Helper()
	now := time.Date(2026, 3, 11, 12, 0, 0, 0, time.UTC)
	for clusterID, part := range map[string]string{"orphan": "v1/events", "one": "v1"} {
		elsewhere := a.t.TempDir()
		a.mustRun(nil, "run", "--source", "dir:"+a.sampleAt(2, now).dir, "--cluster-id", clusterID, "--until", now.Format(time.RFC3339), "--stage", "file://"+elsewhere,
			"--konflux-version", "v0.2.0", "--kubernetes-version", "v1.34.0")
		if err := os.RemoveAll(filepath.Join(elsewhere, "v1", "store.json")); err != nil {
			a.t.Fatal(err)
		}
		a.put(elsewhere, part)
	}
}

// put copies a part of a folder into the stage.
func (a *analysis) put(from, part string) {
	a.t.Helper()
	err := fs.WalkDir(os.DirFS(from), part, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if a.bucket != nil {
			_, err := a.bucket.Client.FPutObject(a.t.Context(), a.bucket.Name, "telemetry/"+path, filepath.Join(from, path), minio.PutObjectOptions{})
			return err
		}
		to := filepath.Join(a.folder(), path)
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, []byte(read(a.t, filepath.Join(from, path))), 0o600))
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// folder returns the stage as a folder: for a bucket a copy, since DuckDB reads buckets with an extension that only its
// own server has.
func (a *analysis) folder() string {
	a.t.Helper()
	if a.bucket == nil {
		return strings.TrimPrefix(a.url, "file://")
	}
	folder := a.t.TempDir()
	for _, key := range a.keys() {
		path := filepath.Join(folder, strings.TrimPrefix(key, "telemetry/"))
		if err := a.bucket.Client.FGetObject(a.t.Context(), a.bucket.Name, key, path, minio.GetObjectOptions{}); err != nil {
			a.t.Fatal(err)
		}
	}
	return folder
}

// dataFiles returns the data files as hyparquet reads them: paths, or URLs that the store serves ranges of.
func (a *analysis) dataFiles() []string {
	a.t.Helper()
	var files []string
	if a.bucket == nil {
		files, err := filepath.Glob(a.folder() + "/v1/events/*/*/*.parquet")
		if err != nil {
			a.t.Fatal(err)
		}
		return files
	}
	for _, key := range a.keys() {
		if strings.HasPrefix(key, "telemetry/v1/events/") {
			signed, err := a.bucket.Client.PresignedGetObject(a.t.Context(), a.bucket.Name, key, time.Hour, nil)
			if err != nil {
				a.t.Fatal(err)
			}
			files = append(files, signed.String())
		}
	}
	return files
}
