// SPDX-License-Identifier: Apache-2.0

// Package catalogue is the tracking plan of the bridge: every event and every
// property that it may send, with the reason for each. It is the single source:
// the staged files' columns, ../PLAN.md and ../plan.schema.json all come from it.
//
// A property is added here first, with a reason that an outsider accepts; after
// release an entry is never renamed, retyped or removed.
package catalogue

import (
	"sync"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// The events.
const (
	PipelineRunStarted   = "PipelineRun Started"
	PipelineRunCompleted = "PipelineRun Completed"
	ComponentCreated     = "Component Created"
	NamespaceCreated     = "Namespace Created"
	DeploymentStarted    = "Operator Deployment Started"
	DeploymentCompleted  = "Operator Deployment Completed"
	DeploymentFailed     = "Operator Deployment Failed"
	RemovalStarted       = "Operator Removal Started"
	Heartbeat            = "Segment Bridge Heartbeat"
	Inventory            = "Cluster Inventory"
)

// The properties.
const (
	ClusterIDHash     = "clusterIdHash"
	KonfluxVersion    = "konfluxVersion"
	KubernetesVersion = "kubernetesVersion"
	NamespaceHash     = "namespaceHash"
	UserHash          = "userHash"
	ComponentHash     = "componentHash"
	ApplicationHash   = "applicationHash"
	TaskCount         = "taskCount"
	HasPipelineLabel  = "hasPipelineLabel"
	PipelineType      = "pipelineType"
	StartTime         = "startTime"
	CompletionTime    = "completionTime"
	DurationSeconds   = "durationSeconds"
	Status            = "status"
	Outcome           = "outcome"
)

// RunOutcome says how a PipelineRun ended.
type RunOutcome = telemetry.Enum[runOutcomes]

type runOutcomes struct{}

func (runOutcomes) Words() []string { return runOutcomeWords }

var runOutcomeWords = []string{"succeeded", "failed", "cancelled", "timeout"}

// The outcomes of a PipelineRun.
var (
	RunSucceeded = telemetry.MustEnum[runOutcomes]("succeeded")
	RunFailed    = telemetry.MustEnum[runOutcomes]("failed")
	RunCancelled = telemetry.MustEnum[runOutcomes]("cancelled")
	RunTimeout   = telemetry.MustEnum[runOutcomes]("timeout")
)

// SourceProperty returns the property of the heartbeat that tells how reading the
// source went, or "" for a source that the heartbeat does not tell of.
func SourceProperty(source record.SourceName) string {
	for _, s := range heartbeatSources {
		if s.source == source {
			return s.property
		}
	}
	return ""
}

// HeartbeatSources returns the sources that the heartbeat tells of, in the order
// of its properties.
func HeartbeatSources() []record.SourceName {
	var sources []record.SourceName
	for _, s := range heartbeatSources {
		sources = append(sources, s.source)
	}
	return sources
}

// heartbeatSources in the order in which the heartbeat lists them.
var heartbeatSources = []struct {
	source   record.SourceName
	property string
}{
	{record.SourcePipelineRuns, "pipelineRunsOutcome"},
	{record.SourceComponents, "componentsOutcome"},
	{record.SourceNamespaces, "namespacesOutcome"},
	{record.SourceInstallations, "konfluxesOutcome"},
	{record.SourceResults, "resultsOutcome"},
	{record.SourceDir, "dirOutcome"},
	{record.SourceInventory, "inventoryOutcome"},
}

// Plan returns the tracking plan. Callers share it and must not change it.
var Plan = sync.OnceValue(func() *telemetry.Plan {
	plan, err := telemetry.NewPlan("segment-bridge", events()...)
	if err != nil { // the entries below are wrong; the tests would have said so
		panic(err)
	}
	return plan
})
