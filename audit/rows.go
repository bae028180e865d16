// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"cmp"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// rows checks the rows of one file: each by itself, and their order. It is what an audit spends
// its time on: nearly every payload is, byte for byte, what follows from the columns, which is found
// out without parsing it.
type rows struct {
	audit    *auditor
	manifest *stage.Manifest
	reader   *parquetfile.Reader
	layout   *layout
	search   *searcher // nil if there is nothing to search for
	found    rowFindings
	hits     nameHits
	figures  *figures // nil if the file does not count
	groups   map[group]int64
	names    map[uint64]string // of activities
	// ids gets the fingerprints of message IDs, some at a time.
	ids func(fingerprints []fingerprint) error

	row      int64 // the present one, from 1
	event    telemetry.Event
	library  telemetry.Library
	payload  []byte
	previous struct {
		event, id []byte
		time      int64
	}
	values       []map[string]telemetry.Value // of each column, as they recur
	pending      []fingerprint
	counts       map[string]int64
	min, max     time.Time
	reasons      map[string]int64
	activityText []byte
}

// A fingerprint stands for a message ID in a row.
type fingerprint struct {
	hash uint64
	row  uint32
}

// maxValues is how many values of a column are remembered.
const maxValues = 4096

const somePending = 1024

func (r *rows) check() error {
	r.values = make([]map[string]telemetry.Value, len(r.reader.Columns))
	for i := range r.values {
		r.values[i] = map[string]telemetry.Value{}
	}
	r.counts, r.reasons = map[string]int64{}, map[string]int64{}
	r.groups, r.names = map[group]int64{}, map[uint64]string{}
	if err := r.reader.Rows(r.one); err != nil {
		return err
	}
	return r.flush()
}

func (r *rows) flush() error {
	if r.ids == nil || len(r.pending) == 0 {
		return nil
	}
	err := r.ids(r.pending)
	r.pending = r.pending[:0]
	return err
}

// Advice that several findings share.
const (
	adviceTampered = "the file is what its hash says, so whoever wrote it wrote this: find out which program did, and keep the batch from being delivered by removing its manifest"
	adviceReplace  = "restore it from a replica or backup of the bucket; docs/operations.md, Damage, says what else can be done"
)

// one checks a row.
func (r *rows) one(row parquetfile.Row) error {
	r.row++
	if r.row&0xfff == 0 {
		if err := r.audit.ctx.Err(); err != nil {
			return err
		}
	}
	id, name, micros := row.Text(r.reader.MessageID), row.Text(r.reader.Event), row.Integer(r.reader.Timestamp)
	r.order(name, id, micros)
	if r.ids != nil {
		h := fnv.New64a()
		h.Write(id)
		if r.pending = append(r.pending, fingerprint{h.Sum64(), uint32(r.row)}); len(r.pending) == somePending {
			if err := r.flush(); err != nil {
				return err
			}
		}
	}
	if r.reader.Reason >= 0 {
		tally(r.reasons, row.Text(r.reader.Reason))
	}
	at := time.UnixMicro(micros).UTC()
	if r.row == 1 || at.Before(r.min) {
		r.min = at
	}
	if r.row == 1 || at.After(r.max) {
		r.max = at
	}
	el := r.layout.events[string(name)]
	if el == nil {
		tally(r.counts, name)
		r.countDay(at, "(not in the plan)")
		r.breaks("", "the event is not listed")
		return r.searchAll(row)
	}
	r.counts[el.spec.Name]++
	r.countDay(at, el.spec.Name)
	r.event.Name, r.event.MessageID, r.event.Time, r.event.Cluster = el.spec.Name, string(id), at, r.manifest.Cluster
	fine := r.conforms(row, el)
	same, equal := false, false
	if fine {
		same, equal = r.samePayload(row, el)
	}
	before := r.hits.total
	var err error
	if same && r.reader.Reason < 0 {
		r.searchText(row.Text(r.reader.Payload), "the payload") // which repeats all columns
	} else {
		err = r.searchAll(row)
	}
	if fine && r.figures != nil {
		r.count(row, el, equal && r.hits.total == before)
	}
	return err
}

// tally counts a text that may be anything, unless there are too many.
func tally(counts map[string]int64, text []byte) {
	if _, known := counts[string(text)]; known || len(counts) < maxValues {
		counts[string(text)]++
	}
}

