// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/load/segment"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestStatuses(t *testing.T) {
	const (
		retried = "retried"
		fatal   = "fatal"
		bisect  = "bisected"
	)
	want := map[int]string{
		301: fatal, 302: fatal, 303: fatal, 304: fatal, 307: fatal, 308: fatal,
		400: bisect, 401: fatal, 403: fatal, 404: fatal, 405: fatal, 407: fatal, 408: retried, 409: fatal, 410: retried, 413: bisect,
		415: fatal, 418: fatal, 422: bisect, 425: fatal, 429: retried, 460: retried, 499: fatal,
		500: retried, 501: fatal, 502: retried, 503: retried, 504: retried, 505: fatal, 507: retried, 511: fatal, 529: retried, 599: retried,
	}
	for status, behaviour := range want {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver := segmenttest.New(segmenttest.Options{})
				receiver.Inject(segmenttest.Fault{Status: status, Location: "https://elsewhere.example/v1/batch"})
				d, log := newDestination(t, receiver, nil)
				start := time.Now()
				verdicts, err := d.Deliver(t.Context(), tracks(2))
				elapsed, requests := time.Since(start), receiver.Report().Requests
				switch behaviour {
				case retried:
					if err != nil || requests != 2 || count(verdicts, telemetry.Delivered) != 2 || elapsed < 250*time.Millisecond || elapsed > 500*time.Millisecond {
						t.Errorf("got %v, %v after %v and %d requests, want a retry after about half a second", verdicts, err, elapsed, requests)
					}
				case fatal:
					if err == nil || requests != 1 || count(verdicts, telemetry.Pending) != 2 || elapsed > 0 {
						t.Errorf("got %v, %v after %v and %d requests, want an error at once", verdicts, err, elapsed, requests)
					} else if !strings.Contains(err.Error(), "HTTP "+strconv.Itoa(status)) || !strings.Contains(err.Error(), ": check ") && !strings.Contains(err.Error(), "configure") && !strings.Contains(err.Error(), "login") {
						t.Errorf("the error gives no status or no hint: %v", err)
					}
				case bisect:
					if err != nil || requests != 3 || count(verdicts, telemetry.Delivered) != 2 || elapsed > 0 {
						t.Errorf("got %v, %v after %v and %d requests, want the two events alone at once", verdicts, err, elapsed, requests)
					}
				}
				if said := fmt.Sprint(err, log); strings.Contains(said, segmenttest.Canary) || strings.Contains(said, segmenttest.Key) {
					t.Errorf("error or log repeats the server or the key: %s", said)
				}
			})
		})
	}
}

func TestGivesUpAfterTenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := segmenttest.New(segmenttest.Options{})
		receiver.Inject(slices.Repeat([]segmenttest.Fault{{Status: 503}}, 20)...)
		d, _ := newDestination(t, receiver, nil)
		start := time.Now()
		verdicts, err := d.Deliver(t.Context(), tracks(3))
		// 0.5, 1, 2, 4, 8, 16, 32, 60, 60 s, each less at most a half, and no wait after the last.
		if elapsed := time.Since(start); elapsed < 91*time.Second || elapsed > 184*time.Second {
			t.Errorf("gave up after %v", elapsed)
		}
		if err == nil || !strings.Contains(err.Error(), "HTTP 503 after 10 attempts") || count(verdicts, telemetry.Pending) != 3 {
			t.Errorf("got %v, %v", verdicts, err)
		}
		if n := receiver.Report().Requests; n != 10 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	tests := []struct {
		name, header string
		least, most  time.Duration
	}{
		{"seconds", "17", 17 * time.Second, 17 * time.Second},
		{"date", "Sat, 01 Jan 2000 00:01:30 GMT", 90 * time.Second, 90 * time.Second}, // the bubble's clock starts at 2000
		{"capped", "86400", 300 * time.Second, 300 * time.Second},
		{"date in the past", "Fri, 31 Dec 1999 00:00:00 GMT", 250 * time.Millisecond, 500 * time.Millisecond},
		{"nonsense", "soon", 250 * time.Millisecond, 500 * time.Millisecond},
		{"negative", "-5", 250 * time.Millisecond, 500 * time.Millisecond},
		{"shorter than the back-off", "0", 250 * time.Millisecond, 500 * time.Millisecond},
		{"absent", "", 250 * time.Millisecond, 500 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver := segmenttest.New(segmenttest.Options{})
				receiver.Inject(segmenttest.Fault{Status: 429, RetryAfter: tt.header})
				d, _ := newDestination(t, receiver, nil)
				start := time.Now()
				if _, err := d.Deliver(t.Context(), tracks(1)); err != nil {
					t.Fatal(err)
				}
				if elapsed := time.Since(start); elapsed < tt.least || elapsed > tt.most {
					t.Errorf("waited %v, want %v to %v", elapsed, tt.least, tt.most)
				}
			})
		})
	}
}

