// SPDX-License-Identifier: Apache-2.0

// Package splunk delivers events to Splunk's HTTP Event Collector (HEC), or to whatever speaks its protocol.
//
// The track call of an event is the "event" of its HEC object, byte for byte as it was staged, so that a
// search sees messageId, event and properties.* as fields. HEC does not know events again: what is sent
// twice, after a crash or an answer that got lost, is there twice, and "dedup messageId" in a search removes
// the second. Nothing is put into indexed fields, since a search would show those values doubled.
//
// An answer of 200 says that Splunk took the events, not that they are indexed: events for an index that does
// not exist are dropped without a word. With [Options].Ack an event is delivered once an indexer has
// acknowledged it.
package splunk

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segment-bridge/segment-bridge/load/internal/peer"
	"github.com/segment-bridge/segment-bridge/load/secret"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// maxBodyBytes is the largest body, before compression. Splunk Cloud documents 1 MB.
const maxBodyBytes = 900_000

// Options configure a Destination. Only URL and Token are needed.
type Options struct {
	// URL is the address of the collector, with or without scheme (https then) and /services/collector. The
	// port is 8088 on most servers and 443 in Splunk Cloud.
	URL string
	// Token is the HEC token.
	Token secret.Secret
	// Index, unless empty, is where events go instead of the token's default index.
	Index string
	// Host of the events; empty is the pseudonym of the cluster that an event is of.
	Host string
	// Source and SourceType of the events; empty is "segment-bridge" and "segment:track".
	Source, SourceType string
	// Ack waits for the indexers' acknowledgement, which has to be enabled for the token.
	Ack bool
	// CAFile holds the authorities to trust; empty is those of the system.
	CAFile string
	// Gzip compresses the requests.
	Gzip bool
	// UserAgent is how the program calls itself; empty is "segment-bridge".
	UserAgent string
	// Patience is how long one delivery may take with all its retries; 0 is 15 minutes.
	Patience time.Duration
	// DryRun, when set, gets the exact body of each request, one event a line, and nothing is sent. URL and
	// Token may be empty then.
	DryRun io.Writer
	// Transport is what requests go through instead of one that trusts CAFile.
	Transport http.RoundTripper
	// Logger may be nil.
	Logger *slog.Logger
}

// A Destination is a load.Destination. It is safe for concurrent use.
type Destination struct {
	url       string // up to and including /services/collector
	token     secret.Secret
	index     string
	host      string
	source    string
	kind      string
	channel   string // empty without acknowledgement
	userAgent string
	gzip      bool
	patience  time.Duration
	client    *http.Client
	logger    *slog.Logger
	pacer     peer.Pacer

	requests, bytes atomic.Int64

	mu      sync.Mutex
	dryRun  io.Writer // nil, or guarded by mu
	acks    bool      // the token is known to have acknowledgement; guarded by mu
	advised bool      // of full queues; guarded by mu
}

// New returns the destination. It does not connect: an error is one of the configuration.
func New(o Options) (*Destination, error) {
	d := &Destination{
		token: o.Token, index: o.Index, host: o.Host, gzip: o.Gzip, dryRun: o.DryRun, logger: o.Logger,
		source: cmp.Or(o.Source, "segment-bridge"), kind: cmp.Or(o.SourceType, "segment:track"),
		userAgent: cmp.Or(o.UserAgent, "segment-bridge"), patience: cmp.Or(o.Patience, 15*time.Minute),
	}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	for _, name := range []string{d.index, d.host, d.source, d.kind} {
		if len(name) > maxNameBytes {
			return nil, fmt.Errorf("splunk index, host, source or sourcetype is longer than %d bytes: shorten it", maxNameBytes)
		}
	}
	if o.DryRun != nil {
		return d, nil
	}
	if err := d.address(o.URL); err != nil {
		return nil, err
	}
	if err := d.checkToken(); err != nil {
		return nil, err
	}
	if o.Ack {
		d.channel = newChannel()
	}
	return d, d.connect(o)
}

// maxNameBytes leaves room for an event beside its index, host, source and sourcetype.
const maxNameBytes = 1024

// address settles where requests go.
func (d *Destination) address(text string) error {
	base, err := baseURL(text)
	if err != nil {
		return err
	}
	d.url = base.String() + collectorPath
	if peer.InTheClear(base) {
		d.logger.Warn("splunk URL is http: the token travels in the clear; use https")
	}
	switch base.Port() {
	case "8000":
		d.logger.Warn("splunk URL has port 8000, which is Splunk's web interface: its HTTP Event Collector listens on 8088 unless configured otherwise")
	case "8089":
		d.logger.Warn("splunk URL has port 8089, which is Splunk's management port: its HTTP Event Collector listens on 8088 unless configured otherwise")
	}
	return nil
}

