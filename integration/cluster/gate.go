// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// A Gate stands before a server. Requests pass, until one is to be held: so a test knows for certain what a pod is doing
// when the server dies.
type Gate struct {
	URL string // inside the cluster

	mu   sync.Mutex
	trap *Trap
}

// A Trap holds the first request that matches. What comes after it passes.
type Trap struct {
	matches func(*http.Request) bool
	caught  chan struct{} // closed when there is one
	cut     chan struct{} // closed when its connection breaks off
}

// Gate stands before a server: "minio.minio.svc:9000". Pods find it at the gate's URL.
func (c *Cluster) Gate(t testing.TB, server string) *Gate {
	t.Helper()
	g := &Gate{}
	listener, address := c.Listen(t)
	g.URL = address
	transport := &http.Transport{DialContext: c.Dial, DisableCompression: true}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: server})
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: transport,
		// Who is behind the gate is gone: it looks as it would without one.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	served := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.pass(r)
		proxy.ServeHTTP(w, r)
	})}
	ended := make(chan struct{})
	go func() {
		served.Serve(listener) //nolint:errcheck // until it is closed
		close(ended)
	}()
	t.Cleanup(func() {
		served.Close() //nolint:errcheck // the cluster goes as well
		<-ended
		transport.CloseIdleConnections()
	})
	return g
}

// pass returns unless the request is to be held.
func (g *Gate) pass(r *http.Request) {
	g.mu.Lock()
	trap := g.trap
	if trap == nil || !trap.matches(r) {
		g.mu.Unlock()
		return
	}
	g.trap = nil
	g.mu.Unlock()
	close(trap.caught)
	select {
	case <-trap.cut:
	case <-r.Context().Done():
	}
	panic(http.ErrAbortHandler)
}

// Hold holds the next request that matches.
func (g *Gate) Hold(matches func(*http.Request) bool) *Trap {
	trap := &Trap{matches: matches, caught: make(chan struct{}), cut: make(chan struct{})}
	g.mu.Lock()
	g.trap = trap
	g.mu.Unlock()
	return trap
}

// Await returns when a request is held.
func (p *Trap) Await(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case <-p.caught:
	case <-ctx.Done():
		t.Fatal("the request to hold has not come within a minute")
	}
}

// Cut breaks off the connection of the request, as it does when a server dies.
func (p *Trap) Cut() { close(p.cut) }
