// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
	"github.com/segment-bridge/segment-bridge/transform"
)

var (
	since = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	until = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at    = func(hour, minute int) time.Time { return time.Date(2026, 3, 1, hour, minute, 0, 0, time.UTC) }
)

func TestPipelineRun(t *testing.T) {
	finished := func(status record.ConditionStatus, reason string) *record.PipelineRun {
		return &record.PipelineRun{
			UID: uid("run"), Namespace: names(t).Namespace([]byte("ns")), Started: at(9, 0), Completed: at(9, 30),
			Tasks: 16, Type: record.ParsePipelineType([]byte("build")), Status: status, Reason: record.ParseRunReason([]byte(reason)),
		}
	}
	const started = "PipelineRun Started run-started 09:00 namespaceHash=d70f7ba81de5 taskCount=16 hasPipelineLabel=false pipelineType=build"
	completed := func(status, outcome string) string {
		return "PipelineRun Completed run-completed 09:30 namespaceHash=d70f7ba81de5 taskCount=16 hasPipelineLabel=false pipelineType=build" +
			" startTime=2026-03-01T09:00:00Z completionTime=2026-03-01T09:30:00Z durationSeconds=1800 status=" + status + " outcome=" + outcome
	}
	with := func(change func(*record.PipelineRun)) *record.PipelineRun {
		r := finished(record.StatusTrue, "Succeeded")
		change(r)
		return r
	}
	for _, test := range []struct {
		name string
		run  *record.PipelineRun
		want []string
	}{
		{"succeeded", finished(record.StatusTrue, "Succeeded"), []string{started, completed("Succeeded", "succeeded")}},
		{"some tasks skipped", finished(record.StatusTrue, "Completed"), []string{started, completed("Completed", "succeeded")}},
		{"failed", finished(record.StatusFalse, "Failed"), []string{started, completed("Failed", "failed")}},
		{"cancelled", finished(record.StatusFalse, "Cancelled"), []string{started, completed("Cancelled", "cancelled")}},
		{"timed out", finished(record.StatusFalse, "PipelineRunTimeout"), []string{started, completed("PipelineRunTimeout", "timeout")}},
		{"reason is a sentence", finished(record.StatusFalse, "task build of team-secret failed"), []string{started, completed("Other", "failed")}},
		{"no reason", finished(record.StatusFalse, ""), []string{started, completed("Unknown", "failed")}},
		{"waiting", with(func(r *record.PipelineRun) {
			r.Started, r.Completed, r.Status = time.Time{}, time.Time{}, record.StatusUnknown
		}), nil},
		{"running", with(func(r *record.PipelineRun) { r.Completed, r.Status = time.Time{}, record.StatusUnknown }), []string{started}},
		{"being cancelled, with a time of completion already", with(func(r *record.PipelineRun) { r.Status = record.StatusUnknown }), []string{started}},
		{"done without a time of completion", with(func(r *record.PipelineRun) { r.Completed = time.Time{} }), []string{started}},
		{
			"refused before it started", with(func(r *record.PipelineRun) { r.Started = time.Time{} }),
			[]string{strings.NewReplacer("09:00:00Z", "09:30:00Z", "1800", "0").Replace(completed("Succeeded", "succeeded"))},
		},
		{"started before the window", with(func(r *record.PipelineRun) { r.Started = at(7, 59) }), []string{
			strings.NewReplacer("09:00:00Z", "07:59:00Z", "1800", "5460").Replace(completed("Succeeded", "succeeded")),
		}},
		{"ended after the window", with(func(r *record.PipelineRun) { r.Completed = until }), []string{started}},
		{"no type", with(func(r *record.PipelineRun) { r.Type, r.Completed = record.PipelineType{}, time.Time{} }), []string{
			strings.Replace(started, "pipelineType=build", "pipelineType=", 1),
		}},
		{"type not listed, pipeline named, user known", with(func(r *record.PipelineRun) {
			r.Type, r.HasPipelineLabel, r.Completed = record.ParsePipelineType([]byte("mine")), true, time.Time{}
			r.User = names(t).User([]byte("someone"))
		}), []string{
			"PipelineRun Started run-started 09:00 namespaceHash=d70f7ba81de5 userHash=69847d041993 taskCount=16 hasPipelineLabel=true pipelineType=other",
		}},
	} {
		t.Run(test.name, func(t *testing.T) { compare(t, test.run, test.want) })
	}
}

func TestCreated(t *testing.T) {
	n := names(t)
	component := &record.Component{
		UID: uid("c"), Created: at(10, 0), Namespace: n.Namespace([]byte("ns")),
		Component: n.Component([]byte("web"), []byte("ns")), Application: n.Application(nil, []byte("ns")),
	}
	compare(t, component, []string{
		"Component Created c-component-created 10:00 namespaceHash=d70f7ba81de5 componentHash=35995d0abd90 applicationHash=aef8ddc20346",
	})
	component.Created = at(7, 0)
	compare(t, component, nil)
	compare(t, &record.Namespace{UID: uid("n"), Created: at(8, 0), Namespace: n.Namespace([]byte("ns"))}, []string{
		"Namespace Created n-namespace-created 08:00 namespaceHash=d70f7ba81de5",
	})
}

