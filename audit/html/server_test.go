// SPDX-License-Identifier: Apache-2.0

package html_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/audit/html"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// ask asks a handler as a browser does that takes the host for this one.
func ask(t *testing.T, handler http.Handler, method, host, path string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	req.Host = host
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, req)
	return w
}

func TestBrowse(t *testing.T) {
	ledger, r := small(t)
	handler := html.NewHandler(r, ledger, slog.New(slog.DiscardHandler))
	get := func(path string) string {
		t.Helper()
		w := ask(t, handler, "GET", "127.0.0.1:1234", path)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d", path, w.Code)
		}
		if p := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(p, "default-src 'none'") || !strings.Contains(p, "frame-ancestors 'none'") {
			t.Errorf("policy %q", p)
		}
		page := w.Body.String()
		check(t, page)
		return page
	}
	if !strings.Contains(get("/"), `href="/batches"`) {
		t.Error("the report does not lead to the batches")
	}
	links := regexp.MustCompile(`href="(/batch/[^"]+)"`).FindAllStringSubmatch(get("/batches"), -1)
	if len(links) != 3 {
		t.Fatalf("%d batches", len(links))
	}
	for i, link := range links {
		page := get(link[1])
		for _, want := range []string{"PipelineRun Completed", "&#34;type&#34;:&#34;track&#34;", "Manifest", "v1/events/"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not say %q", link[1], want)
			}
		}
		if got := strings.Count(page, "not delivered"); (got == 2) != (i == 2) {
			t.Errorf("%s: %d destinations have no receipt", link[1], got)
		}
		if got := strings.Count(page, "&#34;messageId&#34;"); got != 12 {
			t.Errorf("%s has %d events", link[1], got)
		}
	}
}

// A batch is read page by page, each event once.
func TestPages(t *testing.T) {
	bucket := &mem.Bucket{}
	ledger := stagetest.NewLedger(t, bucket)
	staged, err := ledger.Stage(t.Context(), stagetest.Report(stagetest.Noon, stagetest.Noon.AddDate(0, 0, 1)), stagetest.Runs(60, stagetest.Noon, 1))
	if err != nil || staged.Events != 120 {
		t.Fatal(staged.Events, err)
	}
	handler := html.NewHandler(&audit.Report{Plan: catalogue.Plan()}, ledger, slog.New(slog.DiscardHandler))
	path := fmt.Sprintf("/batch/%s/%s", staged.Manifest.Cluster, staged.Manifest.Batch)
	seen := map[string]int{}
	for path != "" {
		page := ask(t, handler, "GET", "localhost", path).Body.String()
		for _, id := range regexp.MustCompile(`&#34;messageId&#34;:&#34;(.*?)&#34;`).FindAllStringSubmatch(page, -1) {
			seen[id[1]]++
		}
		next := regexp.MustCompile(`href="([^"]*)">Later`).FindStringSubmatch(page)
		if path = ""; next != nil {
			path = next[1]
		}
	}
	if len(seen) != 120 {
		t.Errorf("%d events", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
}

func TestRefused(t *testing.T) {
	ledger, r := small(t)
	handler := html.NewHandler(r, ledger, slog.New(slog.DiscardHandler), "audit.example")
	for _, tt := range []struct {
		method, host, path string
		want               int
	}{
		{"GET", "localhost:80", "/", http.StatusOK},
		{"GET", "[::1]:80", "/", http.StatusOK},
		{"GET", "[::1]", "/", http.StatusOK},
		{"GET", "audit.example", "/", http.StatusOK},
		{"HEAD", "localhost", "/", http.StatusOK},
		{"GET", "rebound.example:80", "/", http.StatusMisdirectedRequest},
		{"GET", "localhost.rebound.example", "/", http.StatusMisdirectedRequest},
		{"GET", "", "/", http.StatusMisdirectedRequest},
		{"POST", "localhost", "/", http.StatusMethodNotAllowed},
		{"DELETE", "localhost", "/batches", http.StatusMethodNotAllowed},
		{"GET", "localhost", "/x", http.StatusNotFound},
		{"GET", "localhost", "/batches?page=0", http.StatusNotFound},
		{"GET", "localhost", "/batches?page=x", http.StatusNotFound},
		{"GET", "localhost", "/batch/000000000000/20260101T000000Z-0123456789abcdef", http.StatusNotFound},
		{"GET", "localhost", "/batch/000000000000/..%2f..%2fstore", http.StatusNotFound},
		{"GET", "localhost", "/batch/x/y", http.StatusNotFound},
	} {
		if w := ask(t, handler, tt.method, tt.host, tt.path); w.Code != tt.want {
			t.Errorf("%s %s%s: %d, want %d", tt.method, tt.host, tt.path, w.Code, tt.want)
		}
	}
}

// A document that is not what it should be has a page that says so.
func TestDamagedBatch(t *testing.T) {
	bucket := &mem.Bucket{}
	ledger := stagetest.NewLedger(t, bucket)
	m := stagetest.StageHour(t, ledger, stagetest.Noon, 0)
	stagetest.Deliver(t, ledger, m)
	handler := html.NewHandler(&audit.Report{Plan: catalogue.Plan()}, ledger, slog.New(slog.DiscardHandler))
	path := fmt.Sprintf("/batch/%s/%s", m.Cluster, m.Batch)
	for _, tt := range []struct{ key, text, want string }{
		{m.ID().ReceiptKey("segment"), "<b>", "cannot be used"},
		{m.Files[0].Key, "<b>", "They cannot be read"},
		{m.ID().ManifestKey(), "<b>\n\u202e", "&lt;b&gt;\n\\u202e"},
	} {
		if err := stagetest.Tamper(t.Context(), bucket, tt.key, tt.text); err != nil {
			t.Fatal(err)
		}
		if w := ask(t, handler, "GET", "localhost", path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), tt.want) || strings.Contains(w.Body.String(), "<b>") {
			t.Errorf("%s: %d, no %q", tt.key, w.Code, tt.want)
		}
	}
}

// broken is a bucket that cannot be listed.
type broken struct{ stage.Bucket }

func (broken) List(context.Context, string, string) iter.Seq2[stage.ObjectInfo, error] {
	return func(yield func(stage.ObjectInfo, error) bool) {
		yield(stage.ObjectInfo{}, errors.New("/home/somebody/secret: no"))
	}
}

// What the machine says goes to the log, not into a page.
func TestBrokenBucket(t *testing.T) {
	var log strings.Builder
	handler := html.NewHandler(&audit.Report{Plan: catalogue.Plan()}, stagetest.NewLedger(t, broken{&mem.Bucket{}}), slog.New(slog.NewTextHandler(&log, nil)))
	w := ask(t, handler, "GET", "localhost", "/batches")
	if w.Code != http.StatusBadGateway || strings.Contains(w.Body.String(), "secret") || !strings.Contains(log.String(), "secret") {
		t.Errorf("%d %s\n%s", w.Code, w.Body, log.String())
	}
}

func TestServeEnds(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- html.Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
