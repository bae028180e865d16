// SPDX-License-Identifier: Apache-2.0

// Package otlp delivers events as log records to an OpenTelemetry collector, or to whatever takes OTLP over HTTP.
//
// A record has the name of the event (as event name and, for back ends that do not know of those, as body), its
// time, and as attributes its message ID and its properties, each under its name in the tracking plan and with its
// own type; properties that are null are left out. The scope of the record is the program that made the event, its
// resource the one that sends it. The resource holds nothing else: OTEL_RESOURCE_ATTRIBUTES, which often names pods
// and nodes, is not read.
//
// # What delivered means
//
// An event is delivered when the collector answered, in OTLP, that it took the request. What becomes of it behind the
// collector nobody says. Nor does OTLP know events again: what is sent twice, after a crash or an answer that got
// lost, is there twice, and a back end tells by the attribute messageId. A collector that takes some records of a
// request says how many it refused and not which, and forbids to send them again: then every event of the request is
// rejected with a reason that says so.
//
// Nothing of the OpenTelemetry SDK is used, nor its global state.
package otlp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segment-bridge/segment-bridge/load/internal/peer"
	"github.com/segment-bridge/segment-bridge/load/secret"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// maxRecords is the most records of one request: what OpenTelemetry's own clients send at once.
const maxRecords = 512

// Options configure a Destination. Only URL is needed. [Environment] makes them of OpenTelemetry's standard variables.
type Options struct {
	// URL is where log records go, path and all, such as https://collector.example:4318/v1/logs.
	URL string
	// Headers go with each request. Their values are secrets.
	Headers map[string]secret.Secret
	// CAFile holds the authorities to trust; empty is those of the system.
	CAFile string
	// CertFile and KeyFile, if any, are what the program shows to the collector.
	CertFile, KeyFile string
	// Gzip compresses the requests.
	Gzip bool
	// Timeout is how long one request may take; 0 is 10 seconds.
	Timeout time.Duration
	// Service and Version name the program that sends, as service.name and service.version; empty is "segment-bridge"
	// and no version.
	Service, Version string
	// Patience is how long one delivery may take with all its retries; 0 is 15 minutes.
	Patience time.Duration
	// DryRun, when set, gets each request on a line, in OTLP's JSON form, and nothing is sent. URL may be empty then.
	DryRun io.Writer
	// Transport is what requests go through instead of one that trusts CAFile.
	Transport http.RoundTripper
	// Logger may be nil.
	Logger *slog.Logger
}

// A Destination is a load.Destination. It is safe for concurrent use.
type Destination struct {
	url       string
	headers   map[string]secret.Secret
	service   string
	version   string
	gzip      bool
	timeout   time.Duration
	patience  time.Duration
	transport http.RoundTripper
	logger    *slog.Logger
	pacer     peer.Pacer

	requests, bytes atomic.Int64

	mu     sync.Mutex
	dryRun io.Writer // nil, or guarded by mu
	warned bool      // that the collector had something to say; guarded by mu
}

// New returns the destination. It does not connect: an error is one of the configuration.
func New(o Options) (*Destination, error) {
	d := &Destination{
		headers: o.Headers, service: cmp.Or(o.Service, "segment-bridge"), version: o.Version, gzip: o.Gzip,
		timeout: cmp.Or(o.Timeout, 10*time.Second), patience: cmp.Or(o.Patience, 15*time.Minute),
		transport: o.Transport, dryRun: o.DryRun, logger: o.Logger,
	}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	if o.DryRun != nil {
		return d, nil
	}
	u, err := peer.ParseURL("OTLP URL", "https://collector.example:4318/v1/logs", o.URL)
	if err != nil {
		return nil, err
	}
	d.url = u.String()
	for name, value := range o.Headers {
		if !validHeader(name, value.Reveal()) {
			return nil, errors.New("an OTLP header has a name or a value that HTTP does not allow: write them as name=value,name=value with percent-encoded values")
		}
	}
	if peer.InTheClear(u) && len(o.Headers) > 0 {
		d.logger.Warn("OTLP URL is http: the headers travel in the clear; use https")
	}
	if u.Port() == "4317" {
		d.logger.Warn("OTLP URL has port 4317, where collectors take gRPC: HTTP is on 4318 unless configured otherwise")
	}
	if d.transport == nil {
		config, err := clientTLS(&o)
		if err != nil {
			return nil, err
		}
		d.transport = peer.NewTransport(config)
	}
	return d, nil
}

