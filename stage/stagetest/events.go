// SPDX-License-Identifier: Apache-2.0

package stagetest

import (
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// Noon is the time around which the test events happen.
var Noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// Names hides names like those of a cluster.
func Names() *telemetry.Pseudonymizer { return pseudonymizer() }

var pseudonymizer = sync.OnceValue(func() *telemetry.Pseudonymizer {
	names, err := telemetry.NewPseudonymizer("2f6c2f1e-6c0e-4f0e-9d0a-0d6f3f1f5a11")
	if err != nil { // the ID is not empty
		panic(err)
	}
	return names
})

// Report returns the report of an extraction of the window in which every source
// of the cluster was read.
func Report(since, until time.Time) record.Report {
	r := record.Report{
		Format: record.ReportFormat, Producer: "segment-bridge test", Window: record.Window{Since: since, Until: until},
		Cluster: Names().Cluster(), Scheme: telemetry.SchemeSHA256,
	}
	for _, source := range []record.SourceName{record.SourcePipelineRuns, record.SourceInstallations, record.SourceResults} {
		r.Sources = append(r.Sources, record.SourceReport{Name: source, Outcome: record.OutcomeOK, Objects: 1, Seconds: 0.5})
	}
	return r
}

// Runs yields the events of n PipelineRuns, one after the other from start on:
// Started and, 5 minutes later, Completed. The number of the run decides all else.
func Runs(n int, start time.Time, apart time.Duration) iter.Seq2[*telemetry.Event, error] {
	return func(yield func(*telemetry.Event, error) bool) {
		for i := range n {
			if started, completed := Run(i, start.Add(time.Duration(i)*apart), 5+i%40); !yield(started, nil) || !yield(completed, nil) {
				return
			}
		}
	}
}

// Run returns the events of one PipelineRun.
func Run(i int, start time.Time, tasks int) (started, completed *telemetry.Event) {
	names := Names()
	end := start.Add(5*time.Minute + time.Duration(i%7)*time.Second)
	// A UID looks random, and does not compress.
	hash := uint64(i+1) * 0x9e3779b97f4a7c15
	uid := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(hash), uint16(hash>>32), hash>>48&0xfff, hash>>20&0xfff, hash*0xbf58476d1ce4e5b9>>16)
	common := []telemetry.Property{
		{Name: catalogue.NamespaceHash, Value: telemetry.PseudonymValue(names.Namespace(fmt.Append(nil, "tenant-", i%97)))},
		{Name: catalogue.UserHash, Value: telemetry.PseudonymValue(names.User(fmt.Append(nil, "user-", i%211)))},
		{Name: catalogue.TaskCount, Value: telemetry.IntegerValue(int64(tasks))},
		{Name: catalogue.HasPipelineLabel, Value: telemetry.BooleanValue(i%3 > 0)},
		{Name: catalogue.PipelineType, Value: telemetry.EnumValue(record.ParsePipelineType([]byte([]string{"build", "test", "release"}[i%3])))},
	}
	version, err := telemetry.ParseVersion("v1.36.3")
	if err != nil { // it is one
		panic(err)
	}
	tail := []telemetry.Property{
		{Name: catalogue.ClusterIDHash, Value: telemetry.PseudonymValue(names.Cluster())},
		{Name: catalogue.KonfluxVersion, Value: telemetry.VersionValue(version)},
		{Name: catalogue.KubernetesVersion, Value: telemetry.VersionValue(version)},
	}
	span := []telemetry.Property{
		{Name: catalogue.StartTime, Value: telemetry.TimeValue(start)},
		{Name: catalogue.CompletionTime, Value: telemetry.TimeValue(end)},
		{Name: catalogue.DurationSeconds, Value: telemetry.IntegerValue(int64(end.Sub(start) / time.Second))},
		{Name: catalogue.Status, Value: telemetry.EnumValue(record.ParseRunReason([]byte("Succeeded")))},
		{Name: catalogue.Outcome, Value: telemetry.EnumValue(catalogue.RunSucceeded)},
	}
	event := func(name, suffix string, at time.Time, groups ...[]telemetry.Property) *telemetry.Event {
		e := &telemetry.Event{Name: name, MessageID: uid + suffix, Time: at, Cluster: names.Cluster()}
		for _, group := range groups {
			e.Properties = append(e.Properties, group...)
		}
		return e
	}
	return event(catalogue.PipelineRunStarted, "-started", start, common, tail),
		event(catalogue.PipelineRunCompleted, "-completed", end, common, span, tail)
}

// Installed returns the event of an installation that became ready at the time,
// which happens once in its life.
func Installed(uid string, ready time.Time) *telemetry.Event {
	names := Names()
	created := ready.Add(-20 * time.Minute)
	return &telemetry.Event{
		Name: catalogue.DeploymentCompleted, MessageID: uid + "-completed", Time: ready, Cluster: names.Cluster(),
		Properties: []telemetry.Property{
			{Name: catalogue.NamespaceHash, Value: telemetry.PseudonymValue(names.Namespace([]byte("unknown")))},
			{Name: catalogue.StartTime, Value: telemetry.TimeValue(created)},
			{Name: catalogue.CompletionTime, Value: telemetry.TimeValue(ready)},
			{Name: catalogue.DurationSeconds, Value: telemetry.IntegerValue(int64(ready.Sub(created) / time.Second))},
			{Name: catalogue.Status, Value: telemetry.EnumValue(record.ParseInstallReason([]byte("AllComponentsReady")))},
			{Name: catalogue.ClusterIDHash, Value: telemetry.PseudonymValue(names.Cluster())},
		},
	}
}

// Heartbeat returns the heartbeat of a time.
func Heartbeat(at time.Time) *telemetry.Event {
	cluster := Names().Cluster()
	return &telemetry.Event{
		Name: catalogue.Heartbeat, MessageID: cluster.String() + "-heartbeat-" + at.Format(time.RFC3339), Time: at, Cluster: cluster,
		Properties: []telemetry.Property{{Name: catalogue.ClusterIDHash, Value: telemetry.PseudonymValue(cluster)}},
	}
}

// Of yields the events.
func Of(events ...*telemetry.Event) iter.Seq2[*telemetry.Event, error] {
	return func(yield func(*telemetry.Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}