// order checks that a row comes after the one before it.
func (r *rows) order(name, id []byte, micros int64) {
	p := &r.previous
	if r.row > 1 && cmp.Or(bytes.Compare(p.event, name), cmp.Compare(p.time, micros), bytes.Compare(p.id, id)) > 0 {
		r.found.add(r.row, Finding{Kind: OrderBroken, Text: "rows are not in the order of event, timestamp and message ID", Advice: adviceTampered})
	}
	p.event, p.id, p.time = append(p.event[:0], name...), append(p.id[:0], id...), micros
}

// breaks notes that the row breaks the plan.
func (r *rows) breaks(property, rule string) {
	v := telemetry.Violation{Event: r.event.Name, Property: property, Rule: rule}
	if property == "" && rule == "the event is not listed" {
		v.Event = "(not in the plan)"
	}
	r.found.add(r.row, Finding{Kind: PlanViolation, Text: v.Error(), Advice: adviceTampered})
}

// conforms checks the columns of a row against the plan, and makes the event of them.
func (r *rows) conforms(row parquetfile.Row, el *eventLayout) bool {
	fine := true
	r.event.Properties = r.event.Properties[:0]
	var beside []field // what has no column
	if el.inPayload {
		all, err := fields(row.Text(r.reader.Payload))
		if err == nil {
			beside, err = fields(find(all, "properties"))
		}
		if err != nil {
			r.differs("the payload is not a JSON object that has each name once")
			return false
		}
	}
	for i := range el.columns {
		c := &el.columns[i]
		if c.inPayload {
			if raw := find(beside, c.spec.Name); raw != nil {
				v, ok := parseJSON(c.spec, raw)
				if !ok {
					r.breaks(c.spec.Name, "the value is no "+string(c.spec.Type)+" that the plan allows")
					fine = false
				}
				r.event.Properties = append(r.event.Properties, telemetry.Property{Name: c.spec.Name, Value: v})
			}
			continue
		}
		if c.column < 0 || row.Null(c.column) {
			if c.spec.Nullable && (c.column >= 0 || !c.spec.Optional) {
				r.event.Properties = append(r.event.Properties, telemetry.Property{Name: c.spec.Name})
			}
			continue
		}
		v, rule := r.value(row, c)
		if rule != "" {
			r.breaks(c.spec.Name, rule)
			fine = false
			continue
		}
		if c.spec.Name == catalogue.ClusterIDHash && v != telemetry.PseudonymValue(r.manifest.Cluster) {
			r.breaks(c.spec.Name, "the value is not the cluster of the batch")
			fine = false
		}
		r.event.Properties = append(r.event.Properties, telemetry.Property{Name: c.spec.Name, Value: v})
	}
	for _, column := range el.others {
		if !row.Null(column) {
			r.breaks("(not in the plan)", "a column has a value that the event does not have")
			fine = false
		}
	}
	if !fine {
		return false
	}
	if r.event.Time.Nanosecond() != 0 {
		r.breaks("", "the timestamp is not in whole seconds")
		return false
	}
	if v, ok := errors.AsType[*telemetry.Violation](r.layout.plan.Check(&r.event)); ok {
		r.breaks(v.Property, v.Rule)
		return false
	}
	return true
}

// value reads the value of a property, and says which rule it breaks.
func (r *rows) value(row parquetfile.Row, c *propertyColumn) (v telemetry.Value, rule string) {
	switch c.spec.Type {
	case telemetry.TypeInteger:
		return telemetry.IntegerValue(row.Integer(c.column)), ""
	case telemetry.TypeBoolean:
		return telemetry.BooleanValue(row.Boolean(c.column)), ""
	case telemetry.TypeTime:
		micros := row.Integer(c.column)
		if micros%1_000_000 != 0 {
			return v, "the time is not in whole seconds"
		}
		return telemetry.TimeValue(time.UnixMicro(micros)), ""
	case telemetry.TypePseudonym, telemetry.TypeEnum, telemetry.TypeVersion, telemetry.TypeSet, telemetry.TypeCounts:
	}
	text := row.Text(c.column)
	known := r.values[c.column]
	if v, ok := known[string(text)]; ok && c.spec.Type != telemetry.TypeEnum {
		return v, ""
	}
	v, ok := c.spec.ParseText(text)
	if !ok {
		return v, "the value is no " + string(c.spec.Type) + " that the plan allows"
	}
	if len(known) < maxValues {
		known[string(text)] = v
	}
	return v, ""
}

