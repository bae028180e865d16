// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"slices"

	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

func columnName(p *telemetry.PropertySpec) string { return parquetfile.ColumnOf(p).Name }

// A layout says which columns of a file have the properties of each event.
type layout struct {
	plan   *telemetry.Plan
	events map[string]*eventLayout
}

// An eventLayout is the layout of one event.
type eventLayout struct {
	spec    *telemetry.EventSpec
	columns []propertyColumn
	// others are columns that this event does not have.
	others []int

	// inPayload says that a property has no column: it is in the payload alone.
	inPayload bool

	activity []int // of columns, see isActivity
	subject  int   // the column of the namespace; -1 if there is none
	title    string
}

type propertyColumn struct {
	spec   *telemetry.PropertySpec
	column int // -1 if the file has none
	// inPayload says that no file has a column of it.
	inPayload bool
	// title numbers what pseudonyms are grouped by; -1 if it is no such property.
	title int
}

// newLayout fits the plan to a file, and says why if that does not work. A file that an
// older plan was made for may lack columns: entries are only ever added.
func newLayout(plan *telemetry.Plan, r *parquetfile.Reader, ofRejected bool) (*layout, string) {
	if ofRejected != (r.Reason == len(r.Columns)-1) {
		return nil, "the column of reasons is missing, or where none belongs"
	}
	at := map[string]int{}
	known := map[string]parquetfile.Column{}
	specs := plan.Columns()
	for i := range specs {
		known[columnName(&specs[i])] = parquetfile.ColumnOf(&specs[i])
	}
	for i, c := range r.Columns {
		if i == r.MessageID || i == r.Event || i == r.Timestamp || i == r.Payload || i == r.Reason {
			continue
		}
		if known[c.Name] != c {
			return nil, fmt.Sprintf("column %d is not one of the plan %s", i+1, plan.Hash())
		}
		at[c.Name] = i
	}
	older := r.Plan != plan.Hash()
	if !older && len(at) < len(known) {
		return nil, "columns of its plan are missing"
	}
	l := &layout{plan: plan, events: map[string]*eventLayout{}}
	if older {
		var err error
		if l.plan, err = lenient(plan); err != nil {
			return nil, "its plan cannot be compared with this release's"
		}
	}
	for i := range l.plan.Events {
		e := &l.plan.Events[i]
		l.events[e.Name] = newEventLayout(e, at, specs)
	}
	return l, ""
}

// lenient returns the plan without what it may have asked for later: properties may be missing.
func lenient(plan *telemetry.Plan) (*telemetry.Plan, error) {
	events := slices.Clone(plan.Events)
	for i := range events {
		events[i].Properties = slices.Clone(events[i].Properties)
		for j := range events[i].Properties {
			events[i].Properties[j].Optional = true
		}
	}
	return telemetry.NewPlan(plan.Name, events...)
}

func newEventLayout(e *telemetry.EventSpec, at map[string]int, all []telemetry.PropertySpec) *eventLayout {
	el := &eventLayout{spec: e, subject: -1, title: e.Name}
	own := map[int]bool{}
	for j := range e.Properties {
		p := &e.Properties[j]
		c := propertyColumn{spec: p, column: -1, title: -1, inPayload: titleOf(all, p.Name) < 0}
		el.inPayload = el.inPayload || c.inPayload
		if i, ok := at[columnName(p)]; ok {
			c.column = i
			own[i] = true
		}
		if p.Type == telemetry.TypePseudonym && !c.inPayload && p.Name != catalogue.ClusterIDHash {
			c.title = titleOf(all, p.Name)
		}
		if p.Name == catalogue.NamespaceHash {
			el.subject = j
		}
		if isActivity(p) && !c.inPayload {
			el.activity = append(el.activity, j)
			el.title += ", " + p.Name
		}
		el.columns = append(el.columns, c)
	}
	for _, i := range at {
		if !own[i] {
			el.others = append(el.others, i)
		}
	}
	slices.Sort(el.others)
	return el
}

// titleOf returns where a property stands in the plan: it numbers groups.
func titleOf(all []telemetry.PropertySpec, name string) int {
	return slices.IndexFunc(all, func(p telemetry.PropertySpec) bool { return p.Name == name })
}
