// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A Toxic is something that toxiproxy does to the bytes that pass; its documentation says what there is.
type Toxic struct {
	Type string `json:"type"`
	// Stream is "upstream" for what the client sends; the default is what it gets.
	Stream     string         `json:"stream,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Proxy is a proxy on 127.0.0.1 before a server. It ends with the test.
type Proxy struct {
	Addr string // host:port

	upstream string
	toxic    *toxiproxy.Proxy
}

// NewProxy returns a proxy, which does no harm yet, before the server at host:port.
func NewProxy(t testing.TB, upstream string) *Proxy {
	t.Helper()
	p := &Proxy{upstream: upstream}
	t.Cleanup(func() { p.toxic.Stop() })
	for range 100 {
		if p.Addr = proxyAddr(); p.start() == nil {
			return p
		}
	}
	t.Fatal("no port is free for a proxy")
	return nil
}

// proxyPorts counts those given to proxies. They lie between those of freePort and those that the kernel hands to
// outgoing connections, and come once, so that a proxy that was stopped can have its own again.
var proxyPorts atomic.Uint32

func proxyAddr() string {
	const first, ports = 30000, 2700
	port := first + (uint32(os.Getpid())*97+proxyPorts.Add(1))%ports
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
}

func (p *Proxy) start() error {
	p.toxic = toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "proxy", p.Addr, p.upstream)
	return p.toxic.Start()
}

// Add adds toxics to all connections, those that are open included.
func (p *Proxy) Add(t testing.TB, toxics ...Toxic) {
	t.Helper()
	for _, toxic := range toxics {
		text, err := json.Marshal(toxic)
		if err != nil {
			t.Error(err)
		}
		if _, err := p.toxic.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
			t.Errorf("add toxic %s: %v", text, err)
		}
	}
}

// Stop cuts all connections and refuses new ones.
func (p *Proxy) Stop() { p.toxic.Stop() }

// Heal cuts all connections; new ones have no toxics.
func (p *Proxy) Heal(t testing.TB) {
	t.Helper()
	p.toxic.Stop()
	// A process that is being started may hold the port for a moment: a child has all files until it executes.
	if err := eventually(t.Context(), 10*time.Second, func(context.Context) error { return p.start() }); err != nil {
		t.Fatal(err)
	}
}
