// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/identity"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

var _ identity.Getter = (*kube.Client)(nil)

func TestGetSaysWhyThereIsNothing(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		want   telemetry.Outcome
	}{
		"found":             {200, `{"name":"secret-name"}`, telemetry.OutcomeOK},
		"not found":         {404, `"secret-name" not found`, telemetry.OutcomeAbsent},
		"forbidden":         {403, `cannot get "secret-name"`, telemetry.OutcomeForbidden},
		"unauthorized":      {401, "secret-name", telemetry.OutcomeForbidden},
		"slow behind proxy": {504, "secret-name", telemetry.OutcomeTimeout},
		"not now":           {429, "secret-name", telemetry.OutcomeError},
		"broken":            {500, "secret-name", telemetry.OutcomeError},
		"cut short":         {200, `{"name":"secret-name`, telemetry.OutcomeError},
		"no JSON":           {200, `<secret-name>`, telemetry.OutcomeError},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &cluster{status: map[string]int{"/version": tt.status}, objects: map[string]string{"/version": tt.body}}
			if tt.status == http.StatusOK {
				c.status = nil
			}
			var object struct {
				Name string `json:"name"`
			}
			err := c.client(t).Get(t.Context(), "/version", &object)
			if got := telemetry.OutcomeOf(err); got != tt.want {
				t.Errorf("outcome = %s, want %s (%v)", got, tt.want, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret-name") {
				t.Errorf("error repeats what the server said: %v", err)
			}
		})
	}
}

func TestGetEndsWithItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	client, err := kube.NewClient(server.Client(), server.URL, "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err = client.Get(ctx, "/api/v1/namespaces/secret-name", &struct{}{})
	if telemetry.OutcomeOf(err) != telemetry.OutcomeTimeout || strings.Contains(err.Error(), "secret-name") {
		t.Errorf("err = %v, want a timeout without the path", err)
	}
	server.Close()
	if err := client.Get(t.Context(), "/api/v1/namespaces/secret-name", &struct{}{}); telemetry.OutcomeOf(err) != telemetry.OutcomeError ||
		errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "secret-name") {
		t.Errorf("err = %v, want one without the path", err)
	}
}

// An answer that is left unread would cost a connection, or be an error in the API server's log.
func TestAnswersAreReadToTheirEnd(t *testing.T) {
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/forbidden" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, `{"kind":"Status"}`)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, strings.Repeat("\n", 10_000))
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client, err := kube.NewClient(server.Client(), server.URL, "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/found", "/forbidden", "/found", "/forbidden"} {
		_ = client.Get(t.Context(), path, &struct{}{}) // one half of them is forbidden
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("four requests took %d connections", n)
	}
}

func TestNewClientWantsAnAddress(t *testing.T) {
	for _, base := range []string{"", "10.0.0.1:443", "/version", "ftp://host", "https://"} {
		if _, err := kube.NewClient(http.DefaultClient, base, "test"); err == nil {
			t.Errorf("NewClient(%q) is fine, want an error", base)
		}
	}
}
