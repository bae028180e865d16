// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"fmt"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const (
	since010 = "0.1.0"

	technical = telemetry.SensitivityTechnical
	activity  = telemetry.SensitivityActivity
	pseudonym = telemetry.SensitivityPseudonym
)

// events lists the plan's entries: the properties of each event's own, then those
// that every event has.
func events() []telemetry.EventSpec {
	return []telemetry.EventSpec{
		{
			Name: PipelineRunStarted, MessageID: "<uid>-started", Timestamp: "status.startTime",
			Question: "How many pipelines of which kind are run, by how many tenants and users, and when?",
			Source:   "PipelineRun (tekton.dev), from the cluster or from Tekton Results", Since: since010,
			Properties: with(run()),
		},
		{
			Name: PipelineRunCompleted, MessageID: "<uid>-completed", Timestamp: "status.completionTime",
			Question: "How many pipelines succeed, how do the others end, and how long do they take?",
			Source:   "PipelineRun (tekton.dev), from the cluster or from Tekton Results, once it is done", Since: since010,
			Properties: with(run(), span("status.startTime", "status.completionTime"), []telemetry.PropertySpec{
				{
					Name: Status, Type: telemetry.TypeEnum, Words: record.RunReason{}.Words(),
					Reason: "Tells kinds of failure apart: a user's pipeline that fails, a platform that cannot run it.",
					Source: "reason of condition Succeeded; Other when Tekton does not define it", Sensitivity: activity, Since: since010,
				},
				{
					Name: Outcome, Type: telemetry.TypeEnum, Words: RunOutcome{}.Words(),
					Reason: "The success rate, without every dashboard having to know Tekton's reasons.",
					Source: "status and reason of condition Succeeded", Sensitivity: activity, Since: since010,
				},
			}),
		},
		{
			Name: ComponentCreated, MessageID: "<uid>-component-created", Timestamp: "metadata.creationTimestamp",
			Question: "How does the number of components and applications grow?",
			Source:   "Component (appstudio.redhat.com)", Since: since010,
			Properties: with(namespace("metadata.namespace"), []telemetry.PropertySpec{
				{
					Name: ComponentHash, Type: telemetry.TypePseudonym,
					Reason: "Counts distinct components; a component made again counts once.",
					Source: "metadata.name with metadata.namespace", Sensitivity: pseudonym, Since: since010,
				},
				{
					Name: ApplicationHash, Type: telemetry.TypePseudonym,
					Reason: "Counts applications and the components of each.",
					Source: "spec.application with metadata.namespace; an empty one is hashed as it is", Sensitivity: pseudonym, Since: since010,
				},
			}),
		},
		{
			Name: NamespaceCreated, MessageID: "<uid>-namespace-created", Timestamp: "metadata.creationTimestamp",
			Question: "How does the number of tenants grow?",
			Source:   "Namespace with label konflux-ci.dev/type=tenant", Since: since010,
			Properties: with(namespace("metadata.name")),
		},
		{
			Name: DeploymentStarted, MessageID: "<uid>-started", Timestamp: "metadata.creationTimestamp",
			Question: "How many installations are begun?", OncePerObject: true,
			Source: "Konflux (konflux.konflux-ci.dev)", Since: since010,
			Properties: with(namespace(`metadata.namespace, or "unknown" for the resource of the whole cluster`)),
		},
		{
			Name: DeploymentCompleted, MessageID: "<uid>-completed", Timestamp: "lastTransitionTime of condition Ready",
			Question: "How many installations succeed, and how long do they take?", OncePerObject: true,
			Source: "Konflux (konflux.konflux-ci.dev), when it is first seen ready", Since: since010,
			Properties: with(namespace(`metadata.namespace, or "unknown" for the resource of the whole cluster`),
				span("metadata.creationTimestamp", "lastTransitionTime of condition Ready"), installStatus()),
		},
		{
			Name: DeploymentFailed, MessageID: "<uid>-failed", Timestamp: "metadata.creationTimestamp and the time that an installation may take",
			Question: "How many installations do not become ready in time, and why?", OncePerObject: true,
			Source: "Konflux (konflux.konflux-ci.dev), when it has not become ready in time", Since: since010,
			Properties: with(namespace(`metadata.namespace, or "unknown" for the resource of the whole cluster`), installStatus()),
		},
		{
			Name: RemovalStarted, MessageID: "<uid>-removal-started", Timestamp: "metadata.deletionTimestamp",
			Question: "How many installations are given up?", OncePerObject: true,
			Source: "Konflux (konflux.konflux-ci.dev), while it is being deleted", Since: since010,
			Properties: with(namespace(`metadata.namespace, or "unknown" for the resource of the whole cluster`)),
		},
		{
			Name: Heartbeat, MessageID: "<clusterIdHash>-heartbeat-<timestamp>", Timestamp: "end of the window that was read",
			Question: "Is a silent cluster idle, or is its telemetry broken?",
			Source:   "the extraction itself", Since: since010,
			Properties: with(sourceOutcomes()),
		},
		{
			Name: Inventory, MessageID: "<clusterIdHash>-inventory-<timestamp>", Timestamp: "the hour in which the window ends",
			Question: "In which environments is the product used?",
			Source:   "the cluster as a whole, looked at once each run", Since: since010,
			Properties: with(inventoryProperties()),
		},
	}
}

