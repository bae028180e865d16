// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestProvidersAreContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := &journal{}, &sink{name: "memory"}
		release := make(chan struct{})
		var hangs atomic.Int32
		c := host(log,
			counter("hanging", func(context.Context) (int64, error) { hangs.Add(1); <-release; return 1, nil }),
			counter("panicking", func(context.Context) (int64, error) { panic("acme-secret-name") }),
			counter("exiting", func(context.Context) (int64, error) { runtime.Goexit(); return 0, nil }),
			counter("slow", func(ctx context.Context) (int64, error) { <-ctx.Done(); return 0, errors.New("gave up") }),
			counter("missing", func(context.Context) (int64, error) {
				return 0, fmt.Errorf("list acme-secret-name: %w", fs.ErrNotExist)
			}),
			counter("negative", func(context.Context) (int64, error) { return -1, nil }),
			telemetry.NewProvider("silent", []telemetry.PropertySpec{metric("silent", nil)},
				func(_ context.Context, r *telemetry.Readings) error { r.Integer("undeclared", 1); return nil }),
			constant("good", 7))
		c.Destinations, c.Period = []telemetry.Destination{s}, 1000*time.Hour
		r := reporter(t, c)
		stop := run(t, r)
		time.Sleep(time.Hour) // the first report
		const reports = 5
		after := 0
		for i := range reports {
			if _, err := report(t, r).Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				after = goroutines()
			}
		}
		if n := goroutines(); n != after || n != 3 || hangs.Load() != 1 {
			t.Errorf("%d goroutines after the first report and %d after the last; the provider that hangs was called %d times", after, n, hangs.Load())
		}
		_, payloads := s.seen()
		want := map[string]any{
			"hangingOutcome": "timeout", "panickingOutcome": "error", "exitingOutcome": "error", "slowOutcome": "timeout",
			"missingOutcome": "absent", "negativeOutcome": "error", "silentOutcome": "error", "good": 7.0,
		}
		for _, payload := range payloads {
			got := properties(t, payload)
			delete(got, "signal")
			delete(got, "clusterIdHash")
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		}
		if log.count("level=WARN") != 5 || log.count("secret") > 0 {
			t.Errorf("want one warning for each of five faulty providers and nothing of theirs in the log:\n%s", log.b.String())
		}
		close(release)
		synctest.Wait()
		if _, err := report(t, r).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		if _, payloads = s.seen(); properties(t, payloads[len(payloads)-1])["hanging"] != 1.0 || log.count("well again") != 1 {
			t.Errorf("the provider that no longer hangs: %s\n%s", payloads[len(payloads)-1], log.b.String())
		}
	})
}

func TestDestinationsAreIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, good := &journal{}, &sink{name: "good"}
		var down atomic.Bool
		down.Store(true)
		bad := &sink{name: "bad", deliver: func(context.Context, []telemetry.Track) error {
			if down.Load() {
				return errors.New("server answers HTTP 503")
			}
			return nil
		}}
		panics := &sink{name: "panics", deliver: func(context.Context, []telemetry.Track) error { panic("acme-secret-name") }}
		release := make(chan struct{})
		hangs := &sink{name: "hangs", deliver: func(context.Context, []telemetry.Track) error { <-release; return nil }}
		c := host(log, constant("pods", 7))
		c.Destinations, c.Queue, c.Period = []telemetry.Destination{panics, bad, hangs, good}, 3, 1000*time.Hour
		r := reporter(t, c)
		stop := run(t, r)
		time.Sleep(time.Hour) // the first report
		var receipts []*telemetry.Receipt
		for range 4 {
			receipts = append(receipts, report(t, r))
			time.Sleep(time.Hour)
		}
		if _, got := good.seen(); len(got) != 5 {
			t.Errorf("the good destination took %d reports, want 5", len(got))
		}
		status := map[string]telemetry.DestinationStatus{}
		for _, s := range r.Status(t.Context()).Destinations {
			status[s.Name] = s
		}
		if s := status["bad"]; s.Queued != 3 || s.Dropped != 2 || s.Delivered != 0 || s.Failures == 0 {
			t.Errorf("status of the destination that is down: %+v", s)
		}
		if calls, _ := hangs.seen(); calls != 1 {
			t.Errorf("the destination that hangs was called %d times", calls)
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		verdicts, err := receipts[3].Wait(soon)
		if !errors.Is(err, context.DeadlineExceeded) || verdicts["good"].Status != telemetry.Delivered || verdicts["bad"].Status != telemetry.Pending {
			t.Errorf("verdicts %v, %v", verdicts, err)
		}
		if log.count("level=WARN") != 3 || log.count("secret") > 0 {
			t.Errorf("want one warning for each of three outages:\n%s", log.b.String())
		}
		down.Store(false)
		time.Sleep(2 * time.Hour)
		_, got := bad.seen()
		_, all := good.seen()
		if !slices.Equal(got, all[2:]) || log.count("delivered again") != 1 {
			t.Errorf("after the outage the destination took\n%s", strings.Join(got, "\n"))
		}
		stop()
		if _, err := receipts[3].Wait(t.Context()); !errors.Is(err, telemetry.ErrStopped) {
			t.Errorf("wait after the end: %v", err)
		}
		close(release)
	})
}

