// SPDX-License-Identifier: Apache-2.0

package results

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "github.com/tektoncd/results/proto/v1alpha2/results_go_proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/internal/extracttest"
	"github.com/segment-bridge/segment-bridge/extract/internal/retry"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// ways are the ways to reach an archive.
var ways = []struct {
	name  string
	serve func(*archive, *testing.T) string
}{
	{"rest", (*archive).serveREST},
	{"grpc", (*archive).serveGRPC},
	{"rest before v0.15", func(a *archive, t *testing.T) string { a.camel = true; return a.serveREST(t) }},
}

// hidden is a token that does not show.
type hidden string

func (h hidden) Reveal() string { return string(h) }

func newSource(t *testing.T, config Config) *Source {
	t.Helper()
	names, err := telemetry.NewPseudonymizer("cluster")
	if err != nil {
		t.Fatal(err)
	}
	source, err := New(config, names)
	if err != nil {
		t.Fatal(err)
	}
	source.retry = retry.Policy{Times: retry.Default.Times, Wait: 20 * time.Millisecond}
	return source
}

// read reads a source and returns the numbers of the runs.
func read(ctx context.Context, source *Source, window record.Window, stats *extract.Stats) (runs []int, err error) {
	err = source.Extract(ctx, window, stats, func(r record.Record) error {
		run, ok := r.(*record.PipelineRun)
		if !ok {
			return fmt.Errorf("record is a %T", r)
		}
		i, err := strconv.Atoi(strings.TrimPrefix(run.UID.String(), "run-"))
		runs = append(runs, i)
		return err
	})
	return runs, err
}

// upTo returns the numbers below n.
func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}