// with joins groups of properties and adds those of every event.
func with(groups ...[]telemetry.PropertySpec) []telemetry.PropertySpec {
	var all []telemetry.PropertySpec
	for _, group := range groups {
		all = append(all, group...)
	}
	return append(all,
		telemetry.PropertySpec{
			Name: ClusterIDHash, Type: telemetry.TypePseudonym,
			Reason: "Counts clusters, and tells one cluster's events from another's.",
			Source: "the cluster's ID", Sensitivity: pseudonym, Since: since010,
		},
		telemetry.PropertySpec{
			Name: KonfluxVersion, Type: telemetry.TypeVersion, Optional: true,
			Reason: "Tells which releases are in use, and which release a failure came with.",
			Source: "konfluxVersion of info.json in ConfigMap konflux-info/konflux-public-info, or KONFLUX_VERSION", Sensitivity: technical, Since: since010,
		},
		telemetry.PropertySpec{
			Name: KubernetesVersion, Type: telemetry.TypeVersion, Optional: true,
			Reason: "Tells which versions of Kubernetes have to be supported.",
			Source: "kubernetesVersion of info.json, the API server's version, or KUBERNETES_VERSION", Sensitivity: technical, Since: since010,
		},
	)
}

func namespace(source string) []telemetry.PropertySpec {
	return []telemetry.PropertySpec{{
		Name: NamespaceHash, Type: telemetry.TypePseudonym,
		Reason: "Counts active tenants.", Source: source, Sensitivity: pseudonym, Since: since010,
	}}
}

func run() []telemetry.PropertySpec {
	return append(namespace("metadata.namespace"),
		telemetry.PropertySpec{
			Name: UserHash, Type: telemetry.TypePseudonym, Optional: true,
			Reason: "Counts active users.",
			Source: "label or annotation pipelinesascode.tekton.dev/sender", Sensitivity: pseudonym, Since: since010,
		},
		telemetry.PropertySpec{
			Name: TaskCount, Type: telemetry.TypeInteger, Unit: "tasks",
			Reason: "Tells how large pipelines are.",
			Source: "length of status.childReferences when it was read", Sensitivity: activity, Since: since010,
		},
		telemetry.PropertySpec{
			Name: HasPipelineLabel, Type: telemetry.TypeBoolean,
			Reason: "Tells runs of a named pipeline from runs that carry their own.",
			Source: "presence of label tekton.dev/pipeline", Sensitivity: technical, Since: since010,
		},
		telemetry.PropertySpec{
			Name: PipelineType, Type: telemetry.TypeEnum, Words: record.PipelineType{}.Words(), Nullable: true,
			Reason: "Tells builds, tests and releases apart.",
			Source: "label pipelines.appstudio.openshift.io/type; other when it is not in the list, null when missing", Sensitivity: activity, Since: since010,
		},
	)
}

func span(start, end string) []telemetry.PropertySpec {
	return []telemetry.PropertySpec{
		{
			Name: StartTime, Type: telemetry.TypeTime,
			Reason: "The exact start; a destination may adjust the event's own timestamp.",
			Source: start, Sensitivity: activity, Since: since010,
		},
		{
			Name: CompletionTime, Type: telemetry.TypeTime,
			Reason: "The exact end; a destination may adjust the event's own timestamp.",
			Source: end, Sensitivity: activity, Since: since010,
		},
		{
			Name: DurationSeconds, Type: telemetry.TypeInteger, Unit: "seconds",
			Reason: "Tells how long users wait.",
			Source: end + " less " + start, Sensitivity: activity, Since: since010,
		},
	}
}

func installStatus() []telemetry.PropertySpec {
	return []telemetry.PropertySpec{{
		Name: Status, Type: telemetry.TypeEnum, Words: record.InstallReason{}.Words(),
		Reason: "Tells why an installation is, or is not, ready.",
		Source: "reason of condition Ready; Other when the operator does not define it", Sensitivity: technical, Since: since010,
	}}
}

func sourceOutcomes() []telemetry.PropertySpec {
	var specs []telemetry.PropertySpec
	for _, s := range heartbeatSources {
		specs = append(specs, telemetry.PropertySpec{
			Name: s.property, Type: telemetry.TypeEnum, Words: record.SourceOutcome{}.Words(), Optional: true,
			Reason: "Tells an idle cluster from one whose data cannot be read.",
			Source: fmt.Sprintf("how reading source %s went", s.source), Sensitivity: technical, Since: since010,
		})
	}
	return specs
}
