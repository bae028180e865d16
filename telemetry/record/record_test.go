// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A record has no field that could hold free text: a name that is not hidden has
// nowhere to go.
func TestRecordsCannotHoldText(t *testing.T) {
	allowed := map[reflect.Type]bool{
		reflect.TypeFor[telemetry.UID]():          true,
		reflect.TypeFor[telemetry.Pseudonym]():    true,
		reflect.TypeFor[time.Time]():              true,
		reflect.TypeFor[int]():                    true,
		reflect.TypeFor[bool]():                   true,
		reflect.TypeFor[record.PipelineType]():    true,
		reflect.TypeFor[record.ConditionStatus](): true,
		reflect.TypeFor[record.RunReason]():       true,
		reflect.TypeFor[record.InstallReason]():   true,
		reflect.TypeFor[[]telemetry.Property]():   true, // a Value has no type for text
	}
	for _, r := range everyKind(t) {
		for field := range reflect.TypeOf(r).Elem().Fields() {
			if !allowed[field.Type] {
				t.Errorf("field %s of %T has type %s, which may hold a name", field.Name, r, field.Type)
			}
		}
	}
}

func TestWindow(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := record.Window{Since: noon, Until: noon.Add(time.Hour)}
	for _, test := range []struct {
		at   time.Time
		want bool
	}{
		{time.Time{}, false},
		{noon.Add(-time.Second), false},
		{noon, true},
		{noon.Add(time.Hour - time.Second), true},
		{noon.Add(time.Hour), false},
		{noon.In(time.FixedZone("", 3600)), true},
	} {
		if got := w.Contains(test.at); got != test.want {
			t.Errorf("window contains %s: %t", test.at, got)
		}
	}
}

func TestInventoryTouches(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := record.Window{Since: noon.Add(-4 * time.Hour), Until: noon}
	for after, want := range map[time.Duration]bool{
		-5 * time.Hour: false, -4 * time.Hour: true, 0: true, 20 * time.Minute: true, record.Freshness - 1: true, record.Freshness: false, 30 * 24 * time.Hour: false,
	} {
		if got := (&record.Inventory{Taken: noon.Add(after)}).Touches(w); got != want {
			t.Errorf("looked at %s after the end of the window: touches is %t", after, got)
		}
	}
}

func TestDone(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		status    record.ConditionStatus
		completed time.Time
		want      bool
	}{
		{record.StatusTrue, noon, true},
		{record.StatusFalse, noon, true},
		{record.StatusUnknown, noon, false},
		{record.ConditionStatus{}, noon, false},
		{record.StatusTrue, time.Time{}, false},
	} {
		run := record.PipelineRun{Status: test.status, Completed: test.completed}
		if got := run.Done(); got != test.want {
			t.Errorf("status %q, completed %s: done is %t", test.status, test.completed, got)
		}
	}
}

// everyKind returns one record of each kind, with every field set.
func everyKind(t testing.TB) []record.Record {
	t.Helper()
	names, err := telemetry.NewPseudonymizer("0b1f")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := telemetry.ParseUID([]byte("0c1d3a52-6a3a-4b55-8f1d-3b1f5b9c1a11"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hidden := names.Namespace([]byte("team-a"))
	return []record.Record{
		&record.PipelineRun{
			UID: uid, Namespace: hidden, User: names.User([]byte("alice")), Started: at, Completed: at.Add(time.Minute), Tasks: 16,
			HasPipelineLabel: true, Type: record.ParsePipelineType([]byte("build")),
			Status: record.StatusTrue, Reason: record.ParseRunReason([]byte("Succeeded")),
		},
		&record.Component{UID: uid, Namespace: hidden, Component: hidden, Application: hidden, Created: at},
		&record.Namespace{UID: uid, Namespace: hidden, Created: at},
		&record.Installation{
			UID: uid, Namespace: hidden, Created: at, Deleted: at.Add(time.Hour), Ready: record.StatusFalse,
			ReadySince: at.Add(time.Minute), ReadyReason: record.ParseInstallReason([]byte("ApplyFailed")),
		},
		&record.Inventory{Taken: at, Metrics: []telemetry.Property{
			{Name: "podCount", Value: telemetry.IntegerValue(50)}, {Name: "mixedArchitectures", Value: telemetry.BooleanValue(true)},
		}},
	}
}
