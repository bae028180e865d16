// SPDX-License-Identifier: Apache-2.0

//go:build integration

// Package bench compares the program with what the machine and the servers can do: each comparison runs both sides in
// turns, as processes of their own, and looks at what the operating system says that they took. `make bench` prints one
// table; docs/performance.md explains it.
package bench

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/clients"
	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

var (
	runs    = flag.Int("runs", 20_000, "PipelineRuns in Tekton Results and in the file")
	objects = flag.Int("objects", 5_000, "PipelineRuns in the cluster")
	events  = flag.Int("events", 200_000, "events to deliver, at least")
	results = flag.String("results", "", "write the table as JSON into this file")
)

// What the job's containers get in the cluster.
const (
	memoryLimit = "GOMEMLIMIT=40MiB"
	containerMB = 64
)

func TestMain(m *testing.M) {
	flag.Parse()
	if name := os.Getenv(role); name != "" {
		os.Exit(play(name, flag.Args()))
	}
	world.Main(m)
}

// BenchmarkAgainst makes every comparison, one after the other, and prints the table.
func BenchmarkAgainst(b *testing.B) {
	var all table
	b.Run("start", all.start)
	b.Run("projection", all.projection)
	b.Run("parquet", all.parquet)
	b.Run("load", all.load)
	b.Run("servers", all.servers)
	all.finish(b)
}

// finish prints the table, and writes it if that is asked for.
func (t *table) finish(b *testing.B) {
	b.Helper()
	t.print(os.Stdout)
	if *results != "" {
		if err := t.write(*results); err != nil {
			b.Fatal(err)
		}
	}
}

// undeliver lets a stage in a folder forget what was delivered.
func undeliver(tb testing.TB, dir string) {
	tb.Helper()
	for _, of := range []string{"receipts", "leases"} {
		if err := os.RemoveAll(filepath.Join(dir, "v1", of)); err != nil {
			tb.Fatal(err)
		}
	}
}

// program is the program under test, built once as it is for the image.
var program = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("make", "-C", "../..", "build").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make build: %w: %s", err, out)
	}
	return filepath.Abs("../../bin/segment-bridge")
})

// bridge is a command of the program, with the memory that it has in the cluster.
func bridge(tb testing.TB, env []string, args ...string) *exec.Cmd {
	tb.Helper()
	path, err := program()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), path, args...)
	cmd.Env = append([]string{"HOME=/nonexistent", "TMPDIR=" + tb.TempDir(), memoryLimit}, env...)
	return cmd
}

// A summary is the part of the program's summary that is looked at here.
type summary struct {
	Sources []struct {
		Name, Outcome  string
		Objects, Bytes int64
	}
	Staged       *struct{ Events int64 }
	Destinations []struct{ Delivered int64 }
}

func summaryOf(tb testing.TB, stdout []byte) (s summary) {
	tb.Helper()
	if err := json.Unmarshal(stdout, &s); err != nil {
		tb.Fatalf("the summary is not JSON: %v: %.300s", err, stdout)
	}
	return s
}

// sample is the made-up cluster that all comparisons are about. Nothing has happened there for eight hours, so that an hourly
// run has nothing new.
func sample(runs int) *samplecluster.Cluster {
	return samplecluster.New(samplecluster.Config{Seed: 8, Runs: runs, Now: time.Now().UTC().Truncate(time.Hour).Add(-8 * time.Hour)})
}

// ndjson writes the sample's runs into a file, one a line, and returns its path and size.
func ndjson(b *testing.B) (path string, size int64) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "runs.ndjson")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(file, 1<<20)
	cluster := sample(*runs)
	var line []byte
	for run := range cluster.Runs() {
		line = append(run.AppendJSON(line[:0], cluster.Now), '\n')
		size += int64(len(line))
		if _, err := w.Write(line); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	return path, size
}

// start is what an empty run of the program costs.
func (t *table) start(b *testing.B) {
	t.compare(b, comparison{name: "start-up", unit: "starts", work: 1, by: wall, memory: 40 << 20, ours: func() cost {
		cmd := bridge(b, nil, "version")
		file, err := os.Stat(cmd.Path)
		if err != nil {
			b.Fatal(err)
		}
		c, _ := measure(b, cmd)
		c.note = fmt.Sprintf("the program has %.1f MB", float64(file.Size())/1e6)
		return c
	}})
}

