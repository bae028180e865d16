// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
)

// errLost ends the delivery of a batch that another loader has taken over.
var errLost = errors.New("another loader has taken over, since this one was silent for too long")

// A share is this loader's part in dividing the batches of a destination among
// loaders. Each takes the lease of a batch before it delivers. The lease stays: until
// the batch has a receipt it says who is at work, afterwards nobody looks.
//
// Whether a holder is alive is found out by waiting: a lease that has not changed
// while this loader waited for as long as the lease says is up for grabs. Clocks need
// not agree, and only holders that may be dead cost time, at the end of a run.
type share struct {
	ledger      Ledger
	destination string
	holder      string
	life        time.Duration
	now         func() time.Time
	wait        func(context.Context, time.Duration) error

	// held are the batches that others hold, as this pass over the batches finds them,
	// before those that the last one found.
	held, before map[stage.Batch]sighting
	waited       time.Duration // in all
	pause        time.Duration // the next
	// Where loaders meet they would meet again at every batch. So the one that comes
	// second leaves out a few, more each time; another pass looks at them, and leaves out
	// none if this one claimed none.
	skip, stride, skipped, claimed int
}

// A sighting is a version of a lease, and how long this loader had waited when it saw it
// first.
type sighting struct {
	tag string
	at  time.Duration
}

// The pauses grow from the first to the last of these parts of a lease's life.
const (
	firstPause = 64
	lastPause  = 4
	maxStride  = 256
)

func newShare(ledger Ledger, destination string, o Options) *share {
	s := &share{
		ledger: ledger, destination: destination, holder: rand.Text(), life: cmp.Or(o.Lease, stage.DefaultLease).Truncate(time.Second),
		now: o.Now, wait: o.Wait, held: map[stage.Batch]sighting{}, stride: 1,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.wait == nil {
		s.wait = sleep
	}
	s.pause = s.life / firstPause
	return s
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// again ends a pass and reports whether another one may find something to do. It waits
// as long as it takes to learn which holders are alive. What those hold is theirs.
func (s *share) again(ctx context.Context) (bool, error) {
	unknown := s.skipped > 0
	if !unknown {
		for _, seen := range s.held {
			// Leases that came or changed while we waited are those of the living.
			unknown = unknown || seen.at == 0
		}
		if unknown {
			if err := s.wait(ctx, s.pause); err != nil {
				return false, err
			}
			s.waited += s.pause
			s.pause = min(2*s.pause, s.life/lastPause)
		}
	}
	if unknown {
		s.held, s.before = map[stage.Batch]sighting{}, s.held
		s.skip, s.stride, s.skipped, s.claimed = 0, min(s.claimed, 1), 0, 0
	}
	return unknown, nil
}

// claim returns the lease of a batch; nil when there is nothing to do for this loader.
func (s *share) claim(ctx context.Context, b stage.Batch) (*lease, error) {
	if s.skip > 0 {
		s.skip--
		s.skipped++
		return nil, nil
	}
	var there *stage.Lease
	var err error
	if _, known := s.before[b]; known {
		if there, err = s.ledger.Lease(ctx, s.destination, b); err != nil || !s.free(b, there) {
			return nil, err
		}
	}
	l := &lease{share: s}
	for {
		now, err := l.swap(ctx, there, b, s.holder)
		if err != nil {
			return nil, err
		}
		if now != nil && now.Holder == s.holder {
			s.claimed++
			break
		}
		if !s.free(b, now) {
			s.skip, s.stride = s.stride, min(2*s.stride, maxStride)
			return nil, nil
		}
		there = now
	}
	if there == nil {
		return l, nil
	}
	// The one who held it may have come to an end since the batches were listed.
	switch _, err := s.ledger.Receipt(ctx, s.destination, b); {
	case errors.Is(err, fs.ErrNotExist):
		return l, nil
	case err != nil:
		return nil, errors.Join(err, l.release(ctx))
	}
	return nil, nil
}

// free reports whether nobody holds a lease, or nobody who is alive, and notes it else.
func (s *share) free(b stage.Batch, l *stage.Lease) bool {
	if l == nil || l.Holder == "" {
		return true
	}
	seen, known := s.before[b]
	if !known || seen.tag != l.Tag() {
		seen = sighting{l.Tag(), s.waited}
	}
	if s.waited-seen.at >= l.Life() {
		return true
	}
	s.held[b] = seen
	return false
}

// A lease is one that this loader holds.
type lease struct {
	share   *share
	renewed atomic.Pointer[time.Time] // when the last request that wrote it was sent

	mu      sync.Mutex // guards what follows, and is held during requests
	current *stage.Lease
}

// swap writes a version of the lease and returns the one that is there then.
func (l *lease) swap(ctx context.Context, old *stage.Lease, b stage.Batch, holder string) (*stage.Lease, error) {
	sent := l.share.now()
	now, err := l.share.ledger.SwapLease(ctx, old, stage.Lease{
		Destination: l.share.destination, Cluster: b.Cluster, Batch: b.Name,
		Holder: holder, Seconds: int(l.share.life / time.Second),
	})
	if err == nil && now != nil && now.Holder == l.share.holder {
		l.current = now
		l.renewed.Store(&sent)
	}
	return now, err
}

// write replaces the lease by another version of it, with this holder.
func (l *lease) write(ctx context.Context, holder string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range 2 { // what is there may be of ours, by a request of which we heard no more
		now, err := l.swap(ctx, l.current, l.current.ID(), holder)
		switch {
		case err != nil:
			return err
		case now != nil && now.Holder == holder:
			return nil
		case now == nil || now.Holder != l.share.holder:
			return errLost
		}
	}
	return errLost
}

// late reports whether others may have taken over.
func (l *lease) late() bool { return l.share.now().Sub(*l.renewed.Load()) >= l.share.life }

// check is asked before anything is done that only the holder may do. A loader that
// comes to itself late learns here whether it is still the one.
func (l *lease) check(ctx context.Context) error {
	if l == nil || !l.late() {
		return nil
	}
	return l.write(ctx, l.share.holder)
}

// keep renews the lease until ctx is done, and calls lost when that fails for too long.
func (l *lease) keep(ctx context.Context, lost context.CancelCauseFunc) {
	ticker := time.NewTicker(l.share.life / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		late := l.late() // if only at the end, this may have been hanging in there
		renewal, cancel := context.WithTimeout(ctx, l.share.life/3)
		err := l.write(renewal, l.share.holder)
		cancel()
		if errors.Is(err, errLost) || err != nil && late {
			lost(fmt.Errorf("renew lease: %w", err))
			return
		}
	}
}

// releaseTime bounds letting go, which also follows a cancellation.
const releaseTime = 3 * time.Second

// release lets go of the batch, so that nobody has to wait for it.
func (l *lease) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	return l.write(ctx, "")
}
