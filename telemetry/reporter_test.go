// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func metric(name string, change func(*telemetry.PropertySpec)) telemetry.PropertySpec {
	p := telemetry.PropertySpec{
		Name: name, Type: telemetry.TypeInteger, Unit: "objects", Reason: "to test", Source: "the test",
		Sensitivity: telemetry.SensitivityTechnical, Since: "1",
	}
	if change != nil {
		change(&p)
	}
	return p
}

// counter is a provider of one metric.
func counter(name string, collect func(ctx context.Context) (int64, error)) telemetry.Provider {
	return telemetry.NewProvider(strings.ToLower(name), []telemetry.PropertySpec{metric(name, nil)},
		func(ctx context.Context, r *telemetry.Readings) error {
			n, err := collect(ctx)
			if err == nil {
				r.Integer(name, n)
			}
			return err
		})
}

func constant(name string, n int64) telemetry.Provider {
	return counter(name, func(context.Context) (int64, error) { return n, nil })
}

// A sink is a destination that keeps what it takes.
type sink struct {
	name    string
	deliver func(context.Context, []telemetry.Track) error // nil takes everything

	mu    sync.Mutex
	calls int
	took  []telemetry.Track
}

func (s *sink) Name() string { return s.name }

func (s *sink) Deliver(ctx context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	s.mu.Lock()
	s.calls++
	s.mu.Unlock()
	verdicts := make([]telemetry.Verdict, len(events))
	if s.deliver != nil {
		if err := s.deliver(ctx, events); err != nil {
			return verdicts, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = append(s.took, events...)
	for i := range verdicts {
		verdicts[i].Status = telemetry.Delivered
	}
	return verdicts, nil
}

func (s *sink) seen() (calls int, payloads []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.took {
		payloads = append(payloads, string(t.Payload))
	}
	return s.calls, payloads
}

// A journal is what was logged.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), text)
}

// host is a configuration that works, with consent.
func host(log *journal, providers ...telemetry.Provider) telemetry.Config {
	c := telemetry.Config{
		Product: "acme-controller", Version: "1.2.3", Since: "1.0.0", Signals: []string{"start"},
		Identity: func(context.Context) (*telemetry.Pseudonymizer, error) {
			return telemetry.NewKeyedPseudonymizer("0b1f", []byte("sixteen bytes are enough"))
		},
		Providers: providers,
		Consent:   telemetry.Consent{OnByDefault: true, Getenv: func(string) string { return "" }},
	}
	if log != nil {
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
	return c
}

func reporter(t *testing.T, c telemetry.Config) *telemetry.Reporter {
	t.Helper()
	r, err := telemetry.NewReporter(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs r and returns what ends it and waits until it has.
func run(t *testing.T, r *telemetry.Reporter) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

func report(t *testing.T, r *telemetry.Reporter) *telemetry.Receipt {
	t.Helper()
	receipt, err := r.Report(t.Context(), "start")
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func properties(t *testing.T, payload string) map[string]any {
	t.Helper()
	var call struct{ Properties map[string]any }
	if err := json.Unmarshal([]byte(payload), &call); err != nil {
		t.Fatal(err)
	}
	return call.Properties
}

// goroutines counts the goroutines of this test's bubble that are in the library. Those of a test before it may be on their
// last lines still.
func goroutines() int {
	synctest.Wait()
	text := make([]byte, 1<<20)
	text = text[:runtime.Stack(text, true)]
	stacks := strings.Split(string(text), "\n\n")
	bubble := inBubble.FindString(stacks[0]) // the caller's is the first
	n := 0
	for _, stack := range stacks {
		if inBubble.FindString(stack) == bubble && strings.Contains(stack, "github.com/segment-bridge/segment-bridge/telemetry.") {
			n++
		}
	}
	return n
}

var inBubble = regexp.MustCompile(`synctest bubble \d+\b`)

func TestReporterReportsEachPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{name: "memory"}
		c := host(nil, constant("pods", 7))
		c.Destinations, c.Period = []telemetry.Destination{s}, time.Hour
		r := reporter(t, c)
		if n := goroutines(); n != 0 {
			t.Errorf("%d goroutines before Run", n)
		}
		stop := run(t, r)
		time.Sleep(6 * time.Minute)
		if calls, _ := s.seen(); calls != 1 {
			t.Errorf("%d reports in the first tenth of the period, want 1", calls)
		}
		time.Sleep(10 * time.Hour)
		stop()
		if n := goroutines(); n != 0 {
			t.Errorf("%d goroutines after Run has returned", n)
		}
		_, payloads := s.seen()
		if len(payloads) < 9 || len(payloads) > 13 {
			t.Errorf("%d reports in ten hours", len(payloads))
		}
		gaps := map[time.Duration]bool{}
		for i := 1; i < len(s.took); i++ {
			gap := s.took[i].Time.Sub(s.took[i-1].Time)
			gaps[gap] = true
			if gap < 54*time.Minute-time.Second || gap > 66*time.Minute+time.Second {
				t.Errorf("%s from one report to the next, want an hour give or take a tenth", gap)
			}
		}
		if len(gaps) < 2 {
			t.Error("the period does not vary")
		}
		if err := r.Run(t.Context()); err == nil {
			t.Error("a reporter ran twice")
		}
		if !r.NeedLeaderElection() {
			t.Error("each replica would report")
		}
	})
}

func TestPreviewIsWhatIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{name: "memory"}
		c := host(nil, constant("pods", 7), counter("routes", func(context.Context) (int64, error) { return 0, fs.ErrPermission }))
		c.Destinations = []telemetry.Destination{s}
		off := c
		off.Consent.Off = true
		var previews []string
		for _, c := range []telemetry.Config{c, off} {
			preview, err := reporter(t, c).Preview(t.Context(), "start")
			if err != nil {
				t.Fatal(err)
			}
			previews = append(previews, string(preview))
		}
		r := reporter(t, c)
		stop := run(t, r)
		receipt := report(t, r)
		verdicts, err := receipt.Wait(t.Context())
		stop()
		if want := (telemetry.Verdict{Status: telemetry.Delivered}); err != nil || len(verdicts) != 1 || verdicts["memory"] != want {
			t.Errorf("verdicts %v, %v", verdicts, err)
		}
		_, sent := s.seen()
		if len(sent) != 1 || sent[0] != previews[0] || sent[0] != previews[1] {
			t.Errorf("sent      %s\npreview   %s\nwhile off %s", sent, previews[0], previews[1])
		}
		const want = `{"type":"track","messageId":"acme-controller-b2fe62cea726-start-2000-01-01T00:00:00Z","anonymousId":"anonymous",` +
			`"event":"Cluster Inventory","timestamp":"2000-01-01T00:00:00Z","context":{"library":{"name":"acme-controller","version":"1.2.3"},` +
			`"device":{"id":"b2fe62cea726"}},"properties":{"signal":"start","clusterIdHash":"b2fe62cea726","pods":7,"routesOutcome":"forbidden"}}`
		if sent[0] != want {
			t.Errorf("got  %s\nwant %s", sent[0], want)
		}
	})
}

func TestOffDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		touched := func(what string) { t.Errorf("%s although telemetry is off", what) }
		c := host(log, counter("pods", func(context.Context) (int64, error) { touched("collected"); return 0, nil }))
		c.Identity = func(context.Context) (*telemetry.Pseudonymizer, error) {
			touched("looked up the cluster")
			return nil, errors.New("off")
		}
		c.Destinations = []telemetry.Destination{&sink{name: "memory", deliver: func(context.Context, []telemetry.Track) error {
			touched("dialled")
			return nil
		}}}
		c.Consent = telemetry.Consent{Off: true, OnByDefault: true, Agreement: &agreement{saved: func() { touched("wrote") }}}
		r := reporter(t, c)
		stop := run(t, r)
		if _, err := r.Report(t.Context(), "start"); !errors.Is(err, telemetry.ErrOff) {
			t.Errorf("report: %v, want ErrOff", err)
		}
		time.Sleep(72 * time.Hour)
		if s := r.Status(t.Context()); s.Decision.Choice != telemetry.Off || s.Decision.By != "configuration" || s.Agreed != "" || !s.Last.IsZero() {
			t.Errorf("status %+v", s)
		}
		stop()
		if log.count("\n") != 1 || log.count("telemetry is off") != 1 {
			t.Errorf("log of days: %s", log.b.String())
		}
	})
}

func TestRunDeliversWhatIsQueuedWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		s := &sink{name: "memory", deliver: func(context.Context, []telemetry.Track) error {
			if down.Load() {
				return errors.New("network is not there yet")
			}
			return nil
		}}
		stuck := &sink{name: "stuck", deliver: func(ctx context.Context, _ []telemetry.Track) error { <-ctx.Done(); return ctx.Err() }}
		c := host(nil, constant("pods", 7))
		c.Destinations = []telemetry.Destination{s, stuck}
		r := reporter(t, c)
		stop := run(t, r)
		receipt := report(t, r)
		synctest.Wait()
		down.Store(false)
		before := time.Now()
		stop()
		if took := time.Since(before); took > 7*time.Second {
			t.Errorf("Run took %s to end", took)
		}
		verdicts, _ := receipt.Wait(t.Context())
		if verdicts["memory"].Status != telemetry.Delivered || verdicts["stuck"].Status != telemetry.Pending {
			t.Errorf("verdicts %v", verdicts)
		}
		if _, err := r.Report(t.Context(), "start"); !errors.Is(err, telemetry.ErrStopped) {
			t.Errorf("report after the end: %v", err)
		}
	})
}
