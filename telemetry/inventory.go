// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// An Inventory asks providers for their metrics and turns the answers into the
// properties of one event. It is what [Reporter] is built on; a program that stages
// its own events uses it directly.
type Inventory struct {
	providers []*provider
	timeout   time.Duration
	turn      chan struct{} // held by the collection that is going on
	identify  call
}

type provider struct {
	Provider
	metrics []PropertySpec
	call    call // of Collect
}

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
// outcome. Names become pseudonyms by names. The error is ctx's, or that there are no
// names.
func (i *Inventory) Collect(ctx context.Context, names *Pseudonymizer) ([]Property, error) {
	s, err := i.survey(ctx, func(context.Context) (*Pseudonymizer, error) { return names, nil }, nil)
	if err != nil {
		return nil, err
	}
	return s.properties, nil
}

// A survey is what one collection found.
type survey struct {
	names      *Pseudonymizer
	properties []Property
	outcomes   map[string]Outcome // of each metric that was asked for
	faults     map[string]string  // by provider: how it broke its contract
}

// survey collects the metrics that wants allows; nil allows all. One collection goes
// on at a time.
func (i *Inventory) survey(ctx context.Context, identity func(context.Context) (*Pseudonymizer, error), wants func(metric string) bool) (*survey, error) {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	names, err := do(ctx, &i.identify, i.timeout, identity)
	if err == nil && names == nil {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, fmt.Errorf("find out which cluster this is: %w", err)
	}
	s := &survey{names: names, outcomes: map[string]Outcome{}, faults: map[string]string{}}
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
		_, err := do(ctx, &p.call, i.timeout, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.Collect(ctx, r) })
		r.seal(err)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, errHanging):
			s.faults[p.Name()] = "it does not return although its time is up, and is not asked again until it does"
		case errors.Is(err, errPanicked):
			s.faults[p.Name()] = "it panicked"
		case r.faults > 0:
			s.faults[p.Name()] = "it recorded what its entries in the tracking plan do not allow"
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