// projection reads full-size runs that are in memory.
func (t *table) projection(b *testing.B) {
	path, size := ndjson(b)
	for _, reference := range []struct {
		name string
		most float64
	}{{"encoding/json", 1}, {"go-json", 1}, {"memchr", 0}} {
		b.Run(strings.ReplaceAll(reference.name, "/", "-"), func(b *testing.B) {
			t.compare(b, comparison{
				name: "project runs", reference: reference.name, unit: "GB", work: float64(size) * passes / 1e9, by: cpu,
				most: reference.most, least: 1,
				ours:   func() cost { c, _ := measure(b, child(b, "project", path)); return c },
				theirs: func() cost { c, _ := measure(b, child(b, reference.name, path)); return c },
			})
		})
	}
}

// parquet turns a file of runs into Parquet: in one process, as the reference does, and in one for each container.
func (t *table) parquet(b *testing.B) {
	path, size := ndjson(b)
	query := strings.NewReplacer("$FILE", path, "$OUT", filepath.Join(b.TempDir(), "out.parquet")).Replace(duckDBQuery)
	theirs := duckDB(b, query)
	source := []string{"--source", "dir:" + path, "--cluster-id", "c", "--since", "2020-01-01"}
	for _, way := range []struct {
		sub, name string
		ours      func() cost
	}{
		{"one-process", "file to Parquet", func() cost {
			c, _ := measure(b, bridge(b, nil, append([]string{"run", "--stage", "file://" + b.TempDir()}, source...)...))
			return c
		}},
		{"two-containers", "the same, two containers", func() cost {
			spool := b.TempDir()
			extracted, _ := measure(b, bridge(b, nil, append([]string{"extract", "--out", spool}, source...)...))
			transformed, _ := measure(b, bridge(b, nil, "transform", "--in", spool, "--stage", "file://"+b.TempDir()))
			return extracted.and(transformed)
		}},
	} {
		b.Run(way.sub, func(b *testing.B) {
			t.compare(b, comparison{
				name: way.name, reference: "DuckDB", unit: "MB", work: float64(size) / 1e6, by: cpu, most: 1. / 3, memory: containerMB << 20,
				ours: way.ours, theirs: theirs,
			})
		})
	}
}

// duckDB returns what measures a query, without what Node.js takes to start.
func duckDB(b *testing.B, sql string) func() cost {
	b.Helper()
	run := func(sql string) cost {
		cmd := clients.Command(b, "query.mjs")
		cmd.Stdin = strings.NewReader(sql)
		c, _ := measure(b, cmd)
		return c
	}
	_ = run("SELECT 1") // which reads it from disk
	started := run("SELECT 1")
	return func() cost {
		c := run(sql)
		c.cpu -= started.cpu
		c.wall -= started.wall
		return c
	}
}

// duckDBQuery makes the same events of the same runs.
const duckDBQuery = `
COPY (
  WITH runs AS (
    SELECT metadata->>'uid' AS uid, substr(sha256(concat(metadata->>'namespace', ':c')), 1, 12) AS namespace_hash,
      CAST(status->>'startTime' AS TIMESTAMPTZ) AS start_time, CAST(status->>'completionTime' AS TIMESTAMPTZ) AS completion_time,
      json_array_length(status, '$.childReferences') AS task_count, status->>'$.conditions[0].reason' AS reason,
      metadata->>'$.labels."pipelines.appstudio.openshift.io/type"' AS pipeline_type,
      substr(sha256(concat(metadata->>'$.annotations."pipelinesascode.tekton.dev/sender"', ':c')), 1, 12) AS user_hash
    FROM read_ndjson('$FILE', columns = {metadata: 'JSON', status: 'JSON'}, maximum_object_size = 16777216)
  ), events AS (
    SELECT 'PipelineRun Started' AS event, uid || '-started' AS message_id, start_time AS time, * FROM runs
    UNION ALL
    SELECT 'PipelineRun Completed', uid || '-completed', completion_time, * FROM runs WHERE completion_time IS NOT NULL
  )
  SELECT *, to_json(events) AS payload FROM events ORDER BY event, time, message_id
) TO '$OUT' (FORMAT parquet, COMPRESSION zstd)`

