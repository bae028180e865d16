// SPDX-License-Identifier: Apache-2.0

package record

import "github.com/segment-bridge/segment-bridge/telemetry"

// Other replaces a word that is not in its closed list: the real word may be
// anything, even a name.
const Other = "Other"

// Unknown is the reason of a condition that gives none.
const Unknown = "Unknown"

// PipelineType is what a pipeline is for.
type PipelineType = telemetry.Enum[pipelineTypes]

type pipelineTypes struct{}

func (pipelineTypes) Words() []string { return pipelineTypeWords }

var pipelineTypeWords = []string{"build", "test", "release", "tenant", "managed", "final", "other"}

// ParsePipelineType reads the value of label
// pipelines.appstudio.openshift.io/type; a value not listed becomes "other".
func ParsePipelineType(text []byte) PipelineType {
	if t, ok := telemetry.ParseEnum[pipelineTypes](text); ok {
		return t
	}
	return telemetry.MustEnum[pipelineTypes]("other")
}

// ConditionStatus is the status of a Kubernetes condition.
type ConditionStatus = telemetry.Enum[conditionStatuses]

type conditionStatuses struct{}

func (conditionStatuses) Words() []string { return conditionStatusWords }

var conditionStatusWords = []string{"True", "False", Unknown}

// The three statuses of a condition.
var (
	StatusTrue    = telemetry.MustEnum[conditionStatuses]("True")
	StatusFalse   = telemetry.MustEnum[conditionStatuses]("False")
	StatusUnknown = telemetry.MustEnum[conditionStatuses](Unknown)
)

// ParseConditionStatus reads the status of a condition; anything that Kubernetes
// does not define counts as Unknown.
func ParseConditionStatus(text []byte) ConditionStatus {
	if s, ok := telemetry.ParseEnum[conditionStatuses](text); ok {
		return s
	}
	return StatusUnknown
}

// RunReason is the reason of condition Succeeded of a PipelineRun.
type RunReason = telemetry.Enum[runReasons]

type runReasons struct{}

func (runReasons) Words() []string { return runReasonWords }

// The reasons that Tekton Pipelines defines, those of success first, then of
// failure, then of a run that goes on.
var runReasonWords = []string{
	"Succeeded", "Completed",
	"Failed", "Cancelled", "PipelineRunTimeout", "CreateRunFailed", "CouldntGetPipeline", "CouldntGetTask",
	"PipelineValidationFailed", "PipelineInvalidGraph", "ParameterMissing", "ParameterTypeMismatch",
	"InvalidParamValue", "ObjectParameterMissKeys", "ParamArrayIndexingInvalid", "InvalidWorkspaceBindings",
	"InvalidTaskRunSpecs", "InvalidMatrixParameterTypes", "InvalidTaskResultReference",
	"InvalidPipelineResultReference", "RequiredWorkspaceMarkedOptional", "CouldntGetPipelineResult",
	"ResourceVerificationFailed", "CELEvaluationFailed", "InvalidPipelineResourceBindings",
	"Started", "Running", "PipelineRunPending", "PipelineRunStopping", "CancelledRunningFinally",
	"StoppedRunningFinally", "PipelineRunTimeoutRunningFinally", "ResolvingPipelineRef",
	"PipelineRunCouldntCancel", "PipelineRunCouldntTimeOut",
	Unknown, Other,
}

// ParseRunReason reads the reason of condition Succeeded: empty becomes Unknown,
// a reason that is not listed Other.
func ParseRunReason(text []byte) RunReason { return parseReason[runReasons](text) }

// InstallReason is the reason of condition Ready of an installation.
type InstallReason = telemetry.Enum[installReasons]

type installReasons struct{}

func (installReasons) Words() []string { return installReasonWords }

var installReasonWords = []string{
	"AllComponentsReady", "ComponentsNotReady", "ApplyFailed", "SubCRStatusFailed", "CertManagerNotInstalled",
	Unknown, Other,
}

// ParseInstallReason reads the reason of condition Ready, as ParseRunReason does.
func ParseInstallReason(text []byte) InstallReason { return parseReason[installReasons](text) }

func parseReason[L telemetry.List](text []byte) telemetry.Enum[L] {
	if len(text) == 0 {
		return telemetry.MustEnum[L](Unknown)
	}
	if r, ok := telemetry.ParseEnum[L](text); ok {
		return r
	}
	return telemetry.MustEnum[L](Other)
}

// SourceName names a source of records.
type SourceName = telemetry.Enum[sourceNames]

type sourceNames struct{}

func (sourceNames) Words() []string { return sourceNameWords }

var sourceNameWords = []string{
	"kube/pipelineruns", "kube/components", "kube/namespaces", "kube/konfluxes", "results", "dir", "inventory",
}

// The sources that the bridge knows.
var (
	SourcePipelineRuns  = telemetry.MustEnum[sourceNames]("kube/pipelineruns")
	SourceComponents    = telemetry.MustEnum[sourceNames]("kube/components")
	SourceNamespaces    = telemetry.MustEnum[sourceNames]("kube/namespaces")
	SourceInstallations = telemetry.MustEnum[sourceNames]("kube/konfluxes")
	SourceResults       = telemetry.MustEnum[sourceNames]("results")
	SourceDir           = telemetry.MustEnum[sourceNames]("dir")
	SourceInventory     = telemetry.MustEnum[sourceNames]("inventory")
)

// SourceOutcome says how reading a source ended.
type SourceOutcome = telemetry.Enum[sourceOutcomes]

type sourceOutcomes struct{}

func (sourceOutcomes) Words() []string { return sourceOutcomeWords }

var sourceOutcomeWords = []string{"ok", "absent", "forbidden", "timeout", "error"}

// The outcomes of reading a source. Absent means that the kind is not installed,
// which is no failure.
var (
	OutcomeOK        = telemetry.MustEnum[sourceOutcomes]("ok")
	OutcomeAbsent    = telemetry.MustEnum[sourceOutcomes]("absent")
	OutcomeForbidden = telemetry.MustEnum[sourceOutcomes]("forbidden")
	OutcomeTimeout   = telemetry.MustEnum[sourceOutcomes]("timeout")
	OutcomeError     = telemetry.MustEnum[sourceOutcomes]("error")
)
