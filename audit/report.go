// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// Format is the version of the report's format. Fields are only ever added.
const Format = 1

// A Report says what a stage holds. Lists are sorted, so that the same stage gives the same
// report. It holds pseudonyms and counts and, in Samples, events as they were sent; never a name.
type Report struct {
	Format    int            `json:"format"`
	Producer  stage.Producer `json:"producer"`
	Generated time.Time      `json:"generated"`
	// Limits are what the audit was limited to.
	Limits Limits `json:"limits,omitzero"`
	// Clean reports whether there is no finding.
	Clean bool `json:"clean"`
	// Plan is what the events were checked against; PlanID identifies it.
	Plan   *telemetry.Plan `json:"-"`
	PlanID stage.PlanID    `json:"plan"`
	Totals Totals          `json:"totals"`
	// Clusters in the order of their pseudonyms.
	Clusters []Cluster `json:"clusters"`
	// Days has the events of each day on which any happened, in UTC.
	Days []Day `json:"days"`
	// Pipelines has the finished pipelines of each day, by type.
	Pipelines []Pipelines `json:"pipelines"`
	// Installations of the product.
	Installations Installations `json:"installations"`
	// DurationBuckets are the upper ends, in seconds, of the ranges that all Durations count; one
	// more range follows, which has no end.
	DurationBuckets []int64 `json:"durationBuckets"`
	// Destinations says what became of the events at each destination.
	Destinations []Delivery `json:"destinations"`
	// Findings are what is wrong, Notices what is worth knowing. At most 1,000 of a kind are
	// listed; FindingsTotal counts all.
	Findings      []Finding `json:"findings"`
	FindingsTotal int64     `json:"findingsTotal"`
	Notices       []Finding `json:"notices"`
	// K is the size below which a group is small; SmallGroups lists them by what they have in
	// common.
	K           int         `json:"k"`
	SmallGroups []Groupings `json:"smallGroups"`
	// Names is the outcome of the search for names; nil if there was none.
	Names *NameSearch `json:"names,omitempty"`
	// Reproduced says where the pseudonyms that were asked for occur.
	Reproduced []Occurrence `json:"reproduced,omitempty"`
	// Samples has the earliest event of each sort, exactly as it was sent.
	Samples []Sample `json:"samples"`
}

// Limits limit an audit to a cluster and to batches whose windows overlap [Since, Until).
type Limits struct {
	Cluster telemetry.Pseudonym `json:"cluster,omitzero"`
	Since   time.Time           `json:"since,omitzero"`
	Until   time.Time           `json:"until,omitzero"`
}

// Totals are what was looked at.
type Totals struct {
	// Objects, of Bytes, are in the bucket, whatever the limits are.
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
	// Batches with Events count; Replaced ones are still there and do not, since a merged batch
	// has their events.
	Batches  int64 `json:"batches"`
	Events   int64 `json:"events"`
	Replaced int64 `json:"replaced"`
}

// A Cluster is what is known of one cluster.
type Cluster struct {
	Cluster telemetry.Pseudonym `json:"cluster"`
	Batches int64               `json:"batches"`
	Events  int64               `json:"events"`
	// Since and Until are the beginning of the first window that was read and the end of the last.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// First and Last are when the earliest and the latest event happened.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Schemes are the ways in which names were hidden: "sha256", or "hmac-sha256" with the ID of the
	// key. Pseudonyms of different schemes cannot be compared.
	Schemes []string `json:"schemes"`
	// Producers are the programs that staged the batches.
	Producers []string `json:"producers"`
	// Coverage has the spans of time that each source was read for.
	Coverage stage.Coverage `json:"coverage"`
	// LeftOut counts events that broke the plan and were never staged.
	LeftOut int64 `json:"leftOut,omitempty"`
}

// A Day counts the events of a day.
type Day struct {
	// Day is such as 2026-11-22.
	Day    string           `json:"day"`
	Events map[string]int64 `json:"events"`
}

