// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
)

// The memory that each container of the job may take, and all three of them in one
// process, with what the operator tells the garbage collector.
const (
	memoryLimit = 64 << 20
	runLimit    = 96 << 20
)

// A hostile object is one that nobody should have made.
type hostile struct {
	name string
	// write writes it, with the UID where it has one.
	write func(w io.Writer, uid string)
	// invalid says that it is counted as invalid; else that many events with that many
	// tasks are told of it. -1 events are any number.
	invalid       bool
	events, tasks int
	// served says that it can be in the API server and in Tekton Results.
	served bool
}

// hostileRun returns a PipelineRun of which some fields hold something else.
func hostileRun(uid string, change map[string]string) string {
	fields := map[string]string{
		"apiVersion": `"tekton.dev/v1"`, "kind": `"PipelineRun"`,
		"uid": `"` + uid + `"`, "name": `"` + uid + `"`, "namespace": `"hostile"`, "creationTimestamp": `"2026-01-04T09:00:00Z"`,
		"labels": `{"tekton.dev/pipeline":"p","pipelines.appstudio.openshift.io/type":"build"}`, "annotations": `{"a":"b"}`,
		"spec":      `{"application":"x"}`,
		"startTime": `"2026-01-04T09:00:00Z"`, "completionTime": `"2026-01-04T09:10:00Z"`,
		"conditions":      `[{"type":"Succeeded","status":"True","reason":"Succeeded","lastTransitionTime":"2026-01-04T09:10:00Z"}]`,
		"childReferences": `[{"name":"a"}]`,
	}
	maps.Copy(fields, change)
	members := func(names ...string) string {
		var parts []string
		for _, name := range names {
			if value := fields[name]; value != "" {
				parts = append(parts, `"`+name+`":`+value)
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	if fields["metadata"] == "" {
		fields["metadata"] = members("uid", "name", "namespace", "creationTimestamp", "labels", "annotations")
	}
	if fields["status"] == "" {
		fields["status"] = members("startTime", "completionTime", "conditions", "childReferences")
	}
	return members("apiVersion", "kind", "metadata", "spec", "status")
}

// huge writes a run with a field of which the value is a lot, piece after piece.
func huge(field, open, piece, end string, times int) func(io.Writer, string) {
	return func(w io.Writer, uid string) {
		before, after, _ := strings.Cut(hostileRun(uid, map[string]string{field: "@"}), "@")
		io.WriteString(w, before+open) //nolint:errcheck // Flush tells
		for range times {
			io.WriteString(w, piece) //nolint:errcheck // Flush tells
		}
		io.WriteString(w, end+after) //nolint:errcheck // Flush tells
	}
}

func changed(field, value string) func(io.Writer, string) {
	return func(w io.Writer, uid string) {
		io.WriteString(w, hostileRun(uid, map[string]string{field: value})) //nolint:errcheck // Flush tells
	}
}

func repeat(open, end string, n int) string { return strings.Repeat(open, n) + strings.Repeat(end, n) }

// hostiles are all that can be in a file, and what becomes of each.
func hostiles() []hostile {
	kib := strings.Repeat("x", 1<<10)
	all := []hostile{
		{name: "annotation of 100 MB", write: huge("annotations", `{"a":"`, kib, `"}`, 100<<10), events: 2, tasks: 1},
		{name: "annotation of 1 MB", write: huge("annotations", `{"a":"`, kib, `"}`, 1<<10), events: 2, tasks: 1, served: true},
		{name: "label of 10 MB that is read", write: huge("labels", `{"pipelines.appstudio.openshift.io/type":"`, kib, `"}`, 10<<10), events: 2, tasks: 1},
		{name: "10,000 children", write: huge("childReferences", `[{"name":"a"}`, `,{"kind":"TaskRun","name":"x"}`, `]`, 9_999), events: 2, tasks: 10_000, served: true},
		{name: "a million children", write: huge("childReferences", `[0`, `,0`, `]`, 999_999), events: 2, tasks: 1_000_000},
		{name: "100,000 conditions", write: huge("conditions", `[{"type":"Succeeded","status":"True","reason":"Completed"}`, `,{"type":"Succeeded","status":"Unknown"}`, `]`, 100_000), events: 2, tasks: 1},
		{name: "100,000 labels", write: huge("labels", `{"a":"b"`, `,"c":"d"`, `}`, 100_000), events: 2, tasks: 1},
		{name: "name of 10 MB", write: huge("name", `"`, kib, `"`, 10<<10), events: 2, tasks: 1},
		{name: "namespace of 10 MB", write: huge("namespace", `"`, kib, `"`, 10<<10), invalid: true},
		{name: "UID of 10 MB", write: huge("uid", `"`, kib, `"`, 10<<10), invalid: true},
		{name: "time of 10 MB", write: huge("startTime", `"`, "0", `"`, 10<<20), invalid: true},
		{name: "number of 10 MB", write: huge("spec", `{"n":1`, "0", `}`, 10<<20), events: 2, tasks: 1},
		{name: "number of 10 MB for a time", write: huge("startTime", `1`, "0", ``, 10<<20), invalid: true},
		{name: "invalid UTF-8 in a namespace", write: changed("namespace", "\"\xff\xfe\xc3\""), events: 2, tasks: 1},
		{name: "invalid UTF-8 in a UID", write: changed("uid", "\"a\xffb\""), invalid: true},
		{name: "invalid UTF-8 in an annotation", write: changed("annotations", "{\"\xc3\":\"\xff\"}"), events: 2, tasks: 1},
		{name: "halves of surrogates", write: changed("namespace", `"\ud800x\udc00"`), events: 2, tasks: 1},
		{name: "NUL in a namespace", write: changed("namespace", `"a\u0000b"`), events: 2, tasks: 1},
		{name: "NUL in a UID", write: changed("uid", `"a\u0000b"`), invalid: true},
		{name: "NUL in an annotation", write: changed("annotations", `{"a\u0000":"\u0000"}`), events: 2, tasks: 1},
		{name: "began in the year 0", write: changed("startTime", `"0000-01-01T00:00:00Z"`), invalid: true, served: true},
		{name: "began in the year 1", write: changed("startTime", `"0001-01-01T00:00:00Z"`), events: 1, tasks: 1, served: true},
		{name: "began in the year 9999", write: changed("startTime", `"9999-12-31T23:59:59Z"`), served: true}, // the duration breaks the plan
		{name: "ended in the year 9999", write: changed("completionTime", `"9999-12-31T23:59:59Z"`), events: 1, tasks: 1, served: true},
		{name: "ended in the year 10000", write: changed("completionTime", `"9999-12-31T23:59:59-01:00"`), invalid: true, served: true},
		{name: "a time that is none", write: changed("startTime", `"tomorrow"`), invalid: true, served: true},
		{name: "nested 9,000 deep", write: changed("spec", `{"a":`+repeat("[", "]", 9_000)+`}`), events: 2, tasks: 1},
		{name: "nested 1,000,000 deep", write: changed("spec", `{"a":`+repeat("[", "]", 1_000_000)+`}`), events: 2, tasks: 1},
		{name: "objects nested 100,000 deep", write: changed("annotations", repeat(`{"a":`, "}", 99_999)[:99_999*5]+"{}"+strings.Repeat("}", 99_999)), events: 2, tasks: 1},
		{name: "no run but arrays, 100,000 deep", write: changed("", ""), invalid: true},
		{name: "huge numbers", write: changed("spec", `{"a":1e999999999,"b":-1e-999999999,"c":`+strings.Repeat("9", 5000)+`}`), events: 2, tasks: 1},
		{name: "keys that come twice", write: changed("status", `{"childReferences":[1,2,3],"startTime":"x","startTime":"2026-01-04T09:00:00Z","childReferences":[1,2]}`), events: 1, tasks: 2},
	}
	all[len(all)-3].write = func(w io.Writer, _ string) { io.WriteString(w, repeat("[", "]", 100_000)) } //nolint:errcheck // Flush tells
	return append(all, wrongTypes()...)
}

// wrongTypes has each other type in each field.
func wrongTypes() []hostile {
	var all []hostile
	values := map[string]string{"null": "null", "a number": "-1.5e3", "a truth": "true", "a text": `"text"`, "an array": `[{"a":[]}]`, "an object": `{"type":{"a":1}}`}
	for _, field := range []string{
		"metadata", "uid", "name", "namespace", "creationTimestamp", "labels", "annotations", "spec", "status", "startTime", "completionTime",
		"conditions", "childReferences",
	} {
		for kind, value := range values {
			all = append(all, hostile{name: field + " is " + kind, write: changed(field, value), events: -1})
		}
	}
	return all
}

// bystander returns the UID of the good run beside a hostile object.
func bystander(i int) string { return strings.Replace(hostileUID(i), "ba5eba11", "600d0000", 1) }

func hostileUID(i int) string { return fmt.Sprintf("ba5eba11-0000-4000-8000-%012d", i) }

// Saved objects that nobody should have made, as a process: it does not crash, its
// memory is bounded, each is counted, and what is between them comes through.
func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	all := hostiles()
	for name, frame := range map[string][3]string{
		"list.json": {`{"apiVersion":"v1","kind":"List","items":[`, ",", "]}"}, "lines.ndjson": {"", "\n", "\n"},
	} {
		writeFile(t, filepath.Join(dir, name), func(w io.Writer) {
			io.WriteString(w, frame[0]) //nolint:errcheck // Flush tells
			for i, h := range all {
				h.write(w, hostileUID(i))
				io.WriteString(w, frame[1]+hostileRun(bystander(i), nil)) //nolint:errcheck // Flush tells
				if i < len(all)-1 {
					io.WriteString(w, frame[1]) //nolint:errcheck // Flush tells
				}
			}
			io.WriteString(w, frame[2]) //nolint:errcheck // Flush tells
		})
	}
	const many = 8_000 // of 32 KiB
	filler := strings.Repeat("y", 32<<10)
	writeFile(t, filepath.Join(dir, "many.json"), func(w io.Writer) {
		io.WriteString(w, `{"apiVersion":"tekton.dev/v1","kind":"PipelineRunList","items":[`) //nolint:errcheck // Flush tells
		for i := range many {
			if i > 0 {
				io.WriteString(w, ",") //nolint:errcheck // Flush tells
			}
			io.WriteString(w, hostileRun(strings.Replace(hostileUID(i), "ba5eba11", "3a270000", 1), map[string]string{"annotations": `{"a":"` + filler + `"}`})) //nolint:errcheck // Flush tells
		}
		io.WriteString(w, "]}") //nolint:errcheck // Flush tells
	})

	// The three containers, one after the other.
	spool, place, out := t.TempDir(), "file://"+filepath.Join(t.TempDir(), "stage"), filepath.Join(t.TempDir(), "events.out")
	r := hostileProcess(t, "extract", "--source", "dir:"+dir, "--cluster-id", "hostile", "--since", "2026-01-04T08:00:00Z", "--until", "2026-01-04T12:00:00Z", "--out", spool)
	transformed := hostileProcess(t, "transform", "--in", spool, "--stage", place)
	loaded := hostileProcess(t, "load", "--stage", place, "--destination", "file:"+out, "--rate", "0")
	for _, r := range []measured{r, transformed, loaded} {
		if r.code != 0 || r.peak > memoryLimit {
			t.Fatalf("exit code %d, peak memory %d MiB\n%s%s", r.code, r.peak>>20, r.stdout, r.stderr)
		}
	}
	invalid := r.summary.Sources[0].Invalid
	if want := int64(2*2*len(all) + many); r.summary.Sources[0].Objects != want {
		t.Errorf("%d objects are counted, want %d", r.summary.Sources[0].Objects, want)
	}
	got := eventsByUID(t, out)
	wantInvalid := 0
	for i, h := range all {
		events := got[hostileUID(i)]
		switch {
		case h.events == -1: // what became of it is the business of the projector's tests
			if len(events) == 0 && !strings.Contains(h.name, "uid") && !strings.Contains(h.name, "metadata") {
				continue
			}
		case len(events) != h.events:
			t.Errorf("%s: %d events, want %d", h.name, len(events), h.events)
		case h.invalid:
			wantInvalid += 2
		}
		for _, e := range events {
			if tasks, _ := e.Properties["taskCount"].(float64); h.tasks > 0 && int(tasks) != h.tasks {
				t.Errorf("%s: %v tasks", h.name, tasks)
			}
		}
		if n := len(got[bystander(i)]); n != 2 {
			t.Errorf("beside %s: %d events", h.name, n)
		}
	}
	if most := wantInvalid + 2*len(wrongTypes()); invalid < int64(wantInvalid) || invalid > int64(most) {
		t.Errorf("%d objects are counted as invalid, want %d to %d", invalid, wantInvalid, most)
	}
	t.Logf("%d objects of %d MB, %d invalid, %d events, %d rejected, peak memory %d, %d and %d KiB", r.summary.Sources[0].Objects, r.summary.Sources[0].Bytes>>20, invalid,
		transformed.summary.Staged.Events, transformed.summary.Staged.Rejected, r.peak>>10, transformed.peak>>10, loaded.peak>>10)
}

// Files that are broken are each named by their number, and no other suffers.
func TestBrokenFiles(t *testing.T) {
	dir := t.TempDir()
	good := hostileRun(hostileUID(0), nil)
	for name, text := range map[string]string{
		"01.json": good[:len(good)/2], "02.json": good + "}", "03.json": "\x00\x00", "04.json": `{"a":"` + "\n" + `"}`, "05.json.gz": "no gzip",
		"06.json": `{"kind":"List","items":[` + good, "07.yaml": "a: [\n", "08.yaml": strings.Repeat("a: &a [*a]\n", 3), "09.json": "", "10.json": strings.Repeat("[", 1<<20),
		"11.yaml": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n",
		"12.yaml": strings.Repeat("- ", 20_000) + "x\n", "13.json": good,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "events.out")
	r := hostileProcess(t, "run", "--source", "dir:"+dir, "--cluster-id", "hostile", "--since", "2026-01-04T08:00:00Z", "--until", "2026-01-04T12:00:00Z",
		"--stage", "file://"+filepath.Join(t.TempDir(), "stage"), "--destination", "file:"+out)
	// The only source failed, and what was read before it did is delivered.
	if n := len(eventsByUID(t, out)[hostileUID(0)]); r.code != 1 || n != 2 || !strings.Contains(r.summary.Sources[0].Error, "file 1 of 13 ends too early") {
		t.Errorf("exit code %d, %d events\n%s%s", r.code, n, r.stdout, r.stderr)
	}
	t.Logf("%s; peak memory %d KiB", r.summary.Sources[0].Error, r.peak>>10)
}

// What the API server and Tekton Results can be brought to hold.
func TestHostileServers(t *testing.T) {
	s := newSite(t, samplecluster.Config{Seed: 9, Runs: 10}, world.ResultsOptions{PartialResponse: true})
	since, until := time.Date(2026, 1, 4, 8, 0, 0, 0, time.UTC), time.Date(2026, 1, 4, 12, 0, 0, 0, time.UTC)
	s.cluster.Namespace(t, "hostile", nil)
	var planted, stored [][]byte
	var all []hostile
	for _, h := range hostiles() {
		if !h.served && h.events != -1 || strings.HasPrefix(h.name, "metadata") || strings.HasPrefix(h.name, "uid") || strings.HasPrefix(h.name, "name") || strings.HasPrefix(h.name, "creation") ||
			h.events == -1 && (strings.HasPrefix(h.name, "labels") || strings.HasPrefix(h.name, "annotations")) {
			continue // no server takes these
		}
		var text bytes.Buffer
		h.write(&text, hostileUID(len(all)))
		planted = append(planted, text.Bytes(), []byte(hostileRun(bystander(len(all)), nil)))
		stored = append(stored, bytes.ReplaceAll(text.Bytes(), []byte("ba5eba11"), []byte("57012ed0")))
		all = append(all, h)
	}
	if err := s.cluster.Plant(t.Context(), planted...); err != nil {
		t.Fatal(err)
	}
	names, err := s.results.Store(t.Context(), stored...)
	if err != nil {
		t.Fatal(err)
	}
	var times []world.RecordTimes
	for _, name := range names {
		times = append(times, world.RecordTimes{Name: name, Created: since.Add(time.Hour), Updated: since.Add(time.Hour)})
	}
	if err := s.results.SetTimes(t.Context(), times...); err != nil {
		t.Fatal(err)
	}
	for _, transport := range []string{"https://", "grpcs://"} {
		t.Run(transport, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "events.out")
			r := hostileProcess(t, "run", "--source", "kube", "--source", "results", "--results-ca-file", s.results.CAFile,
				"--kubeconfig", s.kubeconfig, "--results-token-file", s.tokenFile, "--results-address", transport+strings.TrimPrefix(s.results.URL, "https://"),
				"--since", since.Format(time.RFC3339), "--until", until.Format(time.RFC3339),
				"--stage", "file://"+filepath.Join(t.TempDir(), "stage"), "--destination", "file:"+out)
			if r.code != 0 {
				t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			got := eventsByUID(t, out)
			for i, h := range all {
				for _, uid := range []string{hostileUID(i), strings.Replace(hostileUID(i), "ba5eba11", "57012ed0", 1)} {
					if n := len(got[uid]); h.events >= 0 && n != h.events {
						t.Errorf("%s, UID %s: %d events, want %d", h.name, uid, n, h.events)
					}
				}
				if n := len(got[bystander(i)]); n != 2 {
					t.Errorf("beside %s: %d events", h.name, n)
				}
			}
			for _, source := range r.summary.Sources {
				if source.Outcome != "ok" || (source.Name == "kube/pipelineruns" || source.Name == "results") && source.Invalid < 3 {
					t.Errorf("source %+v", source)
				}
				t.Logf("%s: %d objects, %d records, %d invalid, %d bytes", source.Name, source.Objects, source.Records, source.Invalid, source.Bytes)
			}
			t.Logf("peak memory %d KiB", r.peak>>10)
		})
	}
}

// measured is what a process left, and its peak memory in bytes.
type measured struct {
	result
	peak int64
}

// hostileProcess runs the program with the memory that it has in the cluster.
func hostileProcess(t *testing.T, args ...string) measured {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = []string{"HOME=/nonexistent", "TMPDIR=" + t.TempDir(), "GOMEMLIMIT=40MiB", "GOMAXPROCS=2"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak := make(chan int64)
	ctx, ended := context.WithCancel(t.Context())
	go func() { peak <- world.PeakMemory(ctx, cmd.Process.Pid) }()
	err = cmd.Wait()
	ended()
	r := measured{result: result{code: cmd.ProcessState.ExitCode(), stdout: stdout.Bytes(), stderr: stderr.Bytes()}, peak: <-peak}
	if r.code < 0 {
		t.Fatalf("%v\n%s", err, r.stderr)
	}
	if err := json.Unmarshal(r.stdout, &r.summary); err != nil {
		t.Fatalf("the summary is not JSON: %v\n%s%s", err, r.stdout, r.stderr)
	}
	if r.peak == 0 || r.peak > runLimit {
		t.Errorf("peak memory is %d MiB, want at most %d", r.peak>>20, runLimit>>20)
	}
	return r
}

func eventsByUID(t *testing.T, path string) map[string][]event {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]event{}
	for line := range bytes.Lines(text) {
		var call struct {
			MessageID, Event string
			Properties       map[string]any
		}
		if err := json.Unmarshal(line, &call); err != nil {
			t.Fatal(err)
		}
		uid := call.MessageID[:max(0, strings.LastIndexByte(call.MessageID, '-'))]
		all[uid] = append(all[uid], event{Event: call.Event, Properties: call.Properties})
	}
	return all
}

func writeFile(t *testing.T, path string, write func(io.Writer)) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(file, 1<<20)
	write(w)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
