// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"slices"
	"strings"
)

// A Kind names what is wrong. The names are stable: programs may look for them.
type Kind string

// The kinds of findings.
const (
	ForeignObject      Kind = "foreign-object"
	Orphan             Kind = "orphan"
	ManifestUnreadable Kind = "manifest-unreadable"
	NewerFormat        Kind = "newer-format"
	DataMissing        Kind = "data-missing"
	DataChanged        Kind = "data-changed"
	DataUnreadable     Kind = "data-unreadable"
	SchemaUnknown      Kind = "schema-unknown"
	CountsDiffer       Kind = "counts-differ"
	OrderBroken        Kind = "order-broken"
	PlanViolation      Kind = "plan-violation"
	PayloadDiffers     Kind = "payload-differs"
	Duplicate          Kind = "duplicate"
	NotCarried         Kind = "not-carried"
	PartsDiffer        Kind = "parts-differ"
	CoverageInvalid    Kind = "coverage-invalid"
	CoverageGap        Kind = "coverage-gap"
	Damaged            Kind = "damaged"
	Undelivered        Kind = "undelivered"
	ReceiptUnreadable  Kind = "receipt-unreadable"
	ReceiptDiffers     Kind = "receipt-differs"
	RejectedDiffers    Kind = "rejected-differs"
	StoreUnreadable    Kind = "store-unreadable"
	NameFound          Kind = "name-found"
)

// The kinds of notices, which are worth knowing and nothing to put right.
const (
	InFlight        Kind = "in-flight"
	Pending         Kind = "pending"
	SentAgain       Kind = "sent-again"
	Rejected        Kind = "rejected"
	LeftOut         Kind = "left-out"
	Leftover        Kind = "leftover"
	Silent          Kind = "silent"
	SeveralSchemes  Kind = "several-schemes"
	StorePromise    Kind = "store-promise"
	NameNotSearched Kind = "name-not-searched"
	ClusterUnknown  Kind = "cluster-unknown"
)

// A Finding is something wrong with the stage, or a notice.
type Finding struct {
	Kind Kind `json:"kind"`
	// Key is the object that it is about; empty if it is about several.
	Key string `json:"key,omitempty"`
	// Row is the first row of the file that it is about, counted from 1, and Count how many there
	// are; both are 0 if it is not about rows.
	Row   int64 `json:"row,omitempty"`
	Count int64 `json:"count,omitempty"`
	// Text says what was found, Advice what to do. They hold no value of an event, and no name.
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`
	// Line is where the name stands in the list of names, for NameFound and NameNotSearched.
	Line int `json:"line,omitempty"`
}

// maxListed is how many findings of one kind are listed; the others are counted.
const maxListed = 1000

// findings collects findings of the same sort.
type findings struct {
	list   []Finding
	listed map[Kind]int64
	total  int64
}

func (f *findings) add(list ...Finding) {
	if f.listed == nil {
		f.listed = map[Kind]int64{}
	}
	for _, one := range list {
		f.total++
		if f.listed[one.Kind]++; f.listed[one.Kind] <= maxListed {
			f.list = append(f.list, one)
		}
	}
}

func (f *findings) sorted() []Finding {
	slices.SortStableFunc(f.list, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), cmp.Compare(a.Row, b.Row), strings.Compare(string(a.Kind), string(b.Kind)),
			cmp.Compare(a.Line, b.Line), strings.Compare(a.Text, b.Text))
	})
	return f.list
}

// rowFindings collects what is wrong with the rows of one file, one finding for each way.
type rowFindings struct {
	key   string
	order []*Finding
	byWay map[Finding]*Finding
}

// add notes a row. Text and advice are of the program's own words and of the plan's.
func (r *rowFindings) add(row int64, f Finding) {
	f.Key = r.key
	known := r.byWay[f]
	if known == nil {
		if r.byWay == nil {
			r.byWay = map[Finding]*Finding{}
		}
		copied := f
		known = &copied
		known.Row = row
		r.byWay[f] = known
		r.order = append(r.order, known)
	}
	known.Count++
}

func (r *rowFindings) all() []Finding {
	var list []Finding
	for _, f := range r.order {
		list = append(list, *f)
	}
	return list
}
