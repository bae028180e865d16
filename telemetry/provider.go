// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// A Provider finds out some facts about a cluster or about the program that embeds
// the library. It says beforehand which ones, and why.
type Provider interface {
	// Name identifies the provider in logs and in [Status]: lower-case letters,
	// digits and dashes.
	Name() string
	// Metrics returns the provider's entries in the tracking plan, always the same.
	// Each one names its type, unit, allowed words or buckets, reason, question,
	// source, sensitivity and the release that adds it. Names are camelCase,
	// begin with a lower-case letter and are unique among all providers.
	// Optional and Nullable are not for providers to set.
	Metrics() []PropertySpec
	// Collect records each metric in readings, as soon as it knows it: its value,
	// or with [Readings.Fail] why there is none. The error is that of every metric
	// not yet recorded (see [OutcomeOf]); with nil, they fail as [OutcomeError].
	// Zero is for what was counted and found to be none, never for "not known".
	//
	// Collect is called by one goroutine at a time, once each period and for each
	// report or preview that is asked for. It stops soon after ctx is done: what it
	// records later is dropped, and while it does not return it is not called
	// again. A panic is an error. It caches nothing that may change.
	Collect(ctx context.Context, readings *Readings) error
}

// An Outcome says whether a metric has a value, or why it has none.
type Outcome string

const (
	// OutcomeOK means that there is a value.
	OutcomeOK Outcome = "ok"
	// OutcomeAbsent means that what would be counted is not installed.
	OutcomeAbsent Outcome = "absent"
	// OutcomeForbidden means that the program may not read it.
	OutcomeForbidden Outcome = "forbidden"
	// OutcomeTimeout means that it took too long.
	OutcomeTimeout Outcome = "timeout"
	// OutcomeError means anything else.
	OutcomeError Outcome = "error"
)

// OutcomeOf returns the outcome that an error stands for: OutcomeAbsent for
// [fs.ErrNotExist], OutcomeForbidden for [fs.ErrPermission], OutcomeTimeout for
// [context.DeadlineExceeded] and [os.ErrDeadlineExceeded], OutcomeError for any
// other and OutcomeOK for nil. Nothing else of the error is used, logged or kept:
// its text may hold names.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return OutcomeOK
	case errors.Is(err, fs.ErrNotExist):
		return OutcomeAbsent
	case errors.Is(err, fs.ErrPermission):
		return OutcomeForbidden
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return OutcomeTimeout
	default:
		return OutcomeError
	}
}

// outcomeSuffix makes of the name of a metric that of its outcome.
const outcomeSuffix = "Outcome"

// outcomeSpec is the entry of a metric's outcome, which an event holds when, and
// only when, it does not hold the metric.
func outcomeSpec(metric *PropertySpec) PropertySpec {
	return PropertySpec{
		Name: metric.Name + outcomeSuffix, Type: TypeEnum, Optional: true,
		Words:  []string{string(OutcomeAbsent), string(OutcomeForbidden), string(OutcomeTimeout), string(OutcomeError)},
		Reason: "Says why " + metric.Name + " is missing, so that zero never stands for \"not known\".",
		Source: "how reading " + metric.Name + " went", Sensitivity: SensitivityTechnical, Since: metric.Since,
	}
}

// Readings take what a provider finds out, one metric at a time, and apply the
// tracking plan at once: numbers are rounded down to their buckets, words must be in
// their closed list, names become pseudonyms. A value that does not fit its entry in
// the plan makes the metric an [OutcomeError]. Recorded twice, a metric is what was
// recorded last.
//
// Readings are safe for concurrent use.
type Readings struct {
	names *Pseudonymizer
	specs map[string]*PropertySpec // the provider's own metrics
	wants func(metric string) bool

	mu     sync.Mutex
	taken  map[string]reading
	sealed bool
	faults int // readings that the plan does not allow
}

type reading struct {
	value   Value
	outcome Outcome
}

// Wants reports whether the metric may be sent at all. One that was added by an
// upgrade may not until somebody agreed to it, and need not be collected.
func (r *Readings) Wants(metric string) bool { return r.wants == nil || r.wants(metric) }

// Integer records a whole number, in the unit of the plan.
func (r *Readings) Integer(metric string, n int64) {
	r.take(metric, TypeInteger, func(s *PropertySpec) (Value, bool) { return IntegerValue(s.bucket(n)), n >= s.Minimum })
}

// Boolean records a truth.
func (r *Readings) Boolean(metric string, b bool) {
	r.take(metric, TypeBoolean, func(*PropertySpec) (Value, bool) { return BooleanValue(b), true })
}

// Word records a word of the metric's closed list. A provider maps what it does not
// know to a word such as "other" itself.
func (r *Readings) Word(metric, word string) {
	r.take(metric, TypeEnum, func(s *PropertySpec) (Value, bool) {
		return Value{typ: TypeEnum, text: word}, slices.Contains(s.Words, word)
	})
}

// Set records which words of the metric's closed list apply; none is a set too.
func (r *Readings) Set(metric string, words ...string) {
	r.take(metric, TypeSet, func(s *PropertySpec) (Value, bool) { return s.set(words) })
}

// Counts records a whole number for each of some words of the metric's closed list.
func (r *Readings) Counts(metric string, numbers map[string]int64) {
	r.take(metric, TypeCounts, func(s *PropertySpec) (Value, bool) { return s.counts(numbers) })
}

// Version records a version.
func (r *Readings) Version(metric string, v Version) {
	r.take(metric, TypeVersion, func(*PropertySpec) (Value, bool) { return VersionValue(v), !v.IsZero() })
}

// Name records the pseudonym of a name or an ID. The name itself is not kept.
func (r *Readings) Name(metric, name string) {
	r.take(metric, TypePseudonym, func(*PropertySpec) (Value, bool) {
		return PseudonymValue(r.names.hide("metric", []byte(name), nil)), name != ""
	})
}

// Fail records why the metric has no value; see [OutcomeOf].
func (r *Readings) Fail(metric string, err error) {
	if err == nil {
		err = errors.ErrUnsupported
	}
	r.put(metric, reading{outcome: OutcomeOf(err)}, true)
}

// take records the value when the metric is one of the provider's, of this type, and
// the value fits.
func (r *Readings) take(metric string, typ Type, value func(*PropertySpec) (Value, bool)) {
	taken, fits := reading{outcome: OutcomeError}, false
	if spec := r.specs[metric]; spec != nil && spec.Type == typ {
		if v, ok := value(spec); ok {
			taken, fits = reading{v, OutcomeOK}, true
		}
	}
	r.put(metric, taken, fits)
}

func (r *Readings) put(metric string, taken reading, fits bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return
	}
	declared := r.specs[metric] != nil
	if declared {
		r.taken[metric] = taken
	}
	if !declared || !fits {
		r.faults++
	}
}

// seal ends the collection: metrics not recorded until now have the outcome of err,
// and nothing is recorded any more.
func (r *Readings) seal(err error) {
	if err == nil {
		err = errors.ErrUnsupported
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return
	}
	for name := range r.specs {
		if _, ok := r.taken[name]; !ok {
			r.taken[name] = reading{outcome: OutcomeOf(err)}
		}
	}
	r.sealed = true
}
