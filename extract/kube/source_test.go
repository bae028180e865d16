// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/internal/retry"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// secret is a name that must not come out: it is in every answer.
const secret = "acme-secret-team"

// An answer is what the server answers one request with.
type answer struct {
	status     int // 200 unless set
	retryAfter string
	items      []string // by their UIDs
	next       string   // token of the next page, or in the error
	cut        int      // bytes to send before the connection breaks
	hang       bool
	body       string // instead of all that
}

func (a answer) text() string {
	if a.body != "" {
		return a.body
	}
	if a.status != 0 {
		reasons := map[int]string{403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests"}
		return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","metadata":{"continue":%q},"status":"Failure","message":"no %s here","reason":%q,"code":%d}`,
			a.next, secret, reasons[a.status], a.status)
	}
	items := make([]string, len(a.items))
	for i, uid := range a.items {
		items[i] = fmt.Sprintf(`{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","spec":{"params":[{"value":"%s"}]},
			"metadata":{"uid":%q,"name":"run","namespace":"%s"},"status":{"startTime":"2026-01-02T03:04:05Z"}}`, strings.Repeat("x", 4000), uid, secret)
	}
	return fmt.Sprintf(`{"apiVersion":"tekton.dev/v1","items":[%s],"kind":"PipelineRunList","metadata":{"continue":%q,"resourceVersion":"7"}}`,
		strings.Join(items, ","), a.next)
}

// A script is an API server that gives the answers in turn, then fails the test.
type script struct {
	t       *testing.T
	answers []answer

	mutex sync.Mutex
	seen  []*http.Request
}

// turn keeps the request and returns the answer to it.
func (s *script) turn(r *http.Request) answer {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.seen = append(s.seen, r.Clone(context.Background()))
	if len(s.seen) <= len(s.answers) {
		return s.answers[len(s.seen)-1]
	}
	s.t.Errorf("request %d is %s, which the test does not expect", len(s.seen), r.URL)
	return answer{status: http.StatusTeapot}
}

func (s *script) requests() []*http.Request {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.seen
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := s.turn(r)
	if a.hang {
		<-r.Context().Done()
		return
	}
	text := a.text()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Header().Set("Warning", `299 - "`+secret+`"`)
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	if a.cut > 0 {
		text = text[:a.cut]
	}
	_, _ = w.Write([]byte(text))
	if a.cut > 0 {
		panic(http.ErrAbortHandler)
	}
}

func newClient(t *testing.T, handler http.Handler) *Client {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	client, err := NewClient(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	client.retry = retry.Policy{Times: retry.Default.Times, Wait: time.Millisecond}
	return client
}

func newSource(t *testing.T, name record.SourceName, handler http.Handler) *source {
	t.Helper()
	names, err := telemetry.NewPseudonymizer("cluster")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range newClient(t, handler).Sources(names) {
		if s, ok := s.(*source); ok && s.Name() == name {
			return s
		}
	}
	t.Fatalf("there is no source %s", name)
	return nil
}

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
			checkError(t, err, test.outcome, test.hint)
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

// checkError checks that err has the outcome, says hint, and holds nothing that the
// server wrote.
func checkError(t *testing.T, err error, outcome, hint string) {
	t.Helper()
	if outcome == "" {
		if err != nil {
			t.Errorf("error is %v, want none", err)
		}
		return
	}
	e, ok := errors.AsType[*extract.Error](err)
	if !ok {
		t.Fatalf("error is %v, want an *extract.Error", err)
	}
	if e.Outcome.String() != outcome || !strings.Contains(e.Error(), hint) {
		t.Errorf("error is %q, want outcome %s with %q", e, outcome, hint)
	}
	if strings.Contains(e.Error(), secret) || strings.Contains(e.Error(), "127.0.0.1") {
		t.Errorf("error %q holds what is not ours", e)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %q counts as the end of the caller's time", e)
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
