// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// PeriodicSignal is the signal of the reports that [Reporter.Run] makes on its own.
const PeriodicSignal = "periodic"

// maxSlugBytes bounds the words that a message ID is made of.
const maxSlugBytes = 32

// Config is what a [Reporter] is made of. Product, Version, Since, Identity and
// Providers are needed.
type Config struct {
	// Product names the program that embeds the library: at most 32 lower-case
	// letters, digits and dashes. Version is its version. Since is the first version of
	// it that reports.
	Product, Version, Since string
	// Event is the name of the event; "" is "Cluster Inventory".
	Event string
	// Signals are the words that [Reporter.Report] takes, such as "start": at most 32
	// lower-case letters, digits and dashes each. They say what a report was made for.
	Signals []string
	// Identity returns what makes pseudonyms in this cluster, and that of the cluster
	// itself. It is called for each report and not while telemetry is off, except for a
	// preview. Its errors hold no names, since they are logged. Client.ClusterID of package
	// kube finds out a cluster's ID.
	Identity func(context.Context) (*Pseudonymizer, error)
	// Providers find out the metrics, in the order in which the event has them.
	Providers []Provider
	// Destinations take the reports. With none, reports are made and go nowhere.
	Destinations []Destination
	// Consent says who may turn telemetry on and off.
	Consent Consent
	// Period is the time from one report to the next, give or take a tenth; 0 is a day.
	Period time.Duration
	// Timeout is how long one provider may take; 0 is 30 seconds.
	Timeout time.Duration
	// Queue is how many reports wait for a destination that cannot be reached, before
	// the oldest is dropped; 0 is 32.
	Queue int
	// Logger gets the little there is to say; nil drops it.
	Logger *slog.Logger
}

// A Reporter makes reports of what its providers find out, one event each, and
// delivers them. It does nothing before Run, and nothing after Run has returned.
type Reporter struct {
	config    Config
	inventory *Inventory
	plan      *Plan
	gate      gate
	outlets   []*outlet
	logger    *slog.Logger

	started  atomic.Bool
	stopped  chan struct{}
	requests chan request

	mu       sync.Mutex
	said     map[string]string // the last state of each thing that is logged when it changes
	last     time.Time
	outcomes map[string]Outcome
}

type request struct {
	ctx    context.Context // the caller's, who waits for the reply
	signal string
	reply  chan reply
}

type reply struct {
	receipt *Receipt
	err     error
}

// ErrOff says that nothing was reported since telemetry is off, or since the plan that
// was agreed to does not have such a report. It is no failure.
var ErrOff = errors.New("telemetry is off, or does not have this report yet")

// ErrStopped says that Run has returned.
var ErrStopped = errors.New("telemetry reporter has stopped")

// NewReporter checks the configuration and returns a Reporter. It starts nothing. The
// error lists all that is wrong.
func NewReporter(c Config) (*Reporter, error) {
	c.Event = cmp.Or(c.Event, "Cluster Inventory")
	c.Period = cmp.Or(c.Period, 24*time.Hour)
	c.Queue = cmp.Or(c.Queue, 32)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	complain := func(wrong bool, text string) {
		if wrong {
			errs = append(errs, errors.New(text))
		}
	}
	complain(!isShortSlug(c.Product), "product is not 1 to 32 lower-case letters, digits and dashes")
	complain(c.Version == "", "version of the product is missing")
	complain(c.Identity == nil, "identity is missing: without it names cannot be hidden")
	complain(c.Period < 0 || c.Timeout < 0 || c.Queue < 0, "period, timeout and queue cannot be negative")
	complain(slices.ContainsFunc(c.Signals, func(s string) bool { return !isShortSlug(s) || s == PeriodicSignal }),
		"a signal is not 1 to 32 lower-case letters, digits and dashes, or is the reporter's own")
	names := map[string]bool{}
	for _, d := range c.Destinations {
		complain(!isSlug(d.Name()) || names[d.Name()], "a destination has no name of its own, of lower-case letters, digits and dashes")
		names[d.Name()] = true
	}
	inventory, err := NewInventory(c.Timeout, c.Providers...)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("configure telemetry: %w", err)
	}
	plan, err := NewPlan(c.Product, inventoryEvent(&c, inventory))
	if err != nil {
		return nil, fmt.Errorf("configure telemetry: %w", err)
	}
	r := &Reporter{
		config: c, inventory: inventory, plan: plan, logger: c.Logger,
		stopped: make(chan struct{}), requests: make(chan request),
		said: map[string]string{}, outcomes: map[string]Outcome{},
	}
	r.gate.consent, r.gate.current = &r.config.Consent, plan
	for _, d := range c.Destinations {
		r.outlets = append(r.outlets, newOutlet(d, c.Queue, c.Logger, func(ctx context.Context) bool {
			return r.permission(ctx, false).plan != nil
		}))
	}
	return r, nil
}

// Plan returns the tracking plan: the one event, with every property that it may hold.
// [Plan.Markdown] and [Plan.JSONSchema] make the data dictionary of it.
func (r *Reporter) Plan() *Plan { return r.plan }

