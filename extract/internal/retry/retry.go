// SPDX-License-Identifier: Apache-2.0

// Package retry does again what may succeed a moment later.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// A Policy says how often to try again, and how long to wait in between.
type Policy struct {
	// Times is how often to try after the first try.
	Times int
	// Wait is the longest pause before the second try. It doubles with each try, and
	// chance takes up to half of it away, so that clients do not come back together.
	Wait time.Duration
}

// Default is for a request to a server: three more tries within seven seconds.
var Default = Policy{Times: 3, Wait: time.Second}

// Do calls try until it succeeds, fails for good, or was called often enough, and
// returns its last error. When ctx is done during a pause, it returns ctx.Err().
func (p Policy) Do(ctx context.Context, temporary func(error) bool, try func() error) error {
	wait := p.Wait
	for left := p.Times; ; left-- {
		err := try()
		if err == nil || left <= 0 || !temporary(err) {
			return err
		}
		pause := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
		wait *= 2
	}
}