// TestRetryAfterHoldsEveryRequest sends a second delivery while the first was told to wait.
func TestRetryAfterHoldsEveryRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := segmenttest.New(segmenttest.Options{})
		receiver.Inject(segmenttest.Fault{Status: 429, RetryAfter: "60"})
		d, _ := newDestination(t, receiver, nil)
		events, start := tracks(2), time.Now()
		done := make(chan error)
		go func() { _, err := d.Deliver(t.Context(), events[:1]); done <- err }()
		synctest.Wait()
		if _, err := d.Deliver(t.Context(), events[1:]); err != nil {
			t.Fatal(err)
		}
		if elapsed := time.Since(start); elapsed != time.Minute {
			t.Errorf("the second delivery waited %v", elapsed)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestCancelling(t *testing.T) {
	stop := errors.New("the pod is going away")
	tests := map[string][]segmenttest.Fault{
		"between attempts":  {{Status: 503, RetryAfter: "200"}},
		"during an attempt": {{Delay: 9 * time.Second}},
	}
	for name, faults := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver := segmenttest.New(segmenttest.Options{})
				receiver.Inject(faults...)
				d, _ := newDestination(t, receiver, nil)
				ctx, cancel := context.WithCancelCause(t.Context())
				start := time.Now()
				time.AfterFunc(3*time.Second, func() { cancel(stop) })
				verdicts, err := d.Deliver(ctx, tracks(2))
				if elapsed := time.Since(start); elapsed != 3*time.Second || !errors.Is(err, stop) || count(verdicts, telemetry.Pending) != 2 {
					t.Errorf("got %v, %v after %v", verdicts, err, elapsed)
				}
				// The bubble fails the test when a goroutine is left behind.
			})
		})
	}
}

func TestPatienceEndsBeforeAWaitForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := segmenttest.New(segmenttest.Options{})
		receiver.Inject(segmenttest.Fault{Status: 429, RetryAfter: "120"})
		d, _ := newDestination(t, receiver, func(o *segment.Options) { o.Patience = time.Minute })
		start := time.Now()
		verdicts, err := d.Deliver(t.Context(), tracks(2))
		if err == nil || !strings.Contains(err.Error(), "HTTP 429") || count(verdicts, telemetry.Pending) != 2 || time.Since(start) > 0 {
			t.Errorf("got %v, %v after %v", verdicts, err, time.Since(start))
		}
	})
}

// TestSlowLine gives a large body more time than the ten seconds that analytics-go gives every attempt.
func TestSlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := segmenttest.New(segmenttest.Options{})
		receiver.Inject(segmenttest.Fault{Delay: 40 * time.Second, Accept: true})
		d, _ := newDestination(t, receiver, nil)
		start, events := time.Now(), large(14)
		verdicts, err := d.Deliver(t.Context(), events)
		if elapsed := time.Since(start); err != nil || count(verdicts, telemetry.Delivered) != len(events) || elapsed != 40*time.Second {
			t.Errorf("got %v, %v after %v", verdicts, err, elapsed)
		}
		if r := receiver.Report(); r.Requests != 1 || r.Accepted != len(events) || r.Duplicates != 0 {
			t.Errorf("report %+v", r)
		}
	})
}

// TestSlowServer ends an attempt with a small body after ten seconds.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := segmenttest.New(segmenttest.Options{})
		receiver.Inject(segmenttest.Fault{Delay: 11 * time.Second, Accept: true}, segmenttest.Fault{Delay: 9 * time.Second})
		d, _ := newDestination(t, receiver, nil)
		start := time.Now()
		verdicts, err := d.Deliver(t.Context(), tracks(2))
		if elapsed := time.Since(start); err != nil || count(verdicts, telemetry.Delivered) != 2 || elapsed < 19*time.Second || elapsed > 20*time.Second {
			t.Errorf("got %v, %v after %v", verdicts, err, elapsed)
		}
		if r := receiver.Report(); r.Requests != 2 || r.Accepted != 2 || r.Duplicates != 2 {
			t.Errorf("report %+v", r)
		}
	})
}
