// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// An Inventory asks providers for their metrics and turns the answers into the
// properties of one event. It is what [Reporter] is built on; a program that stages
// its own events uses it directly.
type Inventory struct {
	providers []*provider
	timeout   time.Duration
	turn      chan struct{} // held by the collection that is going on
}

type provider struct {
	Provider
	metrics []PropertySpec
	busy    atomic.Bool // a call of Collect has not returned yet
}

// grace is how long a provider may take to return after its time is up.
const grace = time.Second

// NewInventory returns the inventory of the providers. Each may take up to timeout;
// 0 is 30 seconds. The error lists all that is wrong with their metrics.
func NewInventory(timeout time.Duration, providers ...Provider) (*Inventory, error) {
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	i := &Inventory{timeout: timeout, turn: make(chan struct{}, 1)}
	var errs []error
	for _, p := range providers {
		asked := &provider{Provider: p, metrics: slices.Clone(p.Metrics())}
		if !isSlug(p.Name()) || slices.ContainsFunc(i.providers, func(other *provider) bool { return other.Name() == p.Name() }) {
			errs = append(errs, fmt.Errorf("provider %q: give it a name of its own, of lower-case letters, digits and dashes", p.Name()))
		}
		for m := range asked.metrics {
			metric := &asked.metrics[m]
			if metric.Optional || metric.Nullable || !isCamel(metric.Name) {
				errs = append(errs, fmt.Errorf("metric %q of provider %q: its name is camelCase, and Optional and Nullable are left to the library", metric.Name, p.Name()))
			}
			metric.Optional = true
		}
		i.providers = append(i.providers, asked)
	}
	_, err := NewPlan("inventory", EventSpec{
		Name: "inventory", MessageID: "-", Timestamp: "-", Question: "-", Source: "-", Since: "-", Properties: i.Properties(),
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("check providers: %w", err)
	}
	return i, nil
}

// Properties returns the entries of the tracking plan for the event that is made of
// what Collect returns: each metric, followed by its outcome. Both are optional,
// since an event holds either the one or the other, or neither when the metric
// waits for consent.
func (i *Inventory) Properties() []PropertySpec {
	var specs []PropertySpec
	for _, p := range i.providers {
		for m := range p.metrics {
			specs = append(specs, p.metrics[m], outcomeSpec(&p.metrics[m]))
		}
	}
	return specs
}

// Collect asks the providers, one after the other, and returns the properties of the
// event in the order of Properties. Metrics without a value are represented by their
// outcome. Names become pseudonyms by names. The error is ctx's.
func (i *Inventory) Collect(ctx context.Context, names *Pseudonymizer) ([]Property, error) {
	s, err := i.survey(ctx, names, nil)
	if err != nil {
		return nil, err
	}
	return s.properties, nil
}

// A survey is what one collection found.
type survey struct {
	properties []Property
	outcomes   map[string]Outcome // of each metric that was asked for
	hanging    []string           // providers whose earlier call has not returned
	faulty     []string           // providers that broke their contract: a panic, a value that their plan does not allow
}

// survey collects the metrics that wants allows; nil allows all. One collection goes
// on at a time.
func (i *Inventory) survey(ctx context.Context, names *Pseudonymizer, wants func(metric string) bool) (*survey, error) {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s := &survey{outcomes: map[string]Outcome{}}
	for _, p := range i.providers {
		r := &Readings{names: names, wants: wants, specs: map[string]*PropertySpec{}, taken: map[string]reading{}}
		wanted := false
		for m := range p.metrics {
			r.specs[p.metrics[m].Name] = &p.metrics[m]
			wanted = wanted || r.Wants(p.metrics[m].Name)
		}
		if !wanted {
			continue
		}
		switch err := p.ask(ctx, i.timeout, r); {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, errHanging):
			s.hanging = append(s.hanging, p.Name())
		case errors.Is(err, errPanicked) || r.faults > 0:
			s.faulty = append(s.faulty, p.Name())
		}
		s.add(p, r)
	}
	return s, nil
}

// add appends what p recorded in r.
func (s *survey) add(p *provider, r *Readings) {
	for m := range p.metrics {
		spec := &p.metrics[m]
		if !r.Wants(spec.Name) {
			continue
		}
		taken := r.taken[spec.Name]
		s.outcomes[spec.Name] = taken.outcome
		property := Property{spec.Name, taken.value}
		if taken.outcome != OutcomeOK {
			property = Property{spec.Name + outcomeSuffix, Value{typ: TypeEnum, text: string(taken.outcome)}}
		}
		s.properties = append(s.properties, property)
	}
}

var (
	errPanicked = errors.New("provider panicked")
	errHanging  = fmt.Errorf("provider has not returned from an earlier call: %w", context.DeadlineExceeded)
)

// ask lets p record its metrics in r, which is sealed afterwards. It returns soon
// after timeout or the end of ctx, whatever p does; the one goroutine in which p may
// hang is the last until p returns.
func (p *provider) ask(ctx context.Context, timeout time.Duration, r *Readings) (err error) {
	defer func() { r.seal(err) }()
	if !p.busy.CompareAndSwap(false, true) {
		return errHanging
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := errPanicked
		defer func() {
			_ = recover() // what was thrown may hold a name
			p.busy.Store(false)
			done <- err
		}()
		err = p.Collect(ctx, r)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	r.seal(ctx.Err())
	select {
	case <-done:
	case <-time.After(grace):
	}
	return ctx.Err()
}

// NewProvider returns a provider made of a function.
func NewProvider(name string, metrics []PropertySpec, collect func(ctx context.Context, readings *Readings) error) Provider {
	return &function{name, metrics, collect}
}

type function struct {
	name    string
	metrics []PropertySpec
	collect func(context.Context, *Readings) error
}

func (f *function) Name() string                                   { return f.name }
func (f *function) Metrics() []PropertySpec                        { return f.metrics }
func (f *function) Collect(ctx context.Context, r *Readings) error { return f.collect(ctx, r) }

// Exact returns the provider with plan entries that have no buckets: its numbers are
// sent as they are. It is another plan, so it needs consent of its own.
func Exact(p Provider) Provider {
	metrics := slices.Clone(p.Metrics())
	for i := range metrics {
		metrics[i].Buckets = nil
	}
	return &function{p.Name(), metrics, p.Collect}
}

func isSlug(s string) bool {
	return s != "" && every([]byte(s), func(c byte) bool { return 'a' <= c && c <= 'z' || isDigit(c) || c == '-' })
}

func isCamel(s string) bool {
	return s != "" && 'a' <= s[0] && s[0] <= 'z' &&
		every([]byte(s), func(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' })
}