func TestExtract(t *testing.T) {
	fail := func(code codes.Code, calls ...int) func(int, *pb.ListRecordsResponse) error {
		return func(n int, _ *pb.ListRecordsResponse) error {
			if len(calls) == 0 || slices.Contains(calls, n) {
				return status.Error(code, secret)
			}
			return nil
		}
	}
	empty := func(calls ...int) func(int, *pb.ListRecordsResponse) error {
		return func(n int, page *pb.ListRecordsResponse) error {
			if len(calls) == 0 || slices.Contains(calls, n) {
				return broken(page)
			}
			return nil
		}
	}
	uncounted := func(_ int, summary *pb.RecordListSummary) error { return broken(summary) }

	for _, test := range []struct {
		name    string
		archive script
		since   time.Duration // before noon; 0 is long ago
		want    int           // runs, the newest ones, each at least once
		objects int64         // if not as many
		invalid int64
		lists   int // calls
		counts  int // calls
		outcome string
		hint    string
		sizes   []int32 // of pages asked for, if it matters
	}{
		{name: "nothing there", archive: script{rows: 0}, lists: 1, counts: 1},
		{name: "one page", archive: script{rows: 7}, want: 7, lists: 1, counts: 1},
		{name: "to the end", archive: script{rows: 35}, want: 35, lists: 4, counts: 1},
		{name: "the end is the end of a page", archive: script{rows: 30}, want: 30, lists: 3, counts: 1},
		{
			name:    "to the start of the window, less the slack",
			archive: script{rows: 1000}, since: 7 * time.Minute,
			want: 18, lists: 2, // 0 to 17 minutes old, with 10 minutes of slack
		},
		{
			name: "rows without the time of update",
			archive: script{rows: 35, list: func(_ int, page *pb.ListRecordsResponse) error {
				for _, r := range page.GetRecords() {
					r.UpdateTime = nil
				}
				return nil
			}}, since: time.Minute,
			want: 35, lists: 4, counts: 1,
		},
		{
			name: "rows of another kind, and one that is no JSON",
			archive: script{rows: 12, list: func(n int, page *pb.ListRecordsResponse) error {
				if n == 1 {
					page.GetRecords()[0].Data = &pb.Any{Type: "tekton.dev/v1.TaskRun", Value: []byte(`{"apiVersion":"tekton.dev/v1","kind":"TaskRun","metadata":{"uid":"task"}}`)}
					page.GetRecords()[1].Data.Value = []byte(secret)
				}
				return nil
			}},
			want: 10, objects: 12, invalid: 1, lists: 2, counts: 1,
		},
		{
			name:    "the database is down",
			archive: script{rows: 35, list: empty(), count: uncounted},
			lists:   4, counts: 4, outcome: "error", hint: "database",
		},
		{
			name: "the database is down for a moment",
			archive: script{rows: 35, list: empty(0), count: func(n int, summary *pb.RecordListSummary) error {
				if n == 0 {
					return broken(summary)
				}
				return nil
			}},
			want: 35, lists: 5, counts: 2,
		},
		{
			name:    "the query of the first page always fails",
			archive: script{rows: 35, list: empty()},
			lists:   4, counts: 4, outcome: "error", hint: "database",
		},
		{
			name:    "the query of a later page always fails",
			archive: script{rows: 35, list: empty(2, 3, 4, 5)},
			want:    20, lists: 6, counts: 4, outcome: "error", hint: "database",
		},
		{
			name:    "the query of a later page fails once",
			archive: script{rows: 35, list: empty(2)},
			want:    35, lists: 5, counts: 2,
		},
		{
			name: "the database goes down within a page, then comes back",
			archive: script{rows: 35, list: func(n int, page *pb.ListRecordsResponse) error {
				switch n {
				case 2:
					page.Records, page.NextPageToken = page.GetRecords()[:4], ""
				case 3:
					return broken(page)
				}
				return nil
			}, count: func(n int, summary *pb.RecordListSummary) error {
				if n < 2 {
					return broken(summary)
				}
				return nil
			}},
			want: 35, lists: 6, counts: 3,
		},
		{
			name: "rows are stored while we read",
			archive: script{rows: 35, count: func(_ int, summary *pb.RecordListSummary) error {
				summary.Summary = total(38).GetSummary()
				return nil
			}},
			want: 35, lists: 5, counts: 2,
		},
		{
			name: "rows are deleted while we read",
			archive: script{rows: 35, count: func(_ int, summary *pb.RecordListSummary) error {
				summary.Summary = total(20).GetSummary()
				return nil
			}},
			want: 35, lists: 4, counts: 1,
		},
		{name: "the server restarts", archive: script{rows: 35, list: fail(codes.Unavailable, 1, 2, 3)}, want: 35, lists: 7, counts: 1},
		{name: "the server fails", archive: script{rows: 35, list: fail(codes.Internal)}, lists: 4, outcome: "error", hint: "server's log"},
		{
			name: "the count fails",
			archive: script{rows: 5, count: func(int, *pb.RecordListSummary) error {
				return status.Error(codes.Unavailable, secret)
			}},
			want: 5, lists: 4, counts: 4, outcome: "error", hint: "server's log",
		},
		{
			name: "a page breaks off",
			archive: script{rows: 35, list: func(n int, _ *pb.ListRecordsResponse) error {
				if n == 0 {
					return errCut
				}
				return nil
			}},
			want: 35, lists: 5, counts: 1,
		},
		{
			name:    "pages are too large",
			archive: script{rows: 20, list: fail(codes.ResourceExhausted, 0, 1, 2)},
			want:    20, lists: 7, counts: 1, sizes: []int32{10, 5, 5, 5, 5, 5, 5},
		},
		{name: "pages are too large for ever", archive: script{rows: 20, list: fail(codes.ResourceExhausted)}, lists: 4, outcome: "error", hint: "smaller pages"},
		{
			name:    "list is not allowed",
			archive: script{rows: 35, list: fail(codes.Unauthenticated)},
			lists:   1, outcome: "forbidden", hint: "get and list on records.results.tekton.dev",
		},
		{
			name: "get is not allowed",
			archive: script{rows: 5, count: func(int, *pb.RecordListSummary) error {
				return status.Error(codes.Unauthenticated, secret)
			}},
			want: 5, lists: 1, counts: 1, outcome: "forbidden", hint: "get and list on records.results.tekton.dev",
		},
		{
			name: "404 stands for nothing there",
			archive: script{
				list: fail(codes.NotFound),
			}, lists: 1, counts: 1,
		},
		{
			name: "404 stands for another server",
			archive: script{
				list:  fail(codes.NotFound),
				count: func(int, *pb.RecordListSummary) error { return status.Error(codes.NotFound, secret) },
			}, lists: 1, counts: 1, outcome: "error", hint: "check the address",
		},
		{name: "the request is refused", archive: script{rows: 35, list: fail(codes.InvalidArgument)}, lists: 1, outcome: "error", hint: "v0.14"},
		{name: "the server does not know the call", archive: script{rows: 35, list: fail(codes.Unimplemented)}, lists: 1, outcome: "error", hint: "v0.14"},
		{
			name: "the server turns round",
			archive: script{rows: 35, list: func(_ int, page *pb.ListRecordsResponse) error {
				page.NextPageToken = "token-10"
				return nil
			}},
			want: 20, lists: 2, outcome: "error",
		},
		{
			name: "no answer",
			archive: script{rows: 35, list: func(n int, _ *pb.ListRecordsResponse) error {
				if n == 1 {
					return errHang
				}
				return nil
			}},
			want: 10, lists: 2, outcome: "timeout", hint: "no answer",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, way := range ways {
				t.Run(way.name, func(t *testing.T) {
					a := archive{script: test.archive}
					source := newSource(t, Config{Address: way.serve(&a, t), PageSize: 10, Version: "v1.2.3"})
					source.timeout = 500 * time.Millisecond
					window := record.Window{Until: noon}
					if test.since != 0 {
						window.Since = noon.Add(-test.since)
					}
					var stats extract.Stats
					runs, err := read(t.Context(), source, window, &stats)
					extracttest.CheckError(t, err, test.outcome, test.hint)
					slices.Sort(runs)
					runs = slices.Compact(runs)
					if want := upTo(test.want); test.invalid == 0 && !slices.Equal(runs, want) || len(runs) != test.want {
						t.Errorf("runs are %v, want %v", runs, want)
					}
					objects := test.objects
					if objects == 0 && test.outcome == "" {
						objects = int64(test.want)
					}
					if test.outcome == "" && (stats.Objects != objects || stats.Invalid != test.invalid) {
						t.Errorf("%d objects and %d invalid ones are counted, want %d and %d", stats.Objects, stats.Invalid, objects, test.invalid)
					}
					if least := int64(test.want) * 300; stats.Bytes < least {
						t.Errorf("%d bytes are counted, want at least %d", stats.Bytes, least)
					}
					a.check(t, test.lists, test.counts, test.sizes)
				})
			}
		})
	}
}

