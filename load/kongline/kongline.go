// SPDX-License-Identifier: Apache-2.0

// Package kongline delivers events in the line format of Kong's telemetry, over TLS, to receivers that were
// built for it. Where there is a choice, package splunk is the better one.
//
// An event is one line of the priority of a syslog message and pairs of key and value:
//
//	<14>signal=PipelineRun Completed;messageId=...;timestamp=...;version=...;durationSeconds=17;status=Succeeded;
//
// signal is the name of the event; where the event has a property signal, as the reports of package telemetry do, it
// is that, and event is the name. version is that of the program; the properties follow in the order of their
// names, those that are null left out. A value that is neither text, number nor truth is JSON. In names and
// values, percent signs, semicolons, equals signs, control bytes and what is not UTF-8 are
// percent-encoded, so that no value can pass for another pair or line; urldecode in a Splunk search decodes them.
//
// # What delivered means
//
// The protocol has no acknowledgement. An event is delivered when its line was written to a connection that
// the receiver then, having been told that this was the end, ended in good order. A receiver does that after it
// has read all; what it does with the lines, and whether it stores them, nobody says, and a receiver that
// happens to leave at that very moment looks the same. Every other end leaves the events pending, and they are sent
// again, with the same message IDs: some may then be there twice.
package kongline

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segment-bridge/segment-bridge/load/internal/peer"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// attemptTimeout is how long one connection may take, from dialling to the receiver's end.
const attemptTimeout = time.Minute

// Options configure a Destination. Only Address is needed.
type Options struct {
	// Address is host:port of the receiver.
	Address string
	// CAFile holds the authorities to trust; empty is those of the system.
	CAFile string
	// Patience is how long one delivery may take with all its retries; 0 is 15 minutes.
	Patience time.Duration
	// DryRun, when set, gets the lines, and nothing is sent. Address may be empty then.
	DryRun io.Writer
	// Dial connects; nil is [net.Dialer.DialContext]. TLS is spoken over what it returns.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger may be nil.
	Logger *slog.Logger
}

// A Destination is a load.Destination. It is safe for concurrent use.
type Destination struct {
	address  string
	tls      *tls.Config
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	patience time.Duration
	logger   *slog.Logger
	pacer    peer.Pacer

	connections, bytes atomic.Int64

	mu     sync.Mutex
	dryRun io.Writer // nil, or guarded by mu
}

// New returns the destination. It does not connect: an error is one of the configuration.
func New(o Options) (*Destination, error) {
	d := &Destination{
		dial: o.Dial, patience: cmp.Or(o.Patience, 15*time.Minute), dryRun: o.DryRun, logger: o.Logger,
	}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	if d.dial == nil {
		d.dial = (&net.Dialer{}).DialContext
	}
	if o.DryRun != nil {
		return d, nil
	}
	address := strings.TrimPrefix(strings.TrimSpace(o.Address), "tls://")
	host, port, err := net.SplitHostPort(address)
	switch { // the errors do not repeat the address
	case address == "":
		return nil, errors.New("address of the line receiver is empty: give host:port")
	case err != nil || host == "" || port == "":
		return nil, errors.New("address of the line receiver is not host:port: give one such as telemetry.example:61833")
	}
	if d.tls, err = peer.ClientTLS(o.CAFile); err != nil {
		return nil, err
	}
	d.address, d.tls.ServerName = address, host
	return d, nil
}

// Name implements load.Destination.
func (*Destination) Name() string { return "kong" }

// Assurance implements load.Assurer.
func (*Destination) Assurance() string { return "sent" }

// Traffic returns how many connections were made so far, and the bytes of the lines written.
func (d *Destination) Traffic() (requests, bytes int64) { return d.connections.Load(), d.bytes.Load() }

// Close implements load.Destination. Every delivery has ended its connection.
func (*Destination) Close() error { return nil }

// Deliver implements load.Destination, with the package's notion of delivered. All events go over one connection.
func (d *Destination) Deliver(ctx context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	verdicts := make([]telemetry.Verdict, len(events))
	if ctx.Err() != nil {
		return verdicts, fmt.Errorf("deliver lines: %w", context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.patience, peer.ErrPatience)
	defer cancel()
	var lines []byte
	for i := range events {
		before := len(lines)
		var flaw string
		if lines, flaw = appendLine(lines, &events[i]); flaw != "" {
			lines = lines[:before]
			verdicts[i] = telemetry.Verdict{Status: telemetry.Rejected, Reason: flaw}
		}
	}
	if len(lines) > 0 {
		if err := d.send(ctx, lines); err != nil {
			return verdicts, fmt.Errorf("deliver lines: %w", err)
		}
	}
	for i := range verdicts {
		if verdicts[i].Status == telemetry.Pending {
			verdicts[i].Status = telemetry.Delivered
		}
	}
	return verdicts, nil
}

// send writes lines, on a new connection for each attempt.
func (d *Destination) send(ctx context.Context, lines []byte) error {
	if d.dryRun != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if _, err := d.dryRun.Write(lines); err != nil {
			return fmt.Errorf("print lines: %w", err)
		}
		return nil
	}
	return d.pacer.Do(ctx, func(ctx context.Context) error { return d.attempt(ctx, lines) })
}

// Check tells whether the receiver is there and its certificate is trusted. No line is sent.
func (d *Destination) Check(ctx context.Context) error {
	if err := d.attempt(ctx, nil); err != nil {
		return fmt.Errorf("connect to the line receiver: %w", err)
	}
	return nil
}

// errNoEnd is no [peer.Again]: a receiver that never ends a connection would get the lines with every attempt.
var errNoEnd = errors.New("the receiver took the lines and does not end the connection, so that nothing tells whether it read them: check that it is a line receiver, and healthy")

// attempt writes the lines to a connection of their own and waits for its end.
func (d *Destination) attempt(ctx context.Context, lines []byte) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	d.connections.Add(1)
	raw, err := d.dial(ctx, "tcp", d.address)
	if err != nil {
		return peer.Broken(err)
	}
	defer raw.Close()
	// Closing unblocks whatever reads or writes.
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	conn := tls.Client(raw, d.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		return peer.Broken(err)
	}
	var readErr error
	ended := make(chan struct{})
	go func() { // a connection with something unread, such as session tickets, would be reset when it is closed
		defer close(ended)
		_, readErr = io.Copy(io.Discard, conn)
	}()
	written, err := conn.Write(lines)
	d.bytes.Add(int64(written))
	if err == nil {
		select {
		case <-ended:
			return &peer.Again{Reason: errors.New("the receiver ended the connection early")}
		default:
			err = conn.CloseWrite()
		}
	}
	if err != nil {
		_ = raw.Close()
		<-ended
		return broken(ctx, err)
	}
	<-ended
	switch {
	case readErr == nil:
		return nil
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return errNoEnd
	default:
		return broken(ctx, readErr)
	}
}

// broken says why a connection failed.
func broken(ctx context.Context, err error) error {
	return peer.Broken(cmp.Or(ctx.Err(), err))
}
