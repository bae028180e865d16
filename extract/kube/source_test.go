// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/internal/extracttest"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

func TestExtract(t *testing.T) {
	const broken = "error"
	for _, test := range []struct {
		name    string
		answers []answer
		tokens  []string // of the requests that were made
		want    []string // UIDs
		objects int64    // if not as many as UIDs
		outcome string   // of the error; empty for none
		hint    string   // part of the error
	}{
		{
			name:    "no object",
			answers: []answer{{}},
			tokens:  []string{""},
		},
		{
			name:    "three pages",
			answers: []answer{{items: []string{"a", "b"}, next: "1"}, {items: []string{"c"}, next: "2"}, {items: []string{"d"}}},
			tokens:  []string{"", "1", "2"},
			want:    []string{"a", "b", "c", "d"},
		},
		{
			name:    "list metadata first",
			answers: []answer{{body: `{"metadata":{"continue":"1"},"items":[{"metadata":{"uid":"a","namespace":"n"}}]}`}, {items: []string{"b"}}},
			tokens:  []string{"", "1"},
			want:    []string{"a", "b"},
		},
		{
			name:    "an object without a UID",
			answers: []answer{{body: `{"items":[{"metadata":{"namespace":"n"}},{"metadata":{"uid":"b","namespace":"n"}}]}`}},
			tokens:  []string{""},
			want:    []string{"b"},
			objects: 2,
		},
		{
			name:    "expired, with a token to go on from",
			answers: []answer{{items: []string{"a"}, next: "1"}, {status: 410, next: "now"}, {items: []string{"b"}, next: "2"}, {items: []string{"c"}}},
			tokens:  []string{"", "1", "now", "2"},
			want:    []string{"a", "b", "c"},
		},
		{
			name:    "expired, without a token",
			answers: []answer{{items: []string{"a"}, next: "1"}, {status: 410}, {items: []string{"a"}, next: "2"}, {items: []string{"b"}}},
			tokens:  []string{"", "1", "", "2"},
			want:    []string{"a", "a", "b"},
			objects: 2,
		},
		{
			name:    "expired, with the same token",
			answers: []answer{{items: []string{"a"}, next: "1"}, {status: 410, next: "1"}, {items: []string{"a", "b"}}},
			tokens:  []string{"", "1", ""},
			want:    []string{"a", "a", "b"},
			objects: 2,
		},
		{
			name:    "expired for ever",
			answers: slices.Repeat([]answer{{status: 410}}, maxExpired+1),
			tokens:  slices.Repeat([]string{""}, maxExpired+1),
			outcome: broken,
		},
		{
			name:    "the kind is not installed",
			answers: []answer{{status: 404}},
			tokens:  []string{""},
			outcome: "absent",
		},
		{
			name:    "the group is not served",
			answers: []answer{{status: 404, body: "404 page not found\n"}},
			tokens:  []string{""},
			outcome: "absent",
		},
		{
			name:    "the kind is removed while it is listed",
			answers: []answer{{items: []string{"a"}, next: "1"}, {status: 404}},
			tokens:  []string{"", "1"},
			want:    []string{"a"},
			outcome: broken,
			hint:    "removed",
		},
		{
			name:    "not allowed",
			answers: []answer{{status: 403}},
			tokens:  []string{""},
			outcome: "forbidden",
			hint:    "list pipelineruns.tekton.dev",
		},
		{
			name:    "not known",
			answers: []answer{{status: 401}},
			tokens:  []string{""},
			outcome: "forbidden",
			hint:    "token",
		},
		{
			name:    "busy, says when to come back",
			answers: append(slices.Repeat([]answer{{status: 429, retryAfter: "0"}}, 6), answer{items: []string{"a"}}),
			tokens:  slices.Repeat([]string{""}, 7),
			want:    []string{"a"},
		},
		{
			name:    "busy, does not say when to come back",
			answers: []answer{{items: []string{"a"}, next: "1"}, {status: 503}, {status: 429}, {status: 500}, {items: []string{"b"}}},
			tokens:  []string{"", "1", "1", "1", "1"},
			want:    []string{"a", "b"},
		},
		{
			name:    "down",
			answers: slices.Repeat([]answer{{status: 503}}, 4),
			tokens:  slices.Repeat([]string{""}, 4),
			outcome: broken,
			hint:    "HTTP 503",
		},
		{
			name:    "gateway gives up",
			answers: slices.Repeat([]answer{{status: 504}}, 4),
			tokens:  slices.Repeat([]string{""}, 4),
			outcome: "timeout",
		},
		{
			name:    "a page breaks off",
			answers: []answer{{items: []string{"a", "b"}, next: "1"}, {items: []string{"c", "d", "e"}, next: "2", cut: 9000}, {items: []string{"c", "d", "e"}, next: "2"}, {items: []string{"f"}}},
			tokens:  []string{"", "1", "1", "2"},
			want:    []string{"a", "b", "c", "d", "c", "d", "e", "f"},
			objects: 6,
		},
		{
			name:    "a page breaks off each time",
			answers: slices.Repeat([]answer{{items: []string{"a"}, cut: 1000}}, 4),
			tokens:  slices.Repeat([]string{""}, 4),
			outcome: broken,
			hint:    "broke off",
		},
		{
			name:    "not a list",
			answers: slices.Repeat([]answer{{body: `"` + secret + `"`}}, 4),
			tokens:  slices.Repeat([]string{""}, 4),
			outcome: broken,
		},
		{
			name:    "something behind the list",
			answers: []answer{{body: `{"items":[]}{"items":[{"metadata":{"uid":"a"}}]}`}, {items: []string{"a"}}},
			tokens:  []string{"", ""},
			want:    []string{"a"},
		},
		{
			name:    "no answer",
			answers: []answer{{items: []string{"a"}, next: "1"}, {hang: true}},
			tokens:  []string{"", "1"},
			want:    []string{"a"},
			outcome: "timeout",
			hint:    "did not answer",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &script{t: t, answers: test.answers}
			source := newSource(t, record.SourcePipelineRuns, server)
			source.client.timeout = 300 * time.Millisecond
			var stats extract.Stats
			var got []string
			err := source.Extract(t.Context(), record.Window{}, &stats, func(r record.Record) error {
				if run, ok := r.(*record.PipelineRun); ok {
					got = append(got, run.UID.String())
				}
				return nil
			})
			extracttest.CheckError(t, err, test.outcome, test.hint)
			if !slices.Equal(got, test.want) {
				t.Errorf("UIDs are %q, want %q", got, test.want)
			}
			objects := max(test.objects, int64(len(test.want)))
			if test.objects != 0 {
				objects = test.objects
			}
			if stats.Objects != objects {
				t.Errorf("%d objects are counted, want %d", stats.Objects, objects)
			}
			if len(test.want) > 0 && stats.Bytes < 50 {
				t.Errorf("%d bytes are counted", stats.Bytes)
			}
			var tokens []string
			for _, r := range server.requests() {
				tokens = append(tokens, r.URL.Query().Get("continue"))
			}
			if !slices.Equal(tokens, test.tokens) {
				t.Errorf("tokens asked for are %q, want %q", tokens, test.tokens)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	for name, want := range map[record.SourceName]string{
		record.SourcePipelineRuns:  "/apis/tekton.dev/v1/pipelineruns?limit=500",
		record.SourceComponents:    "/apis/appstudio.redhat.com/v1alpha1/components?limit=500",
		record.SourceNamespaces:    "/api/v1/namespaces?labelSelector=konflux-ci.dev%2Ftype%3Dtenant&limit=500",
		record.SourceInstallations: "/apis/konflux.konflux-ci.dev/v1alpha1/konfluxes?limit=500",
	} {
		t.Run(name.String(), func(t *testing.T) {
			server := &script{t: t, answers: []answer{{body: `{"items":[]}`}}}
			source := newSource(t, name, server)
			if err := source.Extract(t.Context(), record.Window{}, new(extract.Stats), nil); err != nil {
				t.Fatal(err)
			}
			r := server.requests()[0]
			if got := r.URL.String(); got != want {
				t.Errorf("request is %s, want %s", got, want)
			}
			for header, want := range map[string]string{"Accept": "application/json", "Accept-Encoding": "", "User-Agent": "segment-bridge/v1.2.3"} {
				if got := r.Header.Get(header); got != want {
					t.Errorf("header %s is %q, want %q", header, got, want)
				}
			}
		})
	}
}

func TestExtractEndsWithEmit(t *testing.T) {
	server := &script{t: t, answers: []answer{{items: []string{"a", "b"}, next: "1"}}}
	full := errors.New("disk is full")
	err := newSource(t, record.SourcePipelineRuns, server).Extract(t.Context(), record.Window{}, new(extract.Stats),
		func(record.Record) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("error is %v, want that of emit", err)
	}
}

func TestExtractEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := &script{t: t, answers: []answer{{items: []string{"a"}, next: "1"}, {hang: true}}}
	err := newSource(t, record.SourcePipelineRuns, server).Extract(ctx, record.Window{}, new(extract.Stats),
		func(record.Record) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context", err)
	}
}

// A page is never in memory.
func TestExtractMemory(t *testing.T) {
	const objects, size = 2000, 40_000
	item := answer{items: []string{"a"}}.text()
	item = item[strings.Index(item, `{"apiVersion":"tekton.dev/v1","kind"`):strings.LastIndex(item, `],"kind"`)]
	item = strings.Replace(item, "xxxx", strings.Repeat("x", size), 1)
	first, next := []byte(`{"items":[`+item), []byte(","+item)
	source := newSource(t, record.SourcePipelineRuns, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(first)
		for range objects - 1 {
			_, _ = w.Write(next)
		}
		_, _ = w.Write([]byte("]}"))
	}))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var stats extract.Stats
	var records atomic.Int64
	err := source.Extract(t.Context(), record.Window{}, &stats, func(record.Record) error { records.Add(1); return nil })
	runtime.ReadMemStats(&after)
	if err != nil || records.Load() != objects || stats.Bytes < objects*size {
		t.Fatalf("%d records of %d bytes are read, with error %v", records.Load(), stats.Bytes, err)
	}
	// Both sides are in this process, and the race detector makes them wasteful.
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(stats.Bytes)/3 {
		t.Errorf("reading %d MB allocates %d MB, want less than a third", stats.Bytes>>20, used>>20)
	}
}