// Run reports once within a tenth of the period (ten minutes at most), then each
// period, until ctx is done. It owns every goroutine, and has ended them when it
// returns; a provider or destination that ignores the end of its context is given a
// second and left behind. What is queued then is given five seconds to be delivered,
// once. A Reporter runs once; the error says that it has been started before.
func (r *Reporter) Run(ctx context.Context) error {
	if !r.started.CompareAndSwap(false, true) {
		return errors.New("run telemetry reporter: it was started before: make another")
	}
	defer close(r.stopped)
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var deliveries sync.WaitGroup
	for _, o := range r.outlets {
		deliveries.Go(func() { o.run(ctx, sending) })
	}
	r.loop(ctx)
	last := time.AfterFunc(5*time.Second, stop)
	defer last.Stop()
	deliveries.Wait()
	return nil
}

// Start is Run under the name that controller-runtime's manager calls.
func (r *Reporter) Start(ctx context.Context) error { return r.Run(ctx) }

// NeedLeaderElection makes controller-runtime's manager start the reporter in one
// replica only, so that a cluster is not counted once for each.
func (r *Reporter) NeedLeaderElection() bool { return true }

func (r *Reporter) loop(ctx context.Context) {
	timer := time.NewTimer(rand.N(min(r.config.Period/10, 10*time.Minute) + 1))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			_, _ = r.report(ctx, PeriodicSignal) // report logs what is worth it
			tenth := r.config.Period / 10
			timer.Reset(r.config.Period - tenth + rand.N(2*tenth+1))
		case q := <-r.requests:
			asked, done := context.WithCancel(ctx)
			release := context.AfterFunc(q.ctx, done)
			receipt, err := r.report(asked, q.signal)
			release()
			done()
			q.reply <- reply{receipt, err}
		}
	}
}

// Report makes a report at once and returns when it is queued for every destination;
// [Receipt.Wait] waits for what they make of it. The signal is one of the
// configuration's. Report waits until Run takes it up, one report at a time, or for the
// end of ctx. The error is [ErrOff] while telemetry is off, and [ErrStopped] when Run
// has returned.
func (r *Reporter) Report(ctx context.Context, signal string) (*Receipt, error) {
	if err := r.knows(signal); err != nil {
		return nil, err
	}
	q := request{ctx, signal, make(chan reply, 1)}
	select {
	case r.requests <- q:
	case <-ctx.Done():
		return nil, fmt.Errorf("report %s: %w", signal, ctx.Err())
	case <-r.stopped:
		return nil, ErrStopped
	}
	done := <-q.reply // Run replies soon after either context is done
	return done.receipt, done.err
}

// Preview returns what a report with the signal would send now, byte for byte: the
// track call. It works while telemetry is off, or does not have this report yet, and
// then shows what agreeing to this release's plan would send. It reads the cluster, and
// sends and keeps nothing.
func (r *Reporter) Preview(ctx context.Context, signal string) ([]byte, error) {
	if err := r.knows(signal); err != nil {
		return nil, err
	}
	p := r.gate.permission(ctx, false)
	if !r.allows(p, signal) {
		p.plan = r.plan
	}
	e, _, err := r.collect(ctx, signal, p)
	if err != nil {
		return nil, fmt.Errorf("preview %s: %w", signal, err)
	}
	return e.Track(r.library()).Payload, nil
}

// Status says how telemetry is doing, and why.
type Status struct {
	// Decision says whether telemetry is on, and who decided. Err is why that cannot be
	// found out; the decision is then the last one, and before there is one it is off.
	Decision Decision
	Err      error
	// Plan is the hash of this release's plan; Agreed is that of the plan agreed to, ""
	// when nothing may be sent. Waiting are the metrics that wait until somebody agrees
	// to this release's plan; [Plan.DiffMarkdown] tells more.
	Plan, Agreed string
	Waiting      []string
	// Last is when the last report was made; Outcomes are those of its metrics.
	Last     time.Time
	Outcomes map[string]Outcome
	// Destinations are in the order of the configuration.
	Destinations []DestinationStatus
}

// Status asks anew who decided what. It collects and sends nothing.
func (r *Reporter) Status(ctx context.Context) Status {
	p := r.gate.permission(ctx, false)
	s := Status{Decision: p.decision, Err: p.err, Plan: r.plan.Hash(), Waiting: r.waiting(p)}
	if p.plan != nil {
		s.Agreed = p.plan.Hash()
	}
	for _, o := range r.outlets {
		s.Destinations = append(s.Destinations, o.state())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Last, s.Outcomes = r.last, r.outcomes
	return s
}

func (r *Reporter) library() Library { return Library{r.config.Product, r.config.Version} }

func (r *Reporter) knows(signal string) error {
	if signal == PeriodicSignal || slices.Contains(r.config.Signals, signal) {
		return nil
	}
	return errors.New("signal is not one of the configuration's: add it to Signals, and so to the tracking plan")
}