// samePayload checks the payload against the columns, which conform. same reports whether it is
// the same byte for byte, ok whether it is the same as JSON.
func (r *rows) samePayload(row parquetfile.Row, el *eventLayout) (same, ok bool) {
	payload := row.Text(r.reader.Payload)
	r.payload = r.event.AppendTrack(r.payload[:0], r.library)
	if bytes.Equal(r.payload, payload) {
		return true, true
	}
	library, plain := libraryOf(payload)
	if !plain {
		r.differs("context of the payload does not name the program that made the event")
		return false, false
	}
	r.library = library
	r.payload = r.event.AppendTrack(r.payload[:0], library)
	if bytes.Equal(r.payload, payload) {
		return true, true
	}
	if text := compare(payload, r.payload, el.spec); text != "" {
		r.differs(text)
		return false, false
	}
	return false, true
}

func (r *rows) differs(text string) {
	r.found.add(r.row, Finding{
		Kind: PayloadDiffers, Text: text,
		Advice: "the payload is what was sent: compare both by hand; " + adviceTampered,
	})
}

// countDay counts an event, whatever else is wrong with it.
func (r *rows) countDay(at time.Time, event string) {
	if r.figures != nil {
		r.figures.events[dayOf{at.Unix() / secondsADay, event}]++
	}
}

// count adds a row to what the report adds up.
func (r *rows) count(row parquetfile.Row, el *eventLayout, clean bool) {
	r.figures.add(&r.event)
	if _, ok := r.figures.samples[el.spec.Name]; !ok && clean {
		r.figures.samples[el.spec.Name] = Sample{
			Event: el.spec.Name, Key: r.found.key, Row: r.row, Payload: string(row.Text(r.reader.Payload)),
			time: r.event.Time, id: r.event.MessageID,
		}
	}
	if el.spec.OncePerObject {
		if _, carried := slices.BinarySearch(r.manifest.Carried.Once, r.event.MessageID); !carried {
			r.found.add(r.row, Finding{
				Kind: NotCarried, Text: "the manifest does not carry on that the event " + el.spec.Name + " was staged, so that it may be staged again",
				Advice: "compare the manifest with a backup; after that, count distinct message IDs",
			})
		}
	}
	var subject uint64
	for i := range el.columns {
		c := &el.columns[i]
		if c.title < 0 || c.column < 0 || row.Null(c.column) {
			continue
		}
		v := r.values[c.column][string(row.Text(c.column))]
		if v.IsNull() { // too many are remembered
			v, _ = c.spec.ParseText(row.Text(c.column))
		}
		if i == el.subject {
			subject = uint64(v.Integer())
		}
		r.groups[group{by: uint16(c.title), what: uint64(v.Integer())}]++
	}
	for p := range r.audit.guesses {
		want := telemetry.PseudonymValue(p)
		for i := range r.event.Properties {
			if r.event.Properties[i].Value == want {
				r.figures.occurs(p, &r.event, r.row, r.event.Properties[i].Name)
			}
		}
	}
	if len(el.activity) > 0 && subject != 0 {
		r.countActivity(el, subject)
	}
}

// countActivity notes that a namespace did what the event tells.
func (r *rows) countActivity(el *eventLayout, subject uint64) {
	b := r.activityText[:0]
	for i, at := range el.activity {
		if i > 0 {
			b = append(b, ", "...)
		}
		name := el.columns[at].spec.Name
		b = append(append(b, name...), ' ')
		if v := property(&r.event, name); v.IsNull() {
			b = append(b, "none"...)
		} else {
			b = append(b, v.String()...)
		}
	}
	r.activityText = b
	what := activity(b)
	if _, ok := r.names[what]; !ok {
		r.names[what] = string(b)
	}
	r.groups[group{by: r.audit.activities[el.spec.Name], what: what, subject: subject}]++
}

// report returns what was found.
func (r *rows) report() []Finding {
	return append(r.found.all(), r.hits.findings(r.found.key)...)
}
