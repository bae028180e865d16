// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/extract/internal/extracttest"
	"github.com/segment-bridge/segment-bridge/extract/internal/retry"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// secret is a name that must not come out: it is in every answer.
const secret = extracttest.Secret

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
