// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/segment-bridge/segment-bridge/load/internal/peer"
)

// attempts is how often analytics-go tries a request.
const attempts = 10

// An attempt has a moment for the answer, and what a line of 80 kbit/s takes for the body.
const (
	answerTime     = 10 * time.Second
	bytesPerSecond = 10_000
)

// errPatience is the cause of the end of a delivery that took too long.
var errPatience = errors.New("the server did not take the events in the time given")

// post sends the items in one request, with retries, and returns the status that settled it: one that is
// accepted or refused. Otherwise it returns an error.
//
// Each request has an analytics-go client of its own, and is one message in its queue: the client would marshal
// each event twice, and the staged bytes go out in their place all the same. The connections beneath are shared.
func (d *Destination) post(ctx context.Context, items []item) (status int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &post{Destination: d, ctx: ctx, cancel: cancel, tail: tail(items), settled: make(chan struct{})}
	if err := d.pacer.Hold(ctx); err != nil {
		return 0, fmt.Errorf("deliver to Segment: %w", err)
	}
	client, err := analytics.NewWithConfig(d.key.Reveal(), analytics.Config{
		Endpoint: d.base, Transport: p, Callback: p, RetryAfter: p.wait, BatchSize: 1,
		Logger: mute{}, // its lines hold whole events and whole answers
	})
	if err != nil {
		return 0, errors.New("deliver to Segment: analytics-go does not take its configuration")
	}
	if client.Enqueue(analytics.Track{Event: "request", AnonymousId: anonymous}) != nil {
		cancel(errNotTaken)
	}
	// Close cuts the waits between attempts and makes the next failure final. So it comes after the outcome,
	// unless it is time to stop.
	select {
	case <-p.settled:
	case <-ctx.Done():
	}
	_ = client.Close() // returns when no attempt is in flight
	return p.result()
}

var errNotTaken = errors.New("analytics-go did not take the request")

// A post is one request over as many attempts as it takes. For analytics-go it is transport, callback and
// retry policy.
type post struct {
	*Destination
	ctx     context.Context // of the delivery: analytics-go knows none
	cancel  context.CancelCauseFunc
	tail    []byte        // the body after sentAt
	settled chan struct{} // closed at the outcome

	mu     sync.Mutex // held during an attempt
	tried  int
	status int   // of the answer that settled the request, or 0
	last   error // why the last attempt did not settle it
}

// RoundTrip implements [http.RoundTripper]. Once the request is settled, for better or worse, it answers 200
// by itself: analytics-go would try a refused request nine times more.
func (p *post) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close() // its message, for which the payloads go out
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status == 0 {
		status, wait, err := p.attempt(req)
		switch {
		case errors.Is(err, errPrint):
			p.cancel(err)
			return nil, err
		case err != nil && p.ctx.Err() != nil:
			return nil, p.ctx.Err()
		case err != nil:
			p.last = peer.Broken(err) // tried again, whatever it is: the next run would do the same
			return nil, p.last
		case classOf(status) == transient:
			p.last = statusError(status)
			p.postpone(wait)
			return answer(req, status), nil
		}
		p.status = status
	}
	return answer(req, http.StatusOK), nil
}

// attempt sends the payloads once. The status comes with the wait that the server asked for.
func (p *post) attempt(req *http.Request) (status int, wait time.Duration, err error) {
	// The context of req ends with the ten seconds that analytics-go gives every attempt, whatever its size, and
	// is left aside. That of p ends with the delivery.
	body := len(p.tail) + wrapperBytes
	ctx, cancel := context.WithTimeout(p.ctx, answerTime+time.Duration(body)*time.Second/bytesPerSecond)
	defer cancel()
	out, err := p.newRequest(ctx, req)
	if err != nil {
		return 0, 0, err
	}
	p.tried++
	p.requests.Add(1)
	p.bytes.Add(out.ContentLength)
	response, err := p.transport.RoundTrip(out)
	if err != nil {
		return 0, 0, err
	}
	// A body read to its end leaves the connection to the next request. What it says does not matter, nor
	// that it breaks off: the status is the answer.
	_, _ = io.CopyN(io.Discard, response.Body, maxDrainBytes)
	_ = response.Body.Close()
	return response.StatusCode, peer.RetryAfter(response.Header.Get("Retry-After"), time.Now()), nil
}

