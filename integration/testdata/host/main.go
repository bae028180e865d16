// SPDX-License-Identifier: Apache-2.0

// Command host is a program with the library in it, for tests that look at a whole process from outside. It prints one line
// of JSON and stays until its standard input ends.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segment-bridge/segment-bridge/load/kongline"
	"github.com/segment-bridge/segment-bridge/load/secret"
	"github.com/segment-bridge/segment-bridge/load/segment"
	"github.com/segment-bridge/segment-bridge/load/splunk"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/identity"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// settings are the program's only argument, as JSON.
type settings struct {
	Server, Token string // of the API server
	CA            []byte // PEM

	// Collect names the provider that is asked once.
	Collect string
	// Selector is added to the lists of pods and services that the providers ask for. The server then does not say how many
	// remain.
	Selector string

	// Or else a reporter runs, with these destinations.
	Segment, Splunk, Kong string
	Off, OnByDefault      bool
	AskCluster            bool   // about consent
	Known                 bool   // all that is reported, without asking the cluster
	Do                    string // report or preview
}

// answer is what the program prints.
type answer struct {
	Found           map[string]string // metrics, or their outcomes
	Requests, Bytes int64             // to and from the API server
	Peak            string            // of the process's memory

	Refused, Identified, Saved int64 // reports that were refused since telemetry is off, questions for the identity, plans kept
	Decided                    string
	Preview                    string
	Error                      string
}

func main() {
	var s settings
	if err := json.Unmarshal([]byte(os.Args[1]), &s); err != nil {
		panic(err)
	}
	h := &host{settings: s}
	if err := h.run(context.Background()); err != nil {
		h.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(&h.answer); err != nil {
		panic(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

type host struct {
	settings
	answer
	transport                          http.RoundTripper
	requests, bytes, identified, saved atomic.Int64
}

// RoundTrip implements [http.RoundTripper], and counts.
func (h *host) RoundTrip(r *http.Request) (*http.Response, error) {
	h.requests.Add(1)
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+h.Token)
	if h.Selector != "" && (r.URL.Path == "/api/v1/pods" || r.URL.Path == "/api/v1/services") {
		r.URL.RawQuery += "&labelSelector=" + h.Selector
	}
	response, err := h.transport.RoundTrip(r)
	if err == nil {
		response.Body = &counted{response.Body, &h.bytes}
	}
	return response, err
}

type counted struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (h *host) run(ctx context.Context) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.CA)
	h.transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	client, err := kube.NewClient(&http.Client{Transport: h}, h.Server, "host")
	if err != nil {
		return err
	}
	if h.Collect != "" {
		return h.collect(ctx, client)
	}
	return h.report(ctx, client)
}

func (h *host) collect(ctx context.Context, client *kube.Client) error {
	var provider telemetry.Provider
	switch h.Collect {
	case "objects":
		provider = kube.Objects(client)
	case "mesh":
		provider = kube.Mesh(client, kube.ServiceName{Namespace: "crowd", Name: "object-00000"})
	default:
		return errors.New("unknown provider")
	}
	inventory, err := telemetry.NewInventory(2*time.Minute, telemetry.Exact(provider))
	if err != nil {
		return err
	}
	names, err := telemetry.NewKeyedPseudonymizer("the cluster's ID", []byte("a key that stays in the cluster"))
	if err != nil {
		return err
	}
	properties, err := inventory.Collect(ctx, names)
	if err != nil {
		return err
	}
	h.Found = map[string]string{}
	for _, p := range properties {
		h.Found[p.Name] = p.Value.String()
	}
	h.Requests, h.Bytes = h.requests.Load(), h.bytes.Load()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	h.Peak, _, _ = strings.Cut(strings.TrimSpace(rest), "\n")
	return nil
}

func (h *host) report(ctx context.Context, client *kube.Client) error {
	consent := telemetry.Consent{Off: h.Off, OnByDefault: h.OnByDefault, Variable: "HOST_TELEMETRY", Agreement: h}
	if h.AskCluster {
		consent.Cluster = kube.ConfigMapConsent(client, "acme", "telemetry", "consent")
		consent.Console = kube.ConsoleConsent(client)
	}
	destinations, err := h.destinations()
	if err != nil {
		return err
	}
	var providers []telemetry.Provider
	if !h.Known {
		providers = []telemetry.Provider{kube.Platform(client), kube.Objects(client), kube.Routes(client)}
	}
	reporter, err := telemetry.NewReporter(telemetry.Config{
		Product: "host", Version: "1.0.0", Since: "1.0.0", Signals: []string{"start"},
		Identity: func(ctx context.Context) (*telemetry.Pseudonymizer, error) {
			h.identified.Add(1)
			id := "the cluster's ID"
			if !h.Known {
				found, err := identity.Resolve(ctx, client, identity.Options{})
				if err != nil {
					return nil, err
				}
				id = found.ClusterID.Reveal()
			}
			return telemetry.NewKeyedPseudonymizer(id, []byte("a key that stays in the cluster"))
		},
		Providers: providers, Destinations: destinations, Consent: consent,
		Period: time.Millisecond, Timeout: time.Second,
	})
	if err != nil {
		return err
	}
	go func() { _ = reporter.Run(ctx) }() // as long as the process lives
	switch h.Do {
	case "preview":
		text, err := reporter.Preview(ctx, "start")
		h.Preview = string(bytes.TrimSpace(text))
		return err
	case "report":
		for range 100 { // beside those that are made in each period, which is a very short one
			if _, err := reporter.Report(ctx, "start"); errors.Is(err, telemetry.ErrOff) {
				h.Refused++
			} else if err != nil {
				return err
			} else {
				break
			}
		}
	}
	h.Decided = reporter.Status(ctx).Decision.By
	h.Identified, h.Saved = h.identified.Load(), h.saved.Load()
	return nil
}

func (h *host) destinations() ([]telemetry.Destination, error) {
	var all []telemetry.Destination
	if h.Segment != "" {
		d, err := segment.New(segment.Options{Key: secret.New("0123456789abcdefghijABCDEFGHIJ01"), Endpoint: h.Segment})
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	if h.Splunk != "" {
		d, err := splunk.New(splunk.Options{Token: secret.New("5e9b6c1f-77a0-4f5e-9d3c-c0ffee5eed01"), URL: h.Splunk})
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	if h.Kong != "" {
		d, err := kongline.New(kongline.Options{Address: h.Kong})
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// Load and Save make the program its own [telemetry.Agreement].
func (*host) Load(context.Context) ([]byte, error) {
	return nil, fmt.Errorf("no plan: %w", fs.ErrNotExist)
}

func (h *host) Save(context.Context, []byte) error {
	h.saved.Add(1)
	return nil
}
