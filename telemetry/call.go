// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A call calls somebody else's code: it may panic, and it may not return.
type call struct{ busy atomic.Bool }

var (
	errPanicked = errors.New("it panicked")
	errHanging  = fmt.Errorf("it does not return although its time is up: %w", context.DeadlineExceeded)
)

// grace is how long a call may take to return after its time is up.
const grace = time.Second

// do returns what f returns, errPanicked, or soon after timeout or the end of ctx
// errHanging. The goroutine in which f may then hang is the only one: until f returns,
// do is errHanging at once.
func do[T any](ctx context.Context, c *call, timeout time.Duration, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if !c.busy.CompareAndSwap(false, true) {
		return none, errHanging
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		r := result{err: errPanicked}
		defer func() {
			_ = recover() // what was thrown may hold a name
			c.busy.Store(false)
			done <- r
		}()
		value, err := f(ctx)
		r = result{value, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case r = <-done:
		case <-late.C:
			return none, errHanging
		}
	}
	if r.err != nil {
		r.err = errors.Join(r.err, ctx.Err()) // not every client says that its time was up
	}
	return r.value, r.err
}