func TestInstallation(t *testing.T) {
	install := func(change func(*record.Installation)) *record.Installation {
		i := &record.Installation{
			UID: uid("k"), Namespace: names(t).Namespace([]byte("unknown")), Created: at(8, 30),
			Ready: record.StatusTrue, ReadySince: at(8, 40), ReadyReason: record.ParseInstallReason([]byte("AllComponentsReady")),
		}
		change(i)
		return i
	}
	const (
		started   = "Operator Deployment Started k-started 08:30 namespaceHash=921ae788c423"
		completed = "Operator Deployment Completed k-completed 08:40 namespaceHash=921ae788c423 startTime=2026-03-01T08:30:00Z" +
			" completionTime=2026-03-01T08:40:00Z durationSeconds=600 status=AllComponentsReady"
	)
	notReady := func(i *record.Installation) {
		i.Ready, i.ReadyReason = record.StatusFalse, record.ParseInstallReason([]byte("ApplyFailed"))
	}
	for _, test := range []struct {
		name         string
		installation *record.Installation
		want         []string
	}{
		{"ready", install(func(*record.Installation) {}), []string{started, completed}},
		{"not ready in two hours", install(notReady), []string{started, "Operator Deployment Failed k-failed 10:30 namespaceHash=921ae788c423 status=ApplyFailed"}},
		{"no condition yet", install(func(i *record.Installation) {
			i.Ready, i.ReadySince, i.ReadyReason = record.ConditionStatus{}, time.Time{}, record.InstallReason{}
		}), []string{started, "Operator Deployment Failed k-failed 10:30 namespaceHash=921ae788c423 status=Unknown"}},
		{"not ready, but there is time", install(func(i *record.Installation) { notReady(i); i.Created = at(10, 30) }), []string{
			strings.Replace(started, "08:30", "10:30", 1),
		}},
		{"not ready since later than two hours: it was ready in time (simulation seed 4)", install(func(i *record.Installation) {
			notReady(i)
			i.ReadySince = at(10, 31)
		}), []string{started}},
		{"not ready long after it was made", install(func(i *record.Installation) { notReady(i); i.Created = at(2, 0) }), nil},
		{"being removed", install(func(i *record.Installation) { notReady(i); i.Deleted = at(11, 0) }), []string{
			started, "Operator Removal Started k-removal-started 11:00 namespaceHash=921ae788c423",
		}},
	} {
		t.Run(test.name, func(t *testing.T) { compare(t, test.installation, test.want) })
	}
}

