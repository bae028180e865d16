// SPDX-License-Identifier: Apache-2.0

// Package record holds what extraction learnt about each object: the rows that
// pass from extract to transform. A record holds pseudonyms, words of closed
// lists, numbers, truths, times, versions and UIDs, and nothing else; a test
// checks the types. What is not listed here was never written down.
//
// Between processes, records travel in a spool (see [Writer]).
package record

import (
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Record is what was learnt about one object: *PipelineRun, *Component,
// *Namespace, *Installation or, of the cluster as a whole, *Inventory.
type Record interface {
	// Touches reports whether anything that the record tells of may have happened
	// within the window. Extraction drops the other records.
	Touches(w Window) bool
	record() kind
}

// A Window is the half-open span of time [Since, Until).
type Window struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// Contains reports whether t lies within the window; the zero time never does.
func (w Window) Contains(t time.Time) bool {
	return !t.IsZero() && !t.Before(w.Since) && t.Before(w.Until)
}

// Slice returns the part with this number of the n equal parts of the window, in whole
// seconds. Part 0 is the latest: what happened last is read first. Together they
// are the window, and no two have a moment in common. The window has to have n
// seconds at least.
func (w Window) Slice(number, n int) Window {
	length := w.Until.Unix() - w.Since.Unix()
	bound := func(i int) time.Time { // the end of the i earliest parts
		return w.Since.Add(time.Duration(length*int64(i)/int64(n)) * time.Second)
	}
	return Window{Since: bound(n - 1 - number), Until: bound(n - number)}
}

// A PipelineRun is one run of a Tekton pipeline (tekton.dev, PipelineRun).
type PipelineRun struct {
	// UID is metadata.uid.
	UID telemetry.UID `json:"uid"`
	// Namespace is the pseudonym of metadata.namespace.
	Namespace telemetry.Pseudonym `json:"namespace"`
	// User is the pseudonym of the sender of the commit that started the run:
	// label or annotation pipelinesascode.tekton.dev/sender; zero when absent.
	User telemetry.Pseudonym `json:"user,omitzero"`
	// Started is status.startTime; zero while the run is waiting.
	Started time.Time `json:"started,omitzero"`
	// Completed is status.completionTime; zero while the run is not done.
	Completed time.Time `json:"completed,omitzero"`
	// Tasks is the length of status.childReferences.
	Tasks int `json:"tasks"`
	// HasPipelineLabel tells whether label tekton.dev/pipeline is there.
	HasPipelineLabel bool `json:"hasPipelineLabel,omitzero"`
	// Type is label pipelines.appstudio.openshift.io/type; zero when absent.
	Type PipelineType `json:"type,omitzero"`
	// Status is status of condition Succeeded; zero while there is none.
	Status ConditionStatus `json:"status,omitzero"`
	// Reason is the reason of condition Succeeded.
	Reason RunReason `json:"reason,omitzero"`
}

// Done reports whether the run has ended: condition Succeeded is True or False,
// and the time of completion is known.
func (r *PipelineRun) Done() bool {
	return (r.Status == StatusTrue || r.Status == StatusFalse) && !r.Completed.IsZero()
}

// Touches implements Record.
func (r *PipelineRun) Touches(w Window) bool {
	return w.Contains(r.Started) || w.Contains(r.Completed)
}

// A Component is a component of an application (appstudio.redhat.com, Component).
type Component struct {
	UID telemetry.UID `json:"uid"`
	// Namespace, Component and Application are the pseudonyms of
	// metadata.namespace, metadata.name and spec.application.
	Namespace   telemetry.Pseudonym `json:"namespace"`
	Component   telemetry.Pseudonym `json:"component"`
	Application telemetry.Pseudonym `json:"application"`
	// Created is metadata.creationTimestamp.
	Created time.Time `json:"created"`
}

// Touches implements Record.
func (c *Component) Touches(w Window) bool { return w.Contains(c.Created) }

// A Namespace is a tenant's namespace (label konflux-ci.dev/type=tenant).
type Namespace struct {
	UID telemetry.UID `json:"uid"`
	// Namespace is the pseudonym of metadata.name.
	Namespace telemetry.Pseudonym `json:"namespace"`
	// Created is metadata.creationTimestamp.
	Created time.Time `json:"created"`
}

// Touches implements Record.
func (n *Namespace) Touches(w Window) bool { return w.Contains(n.Created) }

// An Installation is the installation of the product
// (konflux.konflux-ci.dev, Konflux).
type Installation struct {
	UID telemetry.UID `json:"uid"`
	// Namespace is the pseudonym of metadata.namespace, or of "unknown" for the
	// resource of the whole cluster.
	Namespace telemetry.Pseudonym `json:"namespace"`
	// Created is metadata.creationTimestamp, Deleted metadata.deletionTimestamp.
	Created time.Time `json:"created"`
	Deleted time.Time `json:"deleted,omitzero"`
	// Ready, ReadySince and ReadyReason are status, lastTransitionTime and reason
	// of condition Ready. ReadySince is the latest change, in either direction.
	Ready       ConditionStatus `json:"ready,omitzero"`
	ReadySince  time.Time       `json:"readySince,omitzero"`
	ReadyReason InstallReason   `json:"readyReason,omitzero"`
}

// Touches implements Record. An installation that is not ready always touches:
// whether it has failed is a matter of how long it may take.
func (i *Installation) Touches(w Window) bool {
	return w.Contains(i.Created) || w.Contains(i.Deleted) || w.Contains(i.ReadySince) || i.Ready != StatusTrue
}

// An Inventory is what the cluster was like at one time.
type Inventory struct {
	// Taken is when it was looked at.
	Taken time.Time `json:"taken"`
	// Metrics are the properties of its event, but for those of every event. Each value is
	// a word of a closed list, a number, a truth or a version.
	Metrics []telemetry.Property `json:"metrics"`
}

// Freshness is how long after the end of a window the cluster may be looked at for it.
// What it was like at the end of an older one, nobody knows any more.
const Freshness = time.Hour

// Touches implements Record.
func (i *Inventory) Touches(w Window) bool {
	return !i.Taken.Before(w.Since) && i.Taken.Before(w.Until.Add(Freshness))
}

type kind string

const (
	kindPipelineRun  kind = "PipelineRun"
	kindComponent    kind = "Component"
	kindNamespace    kind = "Namespace"
	kindInstallation kind = "Installation"
	kindInventory    kind = "Inventory"
)

func (*PipelineRun) record() kind  { return kindPipelineRun }
func (*Component) record() kind    { return kindComponent }
func (*Namespace) record() kind    { return kindNamespace }
func (*Installation) record() kind { return kindInstallation }
func (*Inventory) record() kind    { return kindInventory }
