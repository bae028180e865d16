// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// planHashDigits is the length of a plan's hash.
const planHashDigits = 16

// ParsePlan reads what [Plan.JSON] wrote, of this release or another. A plan with
// fields that this release does not know is an error, since what they allow or forbid
// is not known either.
func ParsePlan(data []byte) (*Plan, error) {
	var text Plan
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&text); err != nil || d.More() {
		return nil, errors.New("parse plan: it is not a tracking plan in JSON that this release knows: write it with plan --format json")
	}
	return NewPlan(text.Name, text.Events...)
}

// A PlanChange is a difference between two plans: an entry that only one of them has,
// or that they have differently.
type PlanChange struct {
	Event string
	// Property is "" when what is said of the event itself differs.
	Property string
	// Old and New are the entries of the property; nil where there is none.
	Old, New *PropertySpec
}

// Diff returns what changed since the old plan: entries that are new, that differ and
// that are gone.
func (p *Plan) Diff(old *Plan) []PlanChange {
	var changes []PlanChange
	for i := range p.Events {
		e := &p.Events[i]
		before := old.Event(e.Name)
		if before == nil {
			before = &EventSpec{}
		}
		if before.Name == "" || !sameEvent(before, e) {
			changes = append(changes, PlanChange{Event: e.Name})
		}
		for j := range e.Properties {
			now := &e.Properties[j]
			if was := before.property(now.Name); was == nil || !same(was, now) {
				changes = append(changes, PlanChange{e.Name, now.Name, was, now})
			}
		}
		for j := range before.Properties {
			if was := &before.Properties[j]; e.property(was.Name) == nil {
				changes = append(changes, PlanChange{e.Name, was.Name, was, nil})
			}
		}
	}
	for i := range old.Events {
		if e := &old.Events[i]; p.Event(e.Name) == nil {
			changes = append(changes, PlanChange{Event: e.Name})
			for j := range e.Properties {
				changes = append(changes, PlanChange{e.Name, e.Properties[j].Name, &e.Properties[j], nil})
			}
		}
	}
	return changes
}

// DiffMarkdown returns the difference between the plans as a page for people, who may
// then agree to the plan by its hash.
func (p *Plan) DiffMarkdown(old *Plan) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Tracking plan of %s: what changed\n\nFrom plan `%s` to plan `%s`.\n", p.Name, old.Hash(), p.Hash())
	changes := p.Diff(old)
	if len(changes) == 0 {
		b.WriteString("\nNothing changed.\n")
	}
	for _, part := range []struct {
		title string
		holds func(PlanChange) bool
	}{
		{"Added", func(c PlanChange) bool { return c.Property != "" && c.Old == nil }},
		{"Changed", func(c PlanChange) bool { return c.Old != nil && c.New != nil }},
		{"Removed", func(c PlanChange) bool { return c.Property != "" && c.New == nil }},
		{"Events", func(c PlanChange) bool { return c.Property == "" }},
	} {
		if !slices.ContainsFunc(changes, part.holds) {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n", part.title)
		for _, c := range changes {
			if part.holds(c) {
				c.markdown(&b, p, old)
			}
		}
	}
	return b.Bytes()
}

func (c *PlanChange) markdown(b *bytes.Buffer, plan, old *Plan) {
	if c.Property == "" {
		switch e := plan.Event(c.Event); {
		case e == nil:
			fmt.Fprintf(b, "- %s: removed\n", c.Event)
		case old.Event(c.Event) == nil:
			fmt.Fprintf(b, "- %s: new. %s From: %s\n", c.Event, e.Question, e.Source)
		default:
			fmt.Fprintf(b, "- %s: now answers: %s From: %s; at: %s; message ID `%s`\n", c.Event, e.Question, e.Source, e.Timestamp, e.MessageID)
		}
		return
	}
	fmt.Fprintf(b, "- `%s` of %s", c.Property, c.Event)
	for _, side := range []struct {
		word string
		spec *PropertySpec
	}{{"was", c.Old}, {"is", c.New}} {
		if side.spec != nil {
			fmt.Fprintf(b, "\n  - %s: %s. %s Read from: %s. Sensitivity: %s. Since %s.", side.word,
				side.spec.DescribeType(), side.spec.Why(), side.spec.Source, side.spec.Sensitivity, side.spec.Since)
		}
	}
	b.WriteByte('\n')
}

// sameEvent compares what is said of the events, their properties aside.
func sameEvent(a, b *EventSpec) bool {
	left, right := *a, *b
	left.Properties, right.Properties = nil, nil
	return same(left, right)
}

// same compares entries as the JSON of a plan does, in which nothing and none are one.
func same(a, b any) bool {
	left, err := json.Marshal(a)
	right, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(left, right)
}

// property returns the entry of the named property, or nil.
func (e *EventSpec) property(name string) *PropertySpec {
	if e == nil {
		return nil
	}
	for i := range e.Properties {
		if e.Properties[i].Name == name {
			return &e.Properties[i]
		}
	}
	return nil
}