func TestHeartbeat(t *testing.T) {
	report := record.Report{
		Window: record.Window{Since: since, Until: until}, Cluster: names(t).Cluster(),
		Sources: []record.SourceReport{
			{Name: record.SourceResults, Outcome: record.OutcomeForbidden},
			{Name: record.SourcePipelineRuns, Outcome: record.OutcomeOK},
			{Name: record.SourceDir, Outcome: record.OutcomeError},
			{Name: record.SourceDir, Outcome: record.OutcomeOK},
		},
	}
	const want = "Segment Bridge Heartbeat 4afb32cc106e-heartbeat-2026-03-01T12:00:00Z 12:00" +
		" pipelineRunsOutcome=ok resultsOutcome=forbidden dirOutcome=error"
	for _, test := range []struct {
		name   string
		before time.Time
		ok     bool
	}{
		{"first", time.Time{}, true},
		{"an hour later", until.Add(-time.Hour), true},
		{"right after", until.Add(-time.Minute), false},
		{"again for the same window", until, false},
		{"for an older window", until.Add(time.Hour), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			event, ok := transform.Heartbeat(report, test.before)
			if ok != test.ok {
				t.Fatalf("due: %t, want %t", ok, test.ok)
			}
			if !ok {
				return
			}
			if err := catalogue.Plan().Check(&event); err != nil {
				t.Error(err)
			}
			if got := describe(&event); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// Versions are sent when known and left out when not.
func TestVersions(t *testing.T) {
	konflux, err := telemetry.ParseVersion("v0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	config := transform.Config{Window: record.Window{Since: since, Until: until}, Cluster: names(t).Cluster(), KonfluxVersion: konflux}
	err = transform.New(config).Record(&record.Namespace{UID: uid("n"), Created: at(9, 0), Namespace: names(t).Namespace([]byte("ns"))},
		func(e *telemetry.Event) error {
			text := string(e.Track(telemetry.Library{Name: "test", Version: "1"}).Payload)
			if !strings.Contains(text, `"konfluxVersion":"v0.2.1"`) || strings.Contains(text, "kubernetesVersion") {
				t.Errorf("unexpected versions in %s", text)
			}
			return catalogue.Plan().Check(e)
		})
	if err != nil {
		t.Error(err)
	}
}

func TestEmitErrorStops(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	run := &record.PipelineRun{UID: uid("r"), Started: at(9, 0), Completed: at(9, 1), Status: record.StatusTrue, Namespace: names(t).Namespace(nil)}
	err := transform.New(config(t)).Record(run, func(*telemetry.Event) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("got error %v after %d events, want the first error after 1", err, calls)
	}
}

// compare transforms r and checks the events against the plan and against want.
func TestInventory(t *testing.T) {
	metrics := []telemetry.Property{
		{Name: "platformDistributionOutcome", Value: telemetry.EnumValue(record.OutcomeForbidden)},
		{Name: "kubernetesVersion", Value: telemetry.IntegerValue(1)}, // what every event has comes with the report
		{Name: "kubernetesVersionOutcome", Value: telemetry.EnumValue(record.OutcomeError)},
		{Name: "nodeCount", Value: telemetry.IntegerValue(20)},
		{Name: "mixedArchitectures", Value: telemetry.BooleanValue(false)},
	}
	const values = " platformDistributionOutcome=forbidden nodeCount=20 mixedArchitectures=false"
	cluster := names(t).Cluster().String()
	second := func(at time.Time) time.Time { return at.Add(time.Second) }
	for _, test := range []struct {
		name         string
		since, until time.Time
		want         string // messageID and time; "" is no event
	}{
		{"an ordinary run", at(8, 17), at(12, 17), "2026-03-01T12:00:00Z 12:00"},
		{"the same hour again", at(8, 17), at(12, 59), "2026-03-01T12:00:00Z 12:00"},
		{"the end of the hour", at(8, 0), at(12, 0), "2026-03-01T11:00:00Z 11:00"},
		{"a moment later", at(8, 0), second(at(12, 0)), "2026-03-01T12:00:00Z 12:00"},
		{"a short window", at(12, 20), at(12, 40), "2026-03-01T12:20:00Z 12:20"},
		{"a short window with a fraction", at(12, 20).Add(time.Millisecond), at(12, 40), "2026-03-01T12:20:01Z 12:20"},
		{"a window without a whole second", at(12, 20).Add(time.Millisecond), second(at(12, 20)), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := config(t)
			c.Window = record.Window{Since: test.since, Until: test.until}
			var got string
			err := transform.New(c).Record(&record.Inventory{Taken: test.until, Metrics: metrics}, func(e *telemetry.Event) error {
				got += describe(e)
				return catalogue.Plan().Check(e)
			})
			want := ""
			if test.want != "" {
				want = "Cluster Inventory " + cluster + "-inventory-" + test.want + values
			}
			if got != want || err != nil {
				t.Errorf("got  %s, %v\nwant %s", got, err, want)
			}
		})
	}
}

func compare(t *testing.T, r record.Record, want []string) {
	t.Helper()
	var got []string
	err := transform.New(config(t)).Record(r, func(e *telemetry.Event) error {
		got = append(got, describe(e))
		return catalogue.Plan().Check(e)
	})
	if err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// describe renders an event without what all events have.
func describe(e *telemetry.Event) string {
	text := fmt.Sprintf("%s %s %s", e.Name, e.MessageID, e.Time.Format("15:04"))
	for _, p := range e.Properties {
		if p.Name != catalogue.ClusterIDHash {
			text += " " + p.Name + "=" + p.Value.String()
		}
	}
	return text
}

func config(t testing.TB) transform.Config {
	return transform.Config{Window: record.Window{Since: since, Until: until}, Cluster: names(t).Cluster()}
}

func names(t testing.TB) *telemetry.Pseudonymizer {
	t.Helper()
	n, err := telemetry.NewPseudonymizer("cluster-1")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func uid(text string) telemetry.UID {
	u, err := telemetry.ParseUID([]byte(text))
	if err != nil {
		panic(err)
	}
	return u
}

// BenchmarkRecord makes the two events of a run that has ended.
func BenchmarkRecord(b *testing.B) {
	transformer := transform.New(config(b))
	run := &record.PipelineRun{
		UID: uid("run"), Namespace: names(b).Namespace([]byte("ns")), Started: at(9, 0), Completed: at(9, 30),
		Tasks: 16, Type: record.ParsePipelineType([]byte("build")), Status: record.StatusTrue, Reason: record.ParseRunReason([]byte("Succeeded")),
	}
	plan, events := catalogue.Plan(), 0
	check := func(e *telemetry.Event) error {
		events++
		return plan.Check(e)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := transformer.Record(run, check); err != nil {
			b.Fatal(err)
		}
	}
	if events != 2*b.N {
		b.Fatalf("%d events of %d runs", events, b.N)
	}
}
