// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// Consent says where people may have decided about telemetry. The fields stand in
// the order in which they are asked, and the first that decides wins; DO_NOT_TRACK,
// which has no field, comes after Variable. The zero Consent is off unless somebody
// turned telemetry on.
//
// While telemetry is off nothing is collected, no destination is dialled, no
// identity is looked up and nothing is written. A place that cannot be read keeps the
// last decision; before there is one, that means off.
type Consent struct {
	// Off says that the product's own configuration says no. It is never overruled, and
	// nobody else is asked.
	Off bool
	// Variable names the product's environment variable, such as ACME_TELEMETRY; its
	// values are those of [ParseDecision].
	Variable string
	// Cluster asks the administrator of the cluster, usually by a ConfigMap, as
	// ConfigMapConsent of package kube does. Nil is not asked.
	Cluster func(context.Context) (Decision, error)
	// Console asks the OpenShift console, which has a telemetry setting of its own, as
	// ConsoleConsent of package kube does. Nil is not asked.
	Console func(context.Context) (Decision, error)
	// OnByDefault is what holds when nobody decided.
	OnByDefault bool

	// Agreement remembers the plan that was agreed to, so that what an upgrade adds
	// waits until somebody agreed to the new plan. With nil, an upgrade cannot be told
	// from a new installation, and a decision that names no plan is about this release's.
	Agreement Agreement
	// Getenv reads the environment; nil is [os.Getenv].
	Getenv func(string) string
}

// A Choice is what somebody decided.
type Choice uint8

// The choices. Undecided passes the question on to the next place.
const (
	Undecided Choice = iota
	Off
	On
)

// A Decision is what was decided, and about what.
type Decision struct {
	Choice Choice
	// Plan is the hash of the plan that was agreed to, or "" for that of the release
	// during which telemetry was first on.
	Plan string
	// By says who decided: "configuration", "variable", "DO_NOT_TRACK", "cluster",
	// "console" or "default". It need not be set by those who are asked.
	By string
}

// ParseDecision reads a setting: "off", "false" or "0"; "on", "true" or "1"; the hash
// of a plan (see [Plan.Hash]), which means on and agreed to that plan; or "", which
// decides nothing. Anything else is an error, which does not repeat it.
func ParseDecision(setting string) (Decision, error) {
	switch text := strings.ToLower(strings.TrimSpace(setting)); text {
	case "":
		return Decision{}, nil
	case "off", "false", "0":
		return Decision{Choice: Off}, nil
	case "on", "true", "1":
		return Decision{Choice: On}, nil
	default:
		if len(text) != planHashDigits || !every([]byte(text), func(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' }) {
			return Decision{}, errors.New(`setting is not "on", "off" or the hash of a plan`)
		}
		return Decision{Choice: On, Plan: text}, nil
	}
}

// An Agreement keeps the plan that was agreed to, such as in a ConfigMap.
type Agreement interface {
	// Load returns what Save was given last; its error is [fs.ErrNotExist] when there
	// is none.
	Load(ctx context.Context) ([]byte, error)
	// Save keeps the plan, some 100 KB of JSON at most. It is called when a plan is
	// agreed to, hence hardly ever.
	Save(ctx context.Context, plan []byte) error
}

// decide asks in order. The error says which place could not be read.
func (c *Consent) decide(ctx context.Context) (Decision, error) {
	getenv := c.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	for _, place := range []struct {
		by  string
		ask func(context.Context) (Decision, error)
	}{
		{"configuration", func(context.Context) (Decision, error) {
			if c.Off {
				return Decision{Choice: Off}, nil
			}
			return Decision{}, nil
		}},
		{"variable", func(context.Context) (Decision, error) {
			if c.Variable == "" {
				return Decision{}, nil
			}
			return ParseDecision(getenv(c.Variable))
		}},
		{"DO_NOT_TRACK", func(context.Context) (Decision, error) {
			if v := strings.ToLower(strings.TrimSpace(getenv("DO_NOT_TRACK"))); v != "" && v != "0" && v != "false" {
				return Decision{Choice: Off}, nil
			}
			return Decision{}, nil
		}},
		{"cluster", c.Cluster},
		{"console", c.Console},
	} {
		if place.ask == nil {
			continue
		}
		switch d, err := place.ask(ctx); {
		case err != nil:
			return Decision{Choice: Off, By: place.by}, fmt.Errorf("ask %s about telemetry: %w", place.by, err)
		case d.Choice != Undecided:
			d.By = place.by
			return d, nil
		}
	}
	if c.OnByDefault {
		return Decision{Choice: On, By: "default"}, nil
	}
	return Decision{Choice: Off, By: "default"}, nil
}

// agreed returns the plan that d agrees to, of which this release may send what it
// knows. With save, a plan that is agreed to from now on is remembered.
func (c *Consent) agreed(ctx context.Context, current *Plan, d Decision, save bool) (*Plan, error) {
	if c.Agreement == nil {
		if d.Plan != "" && d.Plan != current.Hash() {
			return nil, errUnknownPlan
		}
		return current, nil
	}
	var remembered *Plan
	data, err := c.Agreement.Load(ctx)
	if err == nil {
		remembered, err = ParsePlan(data)
	}
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist) && d.Plan != current.Hash():
		return nil, fmt.Errorf("load the plan agreed to: %w", err)
	case remembered != nil && remembered.Hash() == current.Hash() && (d.Plan == "" || d.Plan == current.Hash()):
		return current, nil
	case d.Plan == current.Hash(), d.Plan == "" && remembered == nil:
		if save {
			if err := c.Agreement.Save(ctx, current.JSON()); err != nil {
				return nil, fmt.Errorf("save the plan agreed to, without which the next release could not tell what is new: %w", err)
			}
		}
		return current, nil
	case d.Plan == "", remembered != nil && d.Plan == remembered.Hash():
		return remembered, nil
	default:
		return nil, errUnknownPlan
	}
}

// errUnknownPlan is no failure to read: somebody agreed to something else.
var errUnknownPlan = errors.New("the plan agreed to is neither this release's nor one that is remembered: read the plan and agree to its hash")

// A permission is what may be sent now, and why.
type permission struct {
	decision Decision
	plan     *Plan // agreed to; nil when nothing may be sent
	err      error // why it could not be found out
}

// A gate finds out what may be sent, and remembers it for when it cannot.
type gate struct {
	consent *Consent
	current *Plan

	mu   sync.Mutex
	call call // of what the host configured
	last permission
}

// maxAsking is how long asking may take.
const maxAsking = 30 * time.Second

// permission asks anew. It never returns a plan unless telemetry is on.
func (g *gate) permission(ctx context.Context, save bool) permission {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, err := do(ctx, &g.call, maxAsking, func(ctx context.Context) (permission, error) {
		d, err := g.consent.decide(ctx)
		if err != nil || d.Choice != On {
			return permission{decision: d}, err
		}
		plan, err := g.consent.agreed(ctx, g.current, d, save)
		return permission{decision: d, plan: plan}, err
	})
	switch {
	case errors.Is(err, errUnknownPlan):
	case err != nil:
		p = g.last
	case save || p.plan == nil: // a plan that is not remembered yet does not count
		g.last = p
	}
	p.err = err
	return p
}

// may reports whether the plan agreed to has the same entry for the property of the
// event as this release: the same data, for the same reason.
func (p permission) may(current *Plan, event, property string) bool {
	if p.plan == current || p.plan == nil {
		return p.plan != nil
	}
	was, is := p.plan.Event(event).property(property), current.Event(event).property(property)
	return was != nil && is != nil && same(was, is)
}
