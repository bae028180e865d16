// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Attempts is how often a request is tried.
const Attempts = 10

// The waits between attempts: exponential from the first to the longest, with jitter; at most the longest
// that a server may ask for.
const (
	firstWait    = 500 * time.Millisecond
	longestWait  = 60 * time.Second
	longestAsked = 300 * time.Second
)

// ErrPatience is the cause of the end of a delivery that took too long.
var ErrPatience = errors.New("the server did not take the events in the time given")

// Again is the failure of an attempt of which the next may succeed.
type Again struct {
	Reason error
	// After is how long the server wants no request; 0 if it does not say.
	After time.Duration
}

func (a *Again) Error() string { return a.Reason.Error() }
func (a *Again) Unwrap() error { return a.Reason }

// A Pacer spaces the attempts of all requests to one server. The zero Pacer is ready.
type Pacer struct {
	notBefore atomic.Int64 // Unix nanoseconds: the server wants no request before
}

// Do calls attempt until it returns nil or an error that is no [Again], at most [Attempts] times. It gives
// up early rather than wait for a time at which ctx is done.
func (p *Pacer) Do(ctx context.Context, attempt func(context.Context) error) error {
	for n := 1; ; n++ {
		if err := p.Hold(ctx); err != nil {
			return err
		}
		err := attempt(ctx)
		var again *Again
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), err)
		case !errors.As(err, &again):
			return err
		case n == Attempts:
			return fmt.Errorf("%w after %d attempts: try again later", err, n)
		}
		p.Postpone(again.After)
		wait := max(BackOff(n-1), p.UntilAllowed())
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return fmt.Errorf("%w; the last attempt: %w", ErrPatience, err)
		}
		if cause := Sleep(ctx, wait); cause != nil {
			return fmt.Errorf("%w; the last attempt: %w", cause, err)
		}
	}
}

// Hold waits until requests are allowed.
func (p *Pacer) Hold(ctx context.Context) error {
	for wait := p.UntilAllowed(); wait > 0; wait = p.UntilAllowed() {
		if err := Sleep(ctx, wait); err != nil {
			return err
		}
	}
	return Sleep(ctx, 0)
}

// Postpone keeps every request back for a while.
func (p *Pacer) Postpone(wait time.Duration) {
	until := time.Now().Add(wait).UnixNano()
	for wait > 0 {
		old := p.notBefore.Load()
		if old >= until || p.notBefore.CompareAndSwap(old, until) {
			return
		}
	}
}

// UntilAllowed returns how long requests have to wait; 0 when they may go.
func (p *Pacer) UntilAllowed() time.Duration {
	return max(time.Until(time.Unix(0, p.notBefore.Load())), 0)
}

// Sleep waits; it returns the cause when ctx ends first.
func Sleep(ctx context.Context, wait time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// BackOff returns how long to wait after the given attempt, counted from 0.
func BackOff(attempt int) time.Duration {
	wait := longestWait
	if attempt < 7 { // 500 ms << 7 is beyond the longest
		wait = firstWait << attempt
	}
	return wait/2 + rand.N(wait/2+1)
}

// RetryAfter reads the header of that name, seconds or a date; 0 when there is none that makes sense.
func RetryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, longestAsked)
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), 0), longestAsked)
	}
	return 0
}