// check checks the calls that were made.
func (a *archive) check(t *testing.T, lists, counts int, sizes []int32) {
	t.Helper()
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if len(a.lists) != lists || len(a.counts) != counts {
		t.Errorf("%d calls for pages and %d for the count are made, want %d and %d", len(a.lists), len(a.counts), lists, counts)
	}
	for i, r := range a.lists {
		if r.GetParent() != "-/results/-" || r.GetFilter() != filter || r.GetOrderBy() != "update_time desc" {
			t.Errorf("call %d for a page is %v", i, r)
		}
		if sizes != nil && r.GetPageSize() != sizes[i] {
			t.Errorf("call %d asks for %d rows, want %d", i, r.GetPageSize(), sizes[i])
		}
	}
	for i, r := range a.counts {
		if r.GetParent() != "-/results/-" || r.GetFilter() != filter || r.GetSummary() != "total" {
			t.Errorf("call %d for the count is %v", i, r)
		}
	}
	for _, md := range a.seen {
		if agent := md.Get("user-agent"); len(agent) != 1 || !strings.HasPrefix(agent[0], "segment-bridge/v1.2.3") {
			t.Errorf("user agent is %q", agent)
		}
	}
}

func TestRecords(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			a := archive{script: script{rows: 1}}
			names, _ := telemetry.NewPseudonymizer("cluster")
			want := record.PipelineRun{
				Namespace: names.Namespace([]byte(secret)), Started: noon.Add(-time.Hour), Tasks: 2,
				Type: record.ParsePipelineType([]byte("build")), Status: record.StatusUnknown, Reason: record.ParseRunReason([]byte("Running")),
			}
			var err error
			if want.UID, err = telemetry.ParseUID([]byte("run-0")); err != nil {
				t.Fatal(err)
			}
			err = newSource(t, Config{Address: way.serve(&a, t)}).Extract(t.Context(), record.Window{}, new(extract.Stats), func(r record.Record) error {
				if got, ok := r.(*record.PipelineRun); !ok || *got != want {
					t.Errorf("record is %+v, want %+v", r, want)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestExtractEndsWithEmit(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			a := archive{script: script{rows: 35}}
			full := errors.New("disk is full")
			err := newSource(t, Config{Address: way.serve(&a, t), PageSize: 10}).Extract(t.Context(), record.Window{}, new(extract.Stats),
				func(record.Record) error { return full })
			if !errors.Is(err, full) || len(a.lists) != 1 {
				t.Errorf("error is %v after %d calls, want that of emit after one", err, len(a.lists))
			}
		})
	}
}

func TestExtractEndsWithContext(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			a := archive{script: script{rows: 35, list: func(n int, _ *pb.ListRecordsResponse) error {
				if n == 1 {
					cancel()
				}
				return nil
			}}}
			_, err := read(ctx, newSource(t, Config{Address: way.serve(&a, t), PageSize: 10}), record.Window{}, new(extract.Stats))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v, want that of the context", err)
			}
		})
	}
}