// load delivers what is staged to the strict receiver, and beside it posts the same bodies.
func (t *table) load(b *testing.B) {
	dir, place := filepath.Join(b.TempDir(), "runs"), "file://"+b.TempDir()
	// Each run that has ended has two events.
	cluster := samplecluster.New(samplecluster.Config{Seed: 9, Runs: *events * 5 / 8, Now: time.Now().UTC().Truncate(time.Hour)})
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	_, out := measure(b, bridge(b, nil, "run", "--source", "dir:"+slimRuns(b, cluster, dir, *events/2), "--cluster-id", "c", "--since", "2020-01-01", "--stage", place))
	staged := summaryOf(b, out).Staged.Events
	bodies := filepath.Join(b.TempDir(), "bodies")
	dry := bridge(b, []string{"SEGMENT_WRITE_KEY=" + segmenttest.Key}, "load", "--stage", place, "--dry-run", "--rate", "0")
	_, text := measure(b, dry)
	if err := os.WriteFile(bodies, text, 0o600); err != nil {
		b.Fatal(err)
	}
	for _, packed := range []bool{false, true} {
		name, flags, extra := "load", []string{"load", "--stage", place, "--destination", "segment", "--rate", "0"}, []string(nil)
		if packed {
			name, flags, extra = "load, gzip", append(flags, "--segment-gzip"), []string{"gzip"}
		}
		b.Run(strings.ReplaceAll(name, ", ", "-"), func(b *testing.B) {
			t.compare(b, comparison{
				name: name, reference: "raw POSTs", unit: "events", work: float64(staged), by: wall, most: 1 / 0.8, memory: containerMB << 20,
				ours: func() cost {
					return delivered(b, staged, func(address string) *exec.Cmd {
						undeliver(b, strings.TrimPrefix(place, "file://"))
						return bridge(b, []string{"SEGMENT_WRITE_KEY=" + segmenttest.Key, "SEGMENT_BATCH_API=" + address}, flags...)
					})
				},
				theirs: func() cost {
					return delivered(b, staged, func(address string) *exec.Cmd {
						return child(b, "post", append([]string{address, bodies}, extra...)...)
					})
				},
			})
		})
	}
	b.Run("audit", func(b *testing.B) {
		t.compare(b, comparison{
			name: "audit", reference: "DuckDB", unit: "rows", work: float64(staged), by: cpu,
			ours:   func() cost { c, _ := measure(b, bridge(b, nil, "audit", "--stage", place)); return c },
			theirs: duckDB(b, strings.ReplaceAll(scanQuery, "$FILES", strings.TrimPrefix(place, "file://")+"/v1/events/*/*/*.parquet")),
		})
	})
}

// scanQuery reads every value once, and counts message IDs.
const scanQuery = `
SELECT count(*), count(DISTINCT message_id), sum(length(payload)), bit_xor(hash(e)) FROM read_parquet('$FILES', union_by_name = true) AS e`

// slimRuns writes so many runs that have ended into a file of the folder, with the few fields that are read, so that staging
// them takes no time.
func slimRuns(tb testing.TB, cluster *samplecluster.Cluster, dir string, count int) string {
	tb.Helper()
	file, err := os.Create(filepath.Join(dir, "runs.ndjson"))
	if err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriter(file)
	for run := range cluster.Runs() {
		if count == 0 {
			break
		}
		if run.Completed.After(cluster.Now) || run.Completed.Before(run.Started) {
			continue
		}
		count--
		fmt.Fprintf(w, `{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","metadata":{"uid":%q,"namespace":%q,"labels":{"pipelines.appstudio.openshift.io/type":%q}},`+
			`"status":{"startTime":%q,"completionTime":%q,"childReferences":[{}],"conditions":[{"type":"Succeeded","status":"True","reason":"Succeeded"}]}}`+"\n",
			run.UID, run.Namespace, run.Type, run.Started.Format(time.RFC3339), run.Completed.Format(time.RFC3339))
	}
	if err := w.Flush(); err != nil || count > 0 {
		tb.Fatalf("%d runs of the sample have not ended, error %v", count, err)
	}
	return file.Name()
}

// delivered measures a process that brings all events to a fresh receiver.
func delivered(tb testing.TB, want int64, command func(address string) *exec.Cmd) cost {
	tb.Helper()
	receiver := segmenttest.New(segmenttest.Options{}) //nolint:forbidigo // checking each event against the schema would be measured too
	address, stop, err := receiver.Start()
	if err != nil {
		tb.Fatal(err)
	}
	defer stop()
	c, _ := measure(tb, command(address))
	if r := receiver.Report(); int64(r.Accepted) != want || r.Duplicates > 0 {
		tb.Fatalf("report %+v, want %d events", r, want)
	}
	return c
}