// While a delivery goes on, the queue is bounded as well.
func TestQueueIsBoundedWhileADeliveryHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{name: "slow", deliver: func(ctx context.Context, _ []telemetry.Track) error { <-ctx.Done(); return ctx.Err() }}
		c := host(nil, constant("pods", 7))
		c.Destinations, c.Queue, c.Period = []telemetry.Destination{s}, 2, 1000*time.Hour
		r := reporter(t, c)
		stop := run(t, r)
		defer stop()
		for range 6 {
			report(t, r)
			synctest.Wait()
		}
		if got := r.Status(t.Context()).Destinations[0]; got.Queued != 2 || got.Dropped != 3 {
			t.Errorf("five reports beside the one that is being delivered: %+v, want 2 queued and 3 dropped", got)
		}
	})
}

// A provider that goes on recording after its time does not touch what was collected;
// the race detector would see it.
func TestLateReadingsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names, err := telemetry.NewPseudonymizer("0b1f")
		if err != nil {
			t.Fatal(err)
		}
		inventory, err := telemetry.NewInventory(time.Second, telemetry.NewProvider("late", []telemetry.PropertySpec{metric("late", nil)},
			func(_ context.Context, r *telemetry.Readings) error {
				time.Sleep(5 * time.Second)
				r.Integer("late", 1)
				return nil
			}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := inventory.Collect(t.Context(), names)
		if err != nil || len(got) != 1 || got[0].Name != "lateOutcome" || got[0].Value.String() != "timeout" {
			t.Errorf("got %v, %v", got, err)
		}
		time.Sleep(time.Minute)
	})
}

// A refuser refuses for good, with the reasons in turn and the last one again and again.
type refuser struct{ reasons []string }

func (*refuser) Name() string { return "refuser" }

func (r *refuser) Deliver(_ context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	verdicts := make([]telemetry.Verdict, len(events))
	for i := range verdicts {
		if r.reasons[0] == "" {
			verdicts[i].Status = telemetry.Delivered
		} else {
			verdicts[i] = telemetry.Verdict{Status: telemetry.Rejected, Reason: r.reasons[0]}
		}
		if len(r.reasons) > 1 {
			r.reasons = r.reasons[1:]
		}
	}
	return verdicts, nil
}

// A report that is refused is gone, and somebody should know; once, since the next one is refused alike.
func TestRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		c := host(log, constant("pods", 7))
		c.Destinations, c.Period = []telemetry.Destination{&refuser{[]string{"too long", "too long", "", "too long", "odd"}}}, time.Hour
		r := reporter(t, c)
		stop := run(t, r)
		time.Sleep(8 * time.Hour)
		stop()
		if log.count("level=WARN") != 3 || log.count(`refused for good and dropped" destination=refuser reason="too long"`) != 2 || log.count("reason=odd") != 1 {
			t.Errorf("log of hours:\n%s", log.b.String())
		}
		if s := r.Status(t.Context()).Destinations[0]; s.Delivered != 1 || s.Rejected < 6 || s.Queued+int(s.Dropped) > 0 {
			t.Errorf("status %+v", s)
		}
	})
}
