// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A crashing ledger fails each of its writes once, before or after it took place.
type crashing struct {
	*stage.Ledger
	countdown int
	after     bool
}

var errCrash = errors.New("crash")

func (c *crashing) step(write func() error) error {
	c.countdown--
	if c.countdown == 0 && !c.after {
		return errCrash
	}
	if err := write(); err != nil || c.countdown != 0 {
		return err
	}
	return errCrash
}

func (c *crashing) Reject(ctx context.Context, destination string, m *stage.Manifest, rows []stage.Rejection) (f *stage.File, err error) {
	err = c.step(func() (err error) { f, err = c.Ledger.Reject(ctx, destination, m, rows); return err })
	return f, err
}

func (c *crashing) PutReceipt(ctx context.Context, r *stage.Receipt) error {
	return c.step(func() error { return c.Ledger.PutReceipt(ctx, r) })
}

func TestCrashPoints(t *testing.T) {
	for _, after := range []bool{false, true} {
		for point := 1; point <= 5; point++ {
			t.Run(fmt.Sprintf("write %d, after=%v", point, after), func(t *testing.T) {
				t.Parallel()
				ledger, bucket := newLedger(t, 4, 3)
				s := &sink{verdict: func(e telemetry.Track) telemetry.Verdict {
					if strings.HasSuffix(e.MessageID, "000001-namespace-created") {
						return telemetry.Verdict{Status: telemetry.Rejected, Reason: "HTTP 400"}
					}
					return telemetry.Verdict{Status: telemetry.Delivered}
				}}
				_, err := load.Run(t.Context(), &crashing{ledger, point, after}, s, load.Options{})
				if crashed := point <= 4; errors.Is(err, errCrash) != crashed {
					t.Fatalf("first run: %v", err)
				}
				if _, err := load.Run(t.Context(), ledger, s, load.Options{}); err != nil {
					t.Fatal(err)
				}
				repeated := len(s.got) - 7
				slices.Sort(s.got)
				if s.got = slices.Compact(s.got); len(s.got) != 7 || repeated != 0 && repeated != 3 && repeated != 4 {
					t.Errorf("%d events arrived, %d again", len(s.got), repeated)
				}
				if done := after && (point == 2 || point == 4); done && repeated != 0 {
					t.Errorf("%d events arrived again although there was a receipt", repeated)
				}
				if receipts, rejected := keys(t, bucket, "v1/receipts/"), keys(t, bucket, "v1/rejected/"); len(receipts) != 2 || len(rejected) != 2 {
					t.Errorf("receipts %v, rejected events %v", receipts, rejected)
				}
			})
		}
	}
}

// TestAReceiptIsWrittenWhenItIsTimeToStop ends the run while the last event is on its way, or when it has arrived.
func TestAReceiptIsWrittenWhenItIsTimeToStop(t *testing.T) {
	for _, arrived := range []bool{false, true} {
		ledger, bucket := newLedger(t, 3, 3)
		ctx, cancel := context.WithCancel(t.Context())
		s := &sink{before: func(context.Context, []telemetry.Track) error {
			if !arrived {
				cancel()
			}
			return nil
		}}
		stopping := &stopping{Ledger: ledger, stop: cancel}
		if _, err := load.Run(ctx, stopping, s, load.Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if receipts := keys(t, bucket, "v1/receipts/"); len(receipts) != 1 || len(s.got) != 3 {
			t.Errorf("receipts %v for %d events", receipts, len(s.got))
		}
	}
}

// stopping cancels the run when the events are delivered and the writing begins.
type stopping struct {
	*stage.Ledger
	stop func()
}

func (s *stopping) Reject(ctx context.Context, destination string, m *stage.Manifest, rows []stage.Rejection) (*stage.File, error) {
	s.stop()
	return s.Ledger.Reject(ctx, destination, m, rows)
}