// Pipelines counts the pipelines of a type that ended on a day.
type Pipelines struct {
	Day string `json:"day"`
	// Type is such as "build"; "none" if the pipeline has no type.
	Type string `json:"type"`
	// Outcomes counts by outcome, such as "succeeded"; "unknown" if an older plan had none.
	Outcomes map[string]int64 `json:"outcomes"`
	// Durations counts by range of Report.DurationBuckets.
	Durations []int64 `json:"durations"`
}

// Installations counts what happened to installations.
type Installations struct {
	Started   int64 `json:"started"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Removed   int64 `json:"removed"`
	// Reasons counts those that completed or failed by reason.
	Reasons map[string]int64 `json:"reasons"`
	// Durations counts those that completed by range of Report.DurationBuckets.
	Durations []int64 `json:"durations"`
}

// A Delivery is what became of the batches at one destination. Staged is Delivered, Rejected and Pending
// together.
type Delivery struct {
	Destination string `json:"destination"`
	// Batches have a receipt; PendingBatches have none.
	Batches        int64 `json:"batches"`
	PendingBatches int64 `json:"pendingBatches"`
	Staged         int64 `json:"staged"`
	Delivered      int64 `json:"delivered"`
	// Rejected events were refused for good and have not been taken since.
	Rejected int64 `json:"rejected"`
	Pending  int64 `json:"pending"`
	// SentAgain counts events that were sent once more on purpose.
	SentAgain int64 `json:"sentAgain"`
	// Assurance counts the delivered events by what the destination said: "sent", "accepted",
	// "indexed", or "" if it says no more than that they were delivered.
	Assurance map[string]int64 `json:"assurance"`
	// Reasons counts the rejected events.
	Reasons map[string]int64 `json:"reasons"`
	// First and Last are when the first and the last delivery ended.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// Groupings are groups of events that have something in common.
type Groupings struct {
	// By is what they have in common: a property that is a pseudonym, in which case the size of a
	// group is its events; or an event with its activity, in which case the size is the number of
	// namespaces that it comes from.
	By string `json:"by"`
	// Groups is how many there are, Small how many are smaller than Report.K.
	Groups int64 `json:"groups"`
	Small  int64 `json:"small"`
	// Smallest are the smallest of the small ones, at most 20.
	Smallest []Group `json:"smallest"`
}

// A Group is a group of events.
type Group struct {
	// Value is the pseudonym, or the activity in words of the plan.
	Value string `json:"value"`
	Size  int64  `json:"size"`
}

// A NameSearch is the outcome of a search for names.
type NameSearch struct {
	// Lines of the list are names, Searched of which were searched for.
	Lines    int `json:"lines"`
	Searched int `json:"searched"`
	// Hits counts the places; the findings of kind name-found have them.
	Hits int64 `json:"hits"`
	// Bytes were searched, after decompression.
	Bytes int64 `json:"bytes"`
}

// A Guess is a pseudonym to look for.
type Guess struct {
	// Label says what it stands for and by which scheme, without the name.
	Label     string              `json:"label"`
	Pseudonym telemetry.Pseudonym `json:"pseudonym"`
}

// An Occurrence says where a pseudonym occurs.
type Occurrence struct {
	Guess
	// Properties counts the events by property.
	Properties map[string]int64 `json:"properties,omitempty"`
	Events     int64            `json:"events"`
	Batches    int64            `json:"batches"`
	First      time.Time        `json:"first,omitzero"`
	Last       time.Time        `json:"last,omitzero"`

	row int64 // the last one
}

// A Sample is an event as it was sent.
type Sample struct {
	Event string `json:"event"`
	// Key and Row are where it is.
	Key string `json:"key"`
	Row int64  `json:"row"`
	// Payload is the track call, byte for byte.
	Payload string `json:"payload"`

	time time.Time
	id   string
}
