// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestReportWaitsForRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := host(nil, constant("pods", 7))
		r := reporter(t, c)
		if _, err := r.Report(t.Context(), "unheard-of"); err == nil {
			t.Error("a signal that is not in the plan was taken")
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := r.Report(soon, "start"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("report without Run: %v", err)
		}
		stop := run(t, r)
		verdicts, err := report(t, r).Wait(t.Context())
		if err != nil || len(verdicts) != 0 {
			t.Errorf("without destinations: %v, %v", verdicts, err)
		}
		stop()
	})
}

func TestReportEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := host(nil, counter("slow", func(ctx context.Context) (int64, error) { <-ctx.Done(); return 0, ctx.Err() }))
		r := reporter(t, c)
		stop := run(t, r)
		defer stop()
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Report(soon, "start"); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.Errorf("report: %v", err)
		}
	})
}

func TestConsentWithdrawnDropsWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off atomic.Bool
		s := &sink{name: "memory", deliver: func(context.Context, []telemetry.Track) error { return errors.New("down") }}
		c := host(nil, constant("pods", 7))
		c.Destinations = []telemetry.Destination{s}
		c.Consent = telemetry.Consent{Getenv: c.Consent.Getenv, Cluster: func(context.Context) (telemetry.Decision, error) {
			if off.Load() {
				return telemetry.Decision{Choice: telemetry.Off}, nil
			}
			return telemetry.Decision{Choice: telemetry.On}, nil
		}}
		r := reporter(t, c)
		stop := run(t, r)
		receipt := report(t, r)
		synctest.Wait()
		off.Store(true)
		before, _ := s.seen()
		verdicts, err := receipt.Wait(t.Context())
		if after, _ := s.seen(); err != nil || verdicts["memory"].Status != telemetry.Rejected || after != before {
			t.Errorf("verdicts %v, %v; dialled %d times after telemetry was turned off", verdicts, err, after-before)
		}
		stop()
	})
}

func TestIdentityThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		var down atomic.Bool
		down.Store(true)
		c := host(log, constant("pods", 7))
		identity := c.Identity
		c.Identity = func(ctx context.Context) (*telemetry.Pseudonymizer, error) {
			if down.Load() {
				return nil, errors.New("get namespace kube-system: forbidden")
			}
			return identity(ctx)
		}
		r := reporter(t, c)
		stop := run(t, r)
		time.Sleep(72 * time.Hour)
		if log.count("level=WARN") != 1 {
			t.Errorf("log of three days:\n%s", log.b.String())
		}
		down.Store(false)
		report(t, r)
		stop()
		if log.count("reported again") != 1 {
			t.Errorf("log:\n%s", log.b.String())
		}
	})
}

func TestNewReporterListsAllThatIsWrong(t *testing.T) {
	_, err := telemetry.NewReporter(telemetry.Config{
		Product: "Acme Controller", Signals: []string{telemetry.PeriodicSignal}, Period: -1,
		Destinations: []telemetry.Destination{&sink{name: "a"}, &sink{name: "a"}},
		Providers: []telemetry.Provider{
			telemetry.NewProvider("", []telemetry.PropertySpec{metric("Pods", nil), metric("same", nil)}, nil),
			telemetry.NewProvider("b", []telemetry.PropertySpec{metric("same", func(p *telemetry.PropertySpec) { p.Nullable = true })}, nil),
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"product is not", "version of the product", "identity is missing", "cannot be negative", "a signal is", "a destination has no name",
		`provider ""`, `metric "Pods"`, `metric "same" of provider "b"`, `property "same" of event "inventory" is listed twice`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no complaint %q in:\n%v", want, err)
		}
	}
	if _, err := telemetry.NewReporter(host(nil, constant("signal", 1))); err == nil {
		t.Error("a metric took the name of the library's own property")
	}
}
