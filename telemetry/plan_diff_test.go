// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

func releases(t testing.TB) (old, current *telemetry.Plan) {
	t.Helper()
	event := func(name string, properties ...telemetry.PropertySpec) telemetry.EventSpec {
		return telemetry.EventSpec{
			Name: name, MessageID: "<uid>-x", Timestamp: "now", Question: "Does it work?", Source: "the test", Since: "1", Properties: properties,
		}
	}
	plan := func(events ...telemetry.EventSpec) *telemetry.Plan {
		p, err := telemetry.NewPlan("acme", events...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	changed := event("Changed", metric("same", nil),
		metric("finer", func(p *telemetry.PropertySpec) { p.Buckets = telemetry.Scale(100) }),
		metric("new", func(p *telemetry.PropertySpec) {
			p.Type, p.Words, p.Question = telemetry.TypeSet, []string{"a", "b"}, "Which of them?"
		}))
	changed.Source = "another test"
	return plan(event("Changed", metric("same", nil), metric("gone", nil), metric("finer", func(p *telemetry.PropertySpec) { p.Buckets = telemetry.Scale(10) })), event("Gone", metric("same", nil))),
		plan(changed, event("New", metric("same", nil)))
}

func TestPlanDiff(t *testing.T) {
	old, current := releases(t)
	golden := filepath.Join("testdata", "plan-diff.md")
	got := current.DiffMarkdown(old)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if changes := current.Diff(current); len(changes) != 0 {
		t.Errorf("a plan differs from itself: %+v", changes)
	}
}

func TestParsePlan(t *testing.T) {
	old, _ := releases(t)
	again, err := telemetry.ParsePlan(old.JSON())
	if err != nil || again.Hash() != old.Hash() || len(again.Diff(old)) != 0 {
		t.Errorf("a plan read again: %v", err)
	}
	for name, text := range map[string]string{
		"nothing": "", "another thing": "[]", "a field of the future": `{"name":"acme","events":[],"purpose":"x"}`,
		"more than one": string(old.JSON()) + "{}", "no reason": `{"name":"acme","events":[{"name":"E"}]}`,
	} {
		if _, err := telemetry.ParsePlan([]byte(text)); err == nil {
			t.Errorf("%s was taken for a plan", name)
		}
	}
}

func FuzzParsePlan(f *testing.F) {
	old, current := releases(f)
	f.Add(old.JSON())
	f.Add(current.JSON())
	f.Fuzz(func(t *testing.T, data []byte) {
		plan, err := telemetry.ParsePlan(data)
		if err != nil {
			return
		}
		again, err := telemetry.ParsePlan(plan.JSON())
		if err != nil || again.Hash() != plan.Hash() {
			t.Fatalf("written and read again: %v", err)
		}
		_, _, _ = plan.Markdown(), plan.JSONSchema(), current.DiffMarkdown(plan)
	})
}