func clientTLS(o *Options) (*tls.Config, error) {
	config, err := peer.ClientTLS(o.CAFile)
	if err != nil || o.CertFile == "" && o.KeyFile == "" {
		return config, err
	}
	pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil { // its text has the names of the files
		return nil, errors.New("read client certificate and key: give two PEM files that belong together and may be read")
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// validHeader reports whether a header can be sent.
func validHeader(name, value string) bool {
	const separators = `()<>@,;:\"/[]?={}`
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(separators, r) }) &&
		!strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// Name implements load.Destination.
func (*Destination) Name() string { return "otlp" }

// Assurance implements load.Assurer.
func (*Destination) Assurance() string { return "accepted" }

// Traffic returns how many requests were sent so far, and the bytes of their bodies.
func (d *Destination) Traffic() (requests, bytes int64) { return d.requests.Load(), d.bytes.Load() }

// Close implements load.Destination.
func (d *Destination) Close() error {
	if c, ok := d.transport.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
	return nil
}

// Deliver implements load.Destination, with the package's notion of delivered. An event that the collector refuses is
// found and Rejected. When not one of several events is taken, the fault is not in the events: that is an error, and
// nothing is Rejected.
func (d *Destination) Deliver(ctx context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	verdicts := make([]telemetry.Verdict, len(events))
	if ctx.Err() != nil {
		return verdicts, fmt.Errorf("deliver to OpenTelemetry collector: %w", context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.patience, peer.ErrPatience)
	defer cancel()
	items := make([]item, 0, len(events))
	for i := range events {
		it, flaw := newItem(&events[i])
		if flaw != "" {
			verdicts[i] = telemetry.Verdict{Status: telemetry.Rejected, Reason: flaw}
			continue
		}
		it.verdict = &verdicts[i]
		items = append(items, it)
	}
	s := sending{d: d}
	var err error
	for chunk := range slices.Chunk(items, maxRecords) {
		if err = s.send(ctx, chunk); err != nil {
			break
		}
	}
	if !s.taken && len(items) > 1 {
		settle(items, telemetry.Verdict{})
		err = cmp.Or(err, errAllRefused)
	}
	if err != nil {
		return verdicts, fmt.Errorf("deliver to OpenTelemetry collector: %w", err)
	}
	return verdicts, nil
}

var errAllRefused = errors.New("every event was refused: check the URL, and what the collector takes")

// maxRefused is how many events are looked at alone before any is taken: then none of them is to blame.
const maxRefused = 10

// A sending is one delivery.
type sending struct {
	d       *Destination
	taken   bool // at least one event, or so it may be
	refused int  // events that were alone in their request
}

// send sends the items in one request, or in smaller ones when that is refused. On an error some verdicts stay
// Pending.
func (s *sending) send(ctx context.Context, items []item) error {
	a, err := s.d.post(ctx, items)
	switch {
	case err != nil:
		return err
	case a.class() == accepted && a.refused == 0:
		s.taken = true
		settle(items, telemetry.Verdict{Status: telemetry.Delivered})
		return nil
	case a.class() == accepted && int(a.refused) < len(items):
		s.taken = true
		settle(items, telemetry.Verdict{Status: telemetry.Rejected, Reason: fmt.Sprintf("the collector refused %d of %d log records and does not say which", a.refused, len(items))})
		return nil
	case a.class() == accepted:
		settle(items, telemetry.Verdict{Status: telemetry.Rejected, Reason: "the collector refused the log record"})
		return nil
	case len(items) == 1:
		settle(items, telemetry.Verdict{Status: telemetry.Rejected, Reason: a.Error()})
		if s.refused++; s.refused == maxRefused && !s.taken {
			return fmt.Errorf("%w: %w", a, errAllRefused)
		}
		return nil
	default:
		half := len(items) / 2
		if err := s.send(ctx, items[:half]); err != nil {
			return err
		}
		return s.send(ctx, items[half:])
	}
}

func settle(items []item, v telemetry.Verdict) {
	for _, it := range items {
		*it.verdict = v
	}
}
