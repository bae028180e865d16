// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// agreement is an Agreement in memory.
type agreement struct {
	mu         sync.Mutex
	plan       []byte
	load, save error
	saved      func()
}

func (a *agreement) Load(context.Context) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.load == nil && a.plan == nil {
		return nil, fs.ErrNotExist
	}
	return a.plan, a.load
}

func (a *agreement) Save(_ context.Context, plan []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.saved != nil {
		a.saved()
	}
	if a.save == nil {
		a.plan = plan
	}
	return a.save
}

func says(d telemetry.Decision, err error) func(context.Context) (telemetry.Decision, error) {
	return func(context.Context) (telemetry.Decision, error) { return d, err }
}

func TestConsentOrder(t *testing.T) {
	off, on, undecided := telemetry.Decision{Choice: telemetry.Off}, telemetry.Decision{Choice: telemetry.On}, telemetry.Decision{}
	unreadable := errors.New("forbidden")
	tests := map[string]struct {
		consent           telemetry.Consent
		variable, tracked string
		want              telemetry.Choice
		by                string
		failed            bool
	}{
		"nobody":                          {want: telemetry.Off, by: "default"},
		"on by default":                   {consent: telemetry.Consent{OnByDefault: true}, want: telemetry.On, by: "default"},
		"configuration beats all":         {consent: telemetry.Consent{Off: true, Cluster: says(on, nil)}, variable: "on", want: telemetry.Off, by: "configuration"},
		"variable beats DO_NOT_TRACK":     {variable: "on", tracked: "1", want: telemetry.On, by: "variable"},
		"variable off":                    {consent: telemetry.Consent{Cluster: says(on, nil)}, variable: " FALSE ", want: telemetry.Off, by: "variable"},
		"variable that means nothing":     {consent: telemetry.Consent{OnByDefault: true}, variable: "maybe", want: telemetry.Undecided, failed: true},
		"DO_NOT_TRACK beats the cluster":  {consent: telemetry.Consent{Cluster: says(on, nil)}, tracked: "true", want: telemetry.Off, by: "DO_NOT_TRACK"},
		"DO_NOT_TRACK of 0 says nothing":  {consent: telemetry.Consent{Cluster: says(on, nil)}, tracked: "0", want: telemetry.On, by: "cluster"},
		"cluster beats the console":       {consent: telemetry.Consent{Cluster: says(off, nil), Console: says(on, nil)}, want: telemetry.Off, by: "cluster"},
		"console beats the default":       {consent: telemetry.Consent{Cluster: says(undecided, nil), Console: says(off, nil), OnByDefault: true}, want: telemetry.Off, by: "console"},
		"console on":                      {consent: telemetry.Consent{Console: says(on, nil)}, want: telemetry.On, by: "console"},
		"cluster that cannot be read":     {consent: telemetry.Consent{Cluster: says(on, unreadable), OnByDefault: true}, failed: true},
		"no matter what comes after it":   {consent: telemetry.Consent{Cluster: says(on, unreadable), Console: says(on, nil)}, failed: true},
		"what comes before it is decided": {consent: telemetry.Consent{Cluster: says(on, unreadable)}, variable: "1", want: telemetry.On, by: "variable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := host(nil, constant("pods", 7))
			c.Consent = tt.consent
			c.Consent.Variable = "ACME_TELEMETRY"
			c.Consent.Getenv = func(name string) string {
				return map[string]string{"ACME_TELEMETRY": tt.variable, "DO_NOT_TRACK": tt.tracked}[name]
			}
			s := reporter(t, c).Status(t.Context())
			if s.Decision.Choice != tt.want || s.Decision.By != tt.by || (s.Err != nil) != tt.failed || (s.Agreed != "") != (tt.want == telemetry.On) {
				t.Errorf("got %+v", s)
			}
			if s.Err != nil && strings.Contains(s.Err.Error(), "maybe") {
				t.Errorf("error repeats the setting: %v", s.Err)
			}
		})
	}
}

func TestUnreadableConsentKeepsTheLastDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var decision telemetry.Decision
		var err error
		log, c := &journal{}, host(nil, constant("pods", 7))
		c.Logger = host(log).Logger
		c.Consent = telemetry.Consent{Getenv: c.Consent.Getenv, Cluster: func(context.Context) (telemetry.Decision, error) { return decision, err }}
		r := reporter(t, c)
		stop := run(t, r)
		defer stop()
		for i, step := range []struct {
			choice telemetry.Choice
			err    error
			on     bool
		}{
			{telemetry.On, errors.New("forbidden"), false},
			{telemetry.On, nil, true},
			{telemetry.Off, errors.New("forbidden"), true},
			{telemetry.Off, errors.New("timeout"), true},
			{telemetry.Off, nil, false},
			{telemetry.On, errors.New("forbidden"), false},
		} {
			decision, err = telemetry.Decision{Choice: step.choice}, step.err
			_, reported := r.Report(t.Context(), "start")
			if on := reported == nil; on != step.on {
				t.Errorf("step %d: reported %v, want on: %t", i, reported, step.on)
			}
		}
		if n := log.count("level=WARN"); n != 3 {
			t.Errorf("%d warnings, want one for each of three outages:\n%s", n, log.b.String())
		}
	})
}

func TestConsentThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var asked atomic.Int32
		c := host(nil, constant("pods", 7))
		c.Consent.Cluster = func(context.Context) (telemetry.Decision, error) {
			asked.Add(1)
			<-release
			return telemetry.Decision{Choice: telemetry.On}, nil
		}
		r := reporter(t, c)
		stop := run(t, r)
		for range 3 {
			if _, err := r.Report(t.Context(), "start"); !errors.Is(err, telemetry.ErrOff) {
				t.Errorf("report: %v", err)
			}
		}
		stop()
		close(release)
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestParseDecision(t *testing.T) {
	const hash = "0123456789abcdef"
	for setting, want := range map[string]telemetry.Decision{
		"": {}, " ": {}, "off": {Choice: telemetry.Off}, "False": {Choice: telemetry.Off}, "0": {Choice: telemetry.Off},
		"on": {Choice: telemetry.On}, "TRUE\n": {Choice: telemetry.On}, "1": {Choice: telemetry.On},
		hash: {Choice: telemetry.On, Plan: hash}, strings.ToUpper(hash): {Choice: telemetry.On, Plan: hash},
	} {
		if got, err := telemetry.ParseDecision(setting); err != nil || got != want {
			t.Errorf("%q: %+v, %v", setting, got, err)
		}
	}
	for _, setting := range []string{"yes please", hash + "0", hash[1:], "g123456789abcdef"} {
		if _, err := telemetry.ParseDecision(setting); err == nil || strings.Contains(err.Error(), setting) {
			t.Errorf("%q: %v", setting, err)
		}
	}
}

// An upgrade adds a metric, changes one and drops one.
func TestUpgradeWaitsForConsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := map[string]int{}
		provider := func(name string, change func(*telemetry.PropertySpec)) telemetry.Provider {
			return telemetry.NewProvider(name, []telemetry.PropertySpec{metric(name, change)}, func(_ context.Context, r *telemetry.Readings) error {
				asked[name]++
				r.Integer(name, 7)
				return nil
			})
		}
		buckets := func(p *telemetry.PropertySpec) { p.Buckets = []int64{0, 5} }
		memory, setting, signals := &agreement{}, "on", []string{"start"}
		sent := func(providers ...telemetry.Provider) (string, telemetry.Status) {
			t.Helper()
			s := &sink{name: "memory"}
			c := host(nil, providers...)
			c.Destinations, c.Signals = []telemetry.Destination{s}, signals
			c.Consent = telemetry.Consent{Getenv: func(string) string { return setting }, Variable: "ACME", Agreement: memory}
			c.Consent.Getenv = func(name string) string { return map[string]string{"ACME": setting}[name] }
			r := reporter(t, c)
			stop := run(t, r)
			defer stop()
			receipt, err := r.Report(t.Context(), signals[len(signals)-1])
			if err != nil {
				return err.Error(), r.Status(t.Context())
			}
			if _, err := receipt.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, payloads := s.seen()
			got := properties(t, payloads[0])
			delete(got, "signal")
			delete(got, "clusterIdHash")
			return fmt.Sprint(got), r.Status(t.Context())
		}
		check := func(when, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: got %s, want %s", when, got, want)
			}
		}
		old := []telemetry.Provider{provider("dropped", nil), provider("finer", buckets), provider("pods", nil)}
		upgraded := []telemetry.Provider{provider("added", nil), provider("pods", nil), provider("finer", nil)} // in another order, too

		got, status := sent(old...)
		check("first release", got, "map[dropped:7 finer:5 pods:7]")
		first := status.Plan

		clear(asked)
		got, status = sent(upgraded...)
		check("upgrade", got, "map[pods:7]")
		if !slices.Equal(status.Waiting, []string{"added", "finer"}) || status.Agreed != first || asked["added"] != 0 || asked["finer"] != 0 {
			t.Errorf("upgrade: status %+v, asked %v", status, asked)
		}

		setting = first
		got, _ = sent(upgraded...)
		check("consent to the first plan", got, "map[pods:7]")

		setting = "feedfeedfeedfeed"
		got, status = sent(upgraded...)
		check("consent to another plan", got, telemetry.ErrOff.Error())
		if status.Err == nil || status.Agreed != "" {
			t.Errorf("consent to another plan: %+v", status)
		}

		signals = []string{"start", "stop"}
		setting = "on"
		got, _ = sent(upgraded...)
		check("a signal that is new", got, telemetry.ErrOff.Error())
		signals = []string{"start"}

		setting = status.Plan
		got, status = sent(upgraded...)
		check("consent to the new plan", got, "map[added:7 finer:7 pods:7]")
		if len(status.Waiting) != 0 {
			t.Errorf("status %+v", status)
		}

		setting = "on"
		got, _ = sent(upgraded...)
		check("the new plan is remembered", got, "map[added:7 finer:7 pods:7]")
		got, _ = sent(old...)
		check("downgrade", got, "map[pods:7]")
	})
}

func TestAgreementThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := host(nil, constant("pods", 7))
		memory := &agreement{save: errors.New("forbidden")}
		c.Consent.Agreement = memory
		r := reporter(t, c)
		if s := r.Status(t.Context()); s.Agreed != s.Plan || s.Err != nil {
			t.Errorf("status before anything is remembered: %+v", s)
		}
		stop := run(t, r)
		defer stop()
		// A plan that is not remembered is not agreed to: the next release could not tell.
		for range 2 {
			if _, err := r.Report(t.Context(), "start"); !errors.Is(err, telemetry.ErrOff) {
				t.Errorf("report: %v", err)
			}
		}
		memory.mu.Lock()
		memory.save = nil
		memory.mu.Unlock()
		report(t, r)
		memory.mu.Lock()
		memory.plan = []byte("{")
		memory.mu.Unlock()
		report(t, r) // the last decision stays
		if s := r.Status(t.Context()); s.Err == nil || s.Agreed != s.Plan {
			t.Errorf("status with a damaged memory: %+v", s)
		}
	})
}
