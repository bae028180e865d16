// SPDX-License-Identifier: Apache-2.0

// Package segment delivers events to Segment, or to whatever speaks Segment's HTTP tracking API.
//
// analytics-go knows the endpoint, authenticates and tries again. What it does not do lies in the
// [http.RoundTripper] beneath it: which answers are worth another attempt and how long to wait
// for one, finding the event that spoils a batch, and sending the staged bytes of an event and
// no others, so that what an auditor reads in the stage is what left.
//
// An answer of 200 is no proof: Segment gives it for a wrong write key as well, and drops the
// events. Only Segment's own debugger shows that they arrived.
package segment

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/internal/peer"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// What Segment takes. It says 500 KB and leaves open which KB; its own clients differ, and this is the
// smallest of theirs.
const (
	maxBodyBytes  = 475_000
	maxEventBytes = 32_000
	maxEvents     = 2_500
)

// keyLetters is the length of a write key.
const keyLetters = 32

// Options configure a Destination. Only Key is needed.
type Options struct {
	// Key is the write key of the source in Segment.
	Key load.Secret
	// Endpoint is the address of the API: a URL with or without scheme, /v1 and /batch. Empty is
	// Segment in the United States; Dublin is https://events.eu1.segmentapis.com.
	Endpoint string
	// Version of this program, for the User-Agent.
	Version string
	// Gzip compresses the requests.
	Gzip bool
	// Patience is how long one delivery may take with all its retries; 0 is 15 minutes.
	Patience time.Duration
	// DryRun, when set, gets the exact body of each request on a line, and nothing is sent. Key may
	// be empty then.
	DryRun io.Writer
	// Transport is what requests go through; nil is one like [http.DefaultTransport].
	Transport http.RoundTripper
	// Logger may be nil.
	Logger *slog.Logger
}

// A Destination is a [load.Destination]. It is safe for concurrent use.
type Destination struct {
	key       load.Secret
	base      string
	userAgent string
	gzip      bool
	patience  time.Duration
	transport http.RoundTripper
	logger    *slog.Logger

	pacer           peer.Pacer
	requests, bytes atomic.Int64
}

// New returns the destination. It does not connect: an error is one of the configuration.
func New(o Options) (*Destination, error) {
	base, err := baseURL(o.Endpoint)
	if err != nil {
		return nil, err
	}
	d := &Destination{
		key: o.Key, base: base.String(), userAgent: "segment-bridge/" + cmp.Or(o.Version, "dev"), gzip: o.Gzip,
		patience: cmp.Or(o.Patience, 15*time.Minute), transport: o.Transport, logger: o.Logger,
	}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	if d.transport == nil {
		d.transport = newTransport()
	}
	if o.DryRun != nil {
		d.transport, d.gzip = &printer{w: o.DryRun}, false
		return d, nil
	}
	switch key := o.Key.Reveal(); {
	case key == "":
		return nil, errors.New("segment write key is empty: set SEGMENT_WRITE_KEY to the key of the source in Segment")
	case len(key) != keyLetters || strings.ContainsFunc(key, notLetterOrDigit):
		d.logger.Warn("write key is not 32 letters and digits: Segment answers 200 to a wrong key and drops the events; compare it with the key of the source")
	}
	if peer.InTheClear(base) {
		d.logger.Warn("segment endpoint is http: the write key travels in the clear; use https")
	}
	return d, nil
}

// newTransport has room for as many idle connections as there are requests in flight.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second,
	}
}

func notLetterOrDigit(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// Name implements [load.Destination].
func (*Destination) Name() string { return "segment" }

// Traffic returns how many requests were sent so far, and the bytes of their bodies.
func (d *Destination) Traffic() (requests, bytes int64) { return d.requests.Load(), d.bytes.Load() }

// Close implements [load.Destination].
func (d *Destination) Close() error {
	if t, ok := d.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// Deliver implements [load.Destination]. A request that the server refuses is halved until the refused
// event stands alone, which is then Rejected. When not one of several events is taken, the fault is not in
// the events but in the key or the endpoint: that is an error, and nothing is Rejected.
func (d *Destination) Deliver(ctx context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.patience, errPatience)
	defer cancel()
	verdicts := make([]telemetry.Verdict, len(events))
	items := make([]item, 0, len(events))
	for i := range events {
		it, flaw := newItem(&events[i], &verdicts[i])
		if flaw != "" {
			verdicts[i] = telemetry.Verdict{Status: telemetry.Rejected, Reason: flaw}
			continue
		}
		items = append(items, it)
	}
	for batch := range batches(items) {
		if err := d.deliver(ctx, batch); err != nil {
			return verdicts, err
		}
	}
	if len(items) > 1 && !slices.ContainsFunc(items, item.delivered) {
		for _, it := range items {
			*it.verdict = telemetry.Verdict{}
		}
		return verdicts, errors.New("deliver to Segment: every event was refused: check the write key and the endpoint")
	}
	return verdicts, nil
}

// deliver sends the items in one request, or in smaller ones when that is refused. On an error some
// verdicts stay Pending.
func (d *Destination) deliver(ctx context.Context, items []item) error {
	status, err := d.post(ctx, items)
	if err != nil {
		return err
	}
	if classOf(status) == accepted {
		for _, it := range items {
			it.verdict.Status = telemetry.Delivered
		}
		return nil
	}
	if len(items) == 1 {
		*items[0].verdict = telemetry.Verdict{Status: telemetry.Rejected, Reason: statusError(status).Error()}
		return nil
	}
	half := len(items) / 2
	if err := d.deliver(ctx, items[:half]); err != nil {
		return err
	}
	return d.deliver(ctx, items[half:])
}

// batches cuts the items into what fits one request each.
func batches(items []item) iter.Seq[[]item] {
	return func(yield func([]item) bool) {
		start, size := 0, wrapperBytes-1 // the first item has no comma
		for i, it := range items {
			n := len(it.payload) + 1
			if i > start && (size+n > maxBodyBytes || i-start == maxEvents) {
				if !yield(items[start:i]) {
					return
				}
				start, size = i, wrapperBytes-1
			}
			size += n
		}
		if start < len(items) {
			yield(items[start:])
		}
	}
}
