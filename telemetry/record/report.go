// SPDX-License-Identifier: Apache-2.0

package record

import (
	"slices"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// ReportFormat is the version of the spool's format. A reader refuses another.
const ReportFormat = 1

// A Report says what an extraction read and how that went. It is written when
// the extraction is complete, and ends up in the batch's manifest.
type Report struct {
	Format int `json:"format"`
	// Producer is the program and version that extracted.
	Producer string `json:"producer"`
	Window   Window `json:"window"`
	// Slice says that the window is one of several into which a back-fill is divided
	// (see [Window.Slice]). Nobody knows in which order they are read, so the batch of a
	// slice tells of itself alone.
	Slice bool `json:"slice,omitzero"`
	// Cluster is the pseudonym of the cluster; the versions are of the product and
	// of Kubernetes, where known.
	Cluster           telemetry.Pseudonym `json:"cluster"`
	KonfluxVersion    telemetry.Version   `json:"konfluxVersion,omitzero"`
	KubernetesVersion telemetry.Version   `json:"kubernetesVersion,omitzero"`
	// Scheme and KeyID say how names were hidden.
	Scheme telemetry.Scheme `json:"pseudonymScheme"`
	KeyID  string           `json:"pseudonymKeyId,omitempty"`
	// Sources has one entry for each source that was asked.
	Sources []SourceReport `json:"sources"`
}

// A SourceReport says how reading one source went.
type SourceReport struct {
	Name    SourceName    `json:"name"`
	Outcome SourceOutcome `json:"outcome"`
	// Objects were read, of which Records touch the window and Invalid could not
	// be understood (no UID, no time where one is needed).
	Objects int64 `json:"objects,omitzero"`
	Records int64 `json:"records"`
	Invalid int64 `json:"invalid,omitempty"`
	// Bytes were received, uncompressed; Seconds is how long it took.
	Bytes   int64   `json:"bytes,omitzero"`
	Seconds float64 `json:"seconds,omitzero"`
	// Error says, in the program's own words, what failed and what to do.
	Error string `json:"error,omitempty"`
}

// Failed reports whether the source could not be read to its end. A kind that is
// not installed has not failed.
func (s *SourceReport) Failed() bool {
	return s.Outcome != OutcomeOK && s.Outcome != OutcomeAbsent
}

// AddSources adds the reports of more readings to reports, source by source. A source has failed when
// it failed once.
func AddSources(reports []SourceReport, more []SourceReport) []SourceReport {
	for _, s := range more {
		i := slices.IndexFunc(reports, func(other SourceReport) bool { return other.Name == s.Name })
		if i < 0 {
			reports = append(reports, s)
			continue
		}
		sum := &reports[i]
		sum.Objects += s.Objects
		sum.Records += s.Records
		sum.Invalid += s.Invalid
		sum.Bytes += s.Bytes
		sum.Seconds += s.Seconds
		if s.Failed() || !sum.Failed() && s.Outcome == OutcomeOK {
			sum.Outcome, sum.Error = s.Outcome, s.Error
		}
	}
	return reports
}

// Failed returns the sources that could not be read to their end.
func (r *Report) Failed() []SourceReport {
	var failed []SourceReport
	for _, s := range r.Sources {
		if s.Failed() {
			failed = append(failed, s)
		}
	}
	return failed
}