// newRequest is req with the staged payloads as its body. sentAt is the time of the attempt: Segment corrects
// the time of an event by the difference between sentAt and its own clock.
func (p *post) newRequest(ctx context.Context, req *http.Request) (*http.Request, error) {
	head := head(time.Now())
	body := func() io.Reader { return io.MultiReader(bytes.NewReader(head), bytes.NewReader(p.tail)) }
	length := len(head) + len(p.tail)
	if p.gzip {
		packed, err := peer.Pack(body())
		if err != nil {
			return nil, err
		}
		body = func() io.Reader { return bytes.NewReader(packed) }
		length = len(packed)
	}
	out, err := http.NewRequestWithContext(ctx, req.Method, req.URL.String(), body())
	if err != nil {
		return nil, err
	}
	out.ContentLength = int64(length)
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(body()), nil }
	out.Header.Set("Authorization", req.Header.Get("Authorization"))
	out.Header.Set("Content-Type", "application/json")
	out.Header.Set("User-Agent", p.userAgent)
	if p.gzip {
		out.Header.Set("Content-Encoding", "gzip")
	}
	if p.tried > 0 {
		out.Header.Set("X-Retry-Count", strconv.Itoa(p.tried))
	}
	return out, nil
}

// wait is how long analytics-go waits after a failed attempt, counted from 0.
func (p *post) wait(attempt int) time.Duration {
	if attempt >= attempts-1 {
		return 0 // it would wait although no attempt follows
	}
	wait := max(peer.BackOff(attempt), p.pacer.UntilAllowed())
	if deadline, ok := p.ctx.Deadline(); ok && time.Until(deadline) < wait {
		p.cancel(errPatience) // rather now than after a wait for nothing
	}
	return wait
}

// Success implements [analytics.Callback].
func (p *post) Success(analytics.Message) { close(p.settled) }

// Failure implements [analytics.Callback]: every attempt failed, or the client is closed.
func (p *post) Failure(analytics.Message, error) {
	p.cancel(errNotTaken)
	close(p.settled)
}

// later says what to do when Segment cannot be reached.
const later = "the events stay in the stage and go out with the next run; if this lasts, check --segment-url, the proxy and the network policies"

// result returns what became of the request, after the client is closed.
func (p *post) result() (status int, err error) {
	switch {
	case p.status != 0 && classOf(p.status) != permanent:
		return p.status, nil
	case p.status != 0:
		return 0, fmt.Errorf("deliver to Segment: %w: %s", statusError(p.status), hint(p.status))
	case p.tried == attempts:
		return 0, fmt.Errorf("deliver to Segment: %w after %d attempts: %s", p.last, attempts, later)
	case errors.Is(context.Cause(p.ctx), errPatience) && p.last != nil:
		return 0, fmt.Errorf("deliver to Segment: %w; the last attempt: %w: %s", context.Cause(p.ctx), p.last, later)
	case p.last != nil:
		return 0, fmt.Errorf("deliver to Segment: %w; the last attempt: %w", context.Cause(p.ctx), p.last)
	default:
		return 0, fmt.Errorf("deliver to Segment: %w", context.Cause(p.ctx))
	}
}

// postpone keeps every request of the destination back for a while.
func (d *Destination) postpone(wait time.Duration) {
	if wait > 0 {
		d.logger.Info("destination asks to wait", "destination", d.Name(), "seconds", wait.Seconds())
		d.pacer.Postpone(wait)
	}
}

// The body is {"sentAt":"...","batch":[...]}.
const wrapperBytes = len(`{"sentAt":"` + sentAtLayout + `","batch":[]}`)

const sentAtLayout = "2006-01-02T15:04:05.000Z"

func head(now time.Time) []byte {
	b := append(make([]byte, 0, wrapperBytes), `{"sentAt":"`...)
	b = now.UTC().AppendFormat(b, sentAtLayout)
	return append(b, `","batch":[`...)
}

func tail(items []item) []byte {
	size := 0
	for _, it := range items {
		size += len(it.payload) + 1
	}
	b := make([]byte, 0, size+1)
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, it.payload...)
	}
	return append(b, "]}"...)
}

// answer is a response to analytics-go, without what the server said.
func answer(req *http.Request, status int) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: req,
	}
}

// mute is a logger that drops everything.
type mute struct{}

func (mute) Logf(string, ...any)   {}
func (mute) Errorf(string, ...any) {}
