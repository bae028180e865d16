// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/internal/extracttest"
)

func TestGet(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []answer
		outcome string
		status  int
	}{
		{name: "there", answers: []answer{{body: `{"metadata":{"uid":"u"}}`}}},
		{name: "there after a moment", answers: []answer{{status: 500}, {body: `{"metadata":{"uid":"u"}}`, cut: 5}, {body: `{"metadata":{"uid":"u"}}`}}},
		{name: "not there", answers: []answer{{status: 404}}, outcome: "absent", status: 404},
		{name: "not allowed", answers: []answer{{status: 403}}, outcome: "forbidden", status: 403},
		{name: "not JSON", answers: []answer{{body: `<html>` + secret}}, outcome: "error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &script{t: t, answers: test.answers}
			var object struct {
				Metadata struct{ UID string }
			}
			err := newClient(t, server).Get(t.Context(), "/api/v1/namespaces/kube-system", &object)
			extracttest.CheckError(t, err, test.outcome, "get /api/v1/namespaces/kube-system")
			if e, ok := errors.AsType[*extract.Error](err); ok && e.Status != test.status {
				t.Errorf("status is %d, want %d", e.Status, test.status)
			}
			if err == nil && object.Metadata.UID != "u" {
				t.Errorf("object is %v", object)
			}
			if len(server.requests()) != len(test.answers) {
				t.Errorf("%d requests are made, want %d", len(server.requests()), len(test.answers))
			}
		})
	}
}

// A server that notices that we hang up may still say something. That is not why the request ended: it took too long, and
// is not worth another try.
func TestAnswerAfterTheTimeIsUp(t *testing.T) {
	client := newClient(t, &script{t: t, answers: []answer{{body: "{}"}}})
	client.timeout = 100 * time.Millisecond
	err := client.open(t.Context(), "/apis", nil, func(io.Reader) error {
		time.Sleep(2 * client.timeout)
		return io.EOF
	})
	if !errors.Is(err, context.DeadlineExceeded) || temporary(err) {
		t.Errorf("the error is %v", err)
	}
}

func TestUntrustedServer(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer server.Close()
	client, err := NewClient(&rest.Config{Host: server.URL}, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	err = client.Get(t.Context(), "/version", new(struct{}))
	extracttest.CheckError(t, err, "error", "CA")
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests reach a server that is not trusted", n)
	}
}

func TestConfig(t *testing.T) {
	kubeconfig := func(host string) string {
		path := filepath.Join(t.TempDir(), "config")
		text := strings.ReplaceAll(`{"apiVersion":"v1","kind":"Config","current-context":"c",
			"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
			"clusters":[{"name":"c","cluster":{"server":"HOST"}}],"users":[{"name":"u","user":{"token":"t"}}]}`, "HOST", host)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	given, listed := kubeconfig("https://given:6443"), kubeconfig("https://listed:6443")
	missing := filepath.Join(t.TempDir(), "missing")
	for _, test := range []struct {
		name, flag, env, pod string
		want, wantError      string
	}{
		{name: "flag", flag: given, env: listed, pod: "10.0.0.1", want: "https://given:6443"},
		{name: "KUBECONFIG", env: missing + string(filepath.ListSeparator) + listed, pod: "10.0.0.1", want: "https://listed:6443"},
		{name: "flag names no file", flag: missing, env: listed, wantError: "--kubeconfig"},
		{name: "pod without a token", pod: "10.0.0.1", wantError: "mount its token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", test.env)
			t.Setenv("KUBERNETES_SERVICE_HOST", test.pod)
			t.Setenv("KUBERNETES_SERVICE_PORT", "443")
			config, err := Config(test.flag)
			if test.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantError) {
					t.Errorf("error is %v, want one with %q", err, test.wantError)
				}
				return
			}
			if err != nil || config.Host != test.want {
				t.Errorf("host is %v with error %v, want %s", config, err, test.want)
			}
		})
	}
}