func (d *Destination) checkToken() error {
	switch token := d.token.Reveal(); {
	case token == "":
		return errors.New("splunk token is empty: create one in Splunk under Settings, Data inputs, HTTP Event Collector")
	case strings.HasPrefix(token, "Splunk "):
		return errors.New("splunk token begins with \"Splunk \": give the token alone")
	case strings.ContainsFunc(token, notVisible):
		return errors.New("splunk token holds spaces, line breaks or letters beyond ASCII: give the token alone")
	case !isGUID(token):
		d.logger.Warn("splunk token is not of the form 01234567-89ab-cdef-0123-456789abcdef, as Splunk makes them: compare it with the one in Splunk")
	}
	return nil
}

func notVisible(r rune) bool { return r <= ' ' || r > '~' }

// connect makes the HTTP client. A channel's acknowledgements are in the memory of one receiver: cookies let a
// load balancer send all requests of the channel there.
func (d *Destination) connect(o Options) error {
	transport := o.Transport
	if transport == nil {
		config, err := peer.ClientTLS(o.CAFile)
		if err != nil {
			return err
		}
		transport = peer.NewTransport(config)
	}
	d.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if d.channel != "" {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return fmt.Errorf("keep cookies: %w", err)
		}
		d.client.Jar = jar
	}
	return nil
}

// newChannel returns a random GUID.
func newChannel() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Name implements load.Destination.
func (*Destination) Name() string { return "splunk" }

// Assurance implements load.Assurer.
func (d *Destination) Assurance() string {
	if d.channel != "" {
		return "indexed"
	}
	return "accepted"
}

// Traffic returns how many requests were sent so far, and the bytes of their bodies.
func (d *Destination) Traffic() (requests, bytes int64) { return d.requests.Load(), d.bytes.Load() }

// Close implements load.Destination.
func (d *Destination) Close() error {
	if d.client != nil {
		d.client.CloseIdleConnections()
	}
	return nil
}

// Deliver implements load.Destination. When HEC refuses one event of a request, that event is Rejected and the
// delivery goes on behind it. When not one of several events is taken, the fault is not in the events: that
// is an error, and nothing is Rejected.
func (d *Destination) Deliver(ctx context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	verdicts := make([]telemetry.Verdict, len(events))
	if ctx.Err() != nil {
		return verdicts, fmt.Errorf("deliver to Splunk: %w", context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.patience, peer.ErrPatience)
	defer cancel()
	items := make([]item, 0, len(events))
	for i := range events {
		it, flaw := d.newItem(&events[i])
		if flaw != "" {
			verdicts[i] = telemetry.Verdict{Status: telemetry.Rejected, Reason: flaw}
			continue
		}
		it.verdict = &verdicts[i]
		items = append(items, it)
	}
	var err error
	if len(items) > 0 {
		err = d.requireAck(ctx)
	}
	for batch := range batches(items) {
		if err == nil {
			err = d.deliver(ctx, batch)
		}
	}
	if err == nil && len(items) > 1 && !anyDelivered(items) {
		for _, it := range items {
			*it.verdict = telemetry.Verdict{}
		}
		err = errors.New("every event was refused: check the URL, and what the token takes")
	}
	if err != nil {
		return verdicts, fmt.Errorf("deliver to Splunk: %w", err)
	}
	return verdicts, nil
}

// deliver sends the items, as many requests as that takes. On an error some verdicts stay Pending.
func (d *Destination) deliver(ctx context.Context, items []item) error {
	for len(items) > 0 {
		a, err := d.send(ctx, items)
		if err != nil {
			return err
		}
		bad := a.bad(len(items))
		switch {
		case a.class() == accepted:
			if err := d.await(ctx, a); err != nil {
				return err
			}
			settle(items, telemetry.Verdict{Status: telemetry.Delivered})
			return nil
		case bad >= 0 && d.channel == "":
			// Those before the bad one are indexed, and nothing from it on.
			settle(items[:bad], telemetry.Verdict{Status: telemetry.Delivered})
			settle(items[bad:bad+1], a.rejection())
			items = items[bad+1:]
		case bad >= 0:
			// Those before the bad one are indexed as well, but such an answer has nothing to acknowledge.
			settle(items[bad:bad+1], a.rejection())
			items = append(items[:bad:bad], items[bad+1:]...)
		case len(items) == 1:
			settle(items, a.rejection())
			return nil
		default:
			half := len(items) / 2
			if err := d.deliver(ctx, items[:half]); err != nil {
				return err
			}
			items = items[half:]
		}
	}
	return nil
}

func settle(items []item, v telemetry.Verdict) {
	for _, it := range items {
		*it.verdict = v
	}
}
