// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// plan is a small plan with every type.
func plan(t testing.TB) *telemetry.Plan {
	t.Helper()
	property := func(name string, typ telemetry.Type, change func(*telemetry.PropertySpec)) telemetry.PropertySpec {
		p := telemetry.PropertySpec{
			Name: name, Type: typ, Reason: "to test", Source: "the test",
			Sensitivity: telemetry.SensitivityTechnical, Since: "1",
		}
		if change != nil {
			change(&p)
		}
		return p
	}
	p, err := telemetry.NewPlan("test", telemetry.EventSpec{
		Name: "Thing Done", MessageID: "<uid>-done", Timestamp: "now", Question: "does it work?", Source: "test", Since: "1",
		Properties: []telemetry.PropertySpec{
			property("who", telemetry.TypePseudonym, nil),
			property("colour", telemetry.TypeEnum, func(p *telemetry.PropertySpec) { p.Words, p.Nullable = colours{}.Words(), true }),
			property("count", telemetry.TypeInteger, nil),
			property("good", telemetry.TypeBoolean, nil),
			property("when", telemetry.TypeTime, func(p *telemetry.PropertySpec) { p.Optional = true }),
			property("release", telemetry.TypeVersion, func(p *telemetry.PropertySpec) { p.Optional = true }),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func event(t testing.TB) *telemetry.Event {
	t.Helper()
	names, err := telemetry.NewPseudonymizer("0b1f")
	if err != nil {
		t.Fatal(err)
	}
	release, err := telemetry.ParseVersion("v1.2.3+x")
	if err != nil {
		t.Fatal(err)
	}
	return &telemetry.Event{
		Name: "Thing Done", MessageID: "3f2a-done", Time: noon, Cluster: names.Cluster(),
		Properties: []telemetry.Property{
			{Name: "who", Value: telemetry.PseudonymValue(names.User([]byte("alice")))},
			{Name: "colour", Value: telemetry.EnumValue(telemetry.MustEnum[colours]("red"))},
			{Name: "count", Value: telemetry.IntegerValue(9007199254740993)},
			{Name: "good", Value: telemetry.BooleanValue(true)},
			{Name: "when", Value: telemetry.TimeValue(noon)},
			{Name: "release", Value: telemetry.VersionValue(release)},
		},
	}
}

func TestTrack(t *testing.T) {
	const want = `{"type":"track","messageId":"3f2a-done","anonymousId":"anonymous","event":"Thing Done",` +
		`"timestamp":"2026-03-01T12:00:00Z","context":{"library":{"name":"lib \"x\"","version":"1"},"device":{"id":"CLUSTER"}},` +
		`"properties":{"who":"ALICE","colour":"red","count":9007199254740993,"good":true,"when":"2026-03-01T12:00:00Z","release":"v1.2.3+x"}}`
	e := event(t)
	track := e.Track(telemetry.Library{Name: `lib "x"`, Version: "1"})
	expect := strings.NewReplacer("CLUSTER", e.Cluster.String(), "ALICE", e.Properties[0].Value.String()).Replace(want)
	if string(track.Payload) != expect {
		t.Errorf("got  %s\nwant %s", track.Payload, expect)
	}
	if !json.Valid(track.Payload) || track.MessageID != e.MessageID || track.Event != e.Name || !track.Time.Equal(e.Time) {
		t.Errorf("unexpected track call %+v", track)
	}
	e.Properties = []telemetry.Property{{Name: "colour", Value: telemetry.Null}}
	if got := string(e.Track(telemetry.Library{}).Payload); !strings.HasSuffix(got, `"properties":{"colour":null}}`) {
		t.Errorf("null is not null in %s", got)
	}
}

func TestEventBinary(t *testing.T) {
	want := event(t)
	want.Properties[1].Value = telemetry.Null
	b, err := want.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got telemetry.Event
	if err := got.UnmarshalBinary(b); err != nil || !reflect.DeepEqual(&got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	for n := range b {
		if got.UnmarshalBinary(b[:n]) == nil {
			t.Errorf("the first %d of %d bytes were read as an event", n, len(b))
		}
	}
	if got.UnmarshalBinary(append(b, 0)) == nil {
		t.Error("trailing bytes were ignored")
	}
}

// What is read into an event that held another one is what is read into a new one: words are reused where they are the same, and
// only there.
func TestEventBinaryReused(t *testing.T) {
	first, second := event(t), event(t)
	second.Name, second.MessageID = "Other", "other"
	slices.Reverse(second.Properties)
	second.Properties = second.Properties[1:]
	var reused telemetry.Event
	for i, want := range []*telemetry.Event{first, second, first, {Name: "Bare"}, second} {
		b, err := want.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := reused.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if again, err := reused.AppendBinary(nil); err != nil || !bytes.Equal(again, b) {
			t.Errorf("event %d became %+v, %v\nwant %+v", i, reused, err, want)
		}
	}
}

func FuzzEventBinary(f *testing.F) {
	b, err := event(f).AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again telemetry.Event
		reused := event(t)
		if (e.UnmarshalBinary(b) == nil) != (reused.UnmarshalBinary(b) == nil) {
			t.Error("what the event held before decides whether the bytes are right")
		}
		if e.UnmarshalBinary(b) != nil {
			return
		}
		if fresh, used := fmt.Sprint(e), fmt.Sprint(*reused); fresh != used {
			t.Errorf("an event that held another became %s, want %s", used, fresh)
		}
		back, err := e.AppendBinary(nil)
		if err != nil || again.UnmarshalBinary(back) != nil || !reflect.DeepEqual(e, again) {
			t.Errorf("event changed on its way: %+v became %+v (%v)", e, again, err)
		}
	})
}

func TestPlanCheck(t *testing.T) {
	p := plan(t)
	set := func(i int, v telemetry.Value) func(*telemetry.Event) {
		return func(e *telemetry.Event) { e.Properties[i].Value = v }
	}
	for _, test := range []struct {
		name   string
		change func(*telemetry.Event)
		rule   string // part of the violation, "" for none
	}{
		{"as planned", func(*telemetry.Event) {}, ""},
		{"optional left out", func(e *telemetry.Event) { e.Properties = e.Properties[:4] }, ""},
		{"null where it may be", set(1, telemetry.Null), ""},
		{"event not listed", func(e *telemetry.Event) { e.Name = "Thing Undone" }, "not listed"},
		{"no message ID", func(e *telemetry.Event) { e.MessageID = "" }, "message ID"},
		{"message ID too long", func(e *telemetry.Event) { e.MessageID = strings.Repeat("x", 99) + "-done" }, "message ID"},
		{"message ID of another form", func(e *telemetry.Event) { e.MessageID = "3f2a-undone" }, "form"},
		{"message ID is a suffix alone", func(e *telemetry.Event) { e.MessageID = "-done" }, "form"},
		{"message ID with a space", func(e *telemetry.Event) { e.MessageID = "a b-done" }, "form"},
		{"no time", func(e *telemetry.Event) { e.Time = time.Time{} }, "timestamp"},
		{"time in the year 9999", func(e *telemetry.Event) { e.Time = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }, "timestamp"},
		{"no cluster", func(e *telemetry.Event) { e.Cluster = telemetry.Pseudonym{} }, "cluster"},
		{"property missing", func(e *telemetry.Event) { e.Properties = e.Properties[1:] }, "missing"},
		{"property not listed", func(e *telemetry.Event) {
			e.Properties = append(e.Properties, telemetry.Property{Name: "message"})
		}, "not listed"},
		{"property repeated", func(e *telemetry.Event) { e.Properties = append(e.Properties, e.Properties[5]) }, "repeated"},
		{"null where it may not be", set(0, telemetry.Null), "null"},
		{"another type", set(2, telemetry.BooleanValue(true)), "type"},
		{"negative", set(2, telemetry.IntegerValue(-1)), "minimum"},
		{"word of another list", set(1, telemetry.EnumValue(telemetry.MustEnum[sizes]("big"))), "closed list"},
		{"time before Kubernetes", set(4, telemetry.TimeValue(time.Unix(0, 0))), "2000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := event(t)
			test.change(e)
			err := p.Check(e)
			var violation *telemetry.Violation
			if test.rule == "" && err != nil {
				t.Errorf("unexpected violation: %v", err)
			} else if test.rule != "" && (!errors.As(err, &violation) || !strings.Contains(err.Error(), test.rule)) {
				t.Errorf("got %v, want a violation about %q", err, test.rule)
			}
		})
	}
}

type sizes struct{}

func (sizes) Words() []string { return []string{"big"} }

// A plan without a reason for everything is no plan.
func TestNewPlanListsAllThatIsWrong(t *testing.T) {
	_, err := telemetry.NewPlan("bad",
		telemetry.EventSpec{Name: "A", Properties: []telemetry.PropertySpec{
			{Name: "p", Type: telemetry.TypeInteger},
			{Name: "p", Type: telemetry.TypeBoolean},
			{Name: "q", Type: telemetry.TypeEnum},
			{Name: "r", Type: "text"},
		}},
		telemetry.EventSpec{Name: "A"},
	)
	if err == nil {
		t.Fatal("a plan without reasons is accepted")
	}
	for _, complaint := range []string{
		`event "A" lacks`, `event "A" is listed twice`, `property "p" of event "A" lacks`, `property "p" of event "A" is listed twice`,
		`property "p" has type integer and type boolean`, `an enum, a set and counts have words`, `the unknown type "text"`,
	} {
		if !strings.Contains(err.Error(), complaint) {
			t.Errorf("no complaint %q in:\n%v", complaint, err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	p, e := plan(b), event(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Check(e); err != nil {
			b.Fatal(err)
		}
	}
}
