// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteJSON writes the report as one indented JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// WriteText writes the report for a person.
func (r *Report) WriteText(w io.Writer) error {
	p := &page{table: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	p.head(r)
	p.collected(r)
	p.delivered(r)
	p.names(r)
	p.reproduced(r)
	p.small(r)
	p.notices(r)
	p.findings(r)
	if err := p.table.Flush(); p.err == nil {
		p.err = err
	}
	if p.err != nil {
		return fmt.Errorf("write report: %w", p.err)
	}
	return nil
}

// A page is a report being written.
type page struct {
	table *tabwriter.Writer
	err   error
}

func (p *page) line(format string, args ...any) {
	if _, err := fmt.Fprintf(p.table, format+"\n", args...); p.err == nil {
		p.err = err
	}
}

// title ends a table, so that the next has columns of its own, and begins a part.
func (p *page) title(format string, args ...any) {
	if err := p.table.Flush(); p.err == nil {
		p.err = err
	}
	p.line("\n"+format, args...)
}

func (p *page) head(r *Report) {
	t := r.Totals
	p.line("Audit by %s %s at %s, against plan %s", r.Producer.Name, r.Producer.Version, stamp(r.Generated), r.PlanID.Hash)
	if l := r.Limits; l != (Limits{}) {
		p.line("Limited to cluster %s, windows from %s to %s", cmp.Or(l.Cluster.String(), "any"), cmp.Or(stamp(l.Since), "ever"), cmp.Or(stamp(l.Until), "now"))
	}
	p.line("%d objects of %d bytes; %d batches of %d events, and %d batches that were replaced", t.Objects, t.Bytes, t.Batches, t.Events, t.Replaced)
	p.title("CLUSTERS")
	p.line("  cluster\tbatches\tevents\tread from\tto\tnames hidden by\tstaged by")
	for _, c := range r.Clusters {
		p.line("  %s\t%d\t%d\t%s\t%s\t%s\t%s", c.Cluster, c.Batches, c.Events, stamp(c.Since), stamp(c.Until), strings.Join(c.Schemes, ", "), strings.Join(c.Producers, ", "))
	}
}

func (p *page) collected(r *Report) {
	events := map[string]int64{}
	first, last := map[string]string{}, map[string]string{}
	for _, d := range r.Days {
		for e, n := range d.Events {
			events[e] += n
			if first[e] == "" {
				first[e] = d.Day
			}
			last[e] = d.Day
		}
	}
	p.title("WHAT LEFT")
	p.line("  event\tevents\tfirst\tlast")
	for _, e := range slices.Sorted(maps.Keys(events)) {
		p.line("  %s\t%d\t%s\t%s", e, events[e], first[e], last[e])
	}
}

func (p *page) delivered(r *Report) {
	p.title("TO WHOM")
	p.line("  destination\tstaged\tdelivered\trejected\tpending\tsent again\tfirst\tlast\twhat delivered means")
	for _, d := range r.Destinations {
		p.line("  %s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s", d.Destination, d.Staged, d.Delivered, d.Rejected, d.Pending, d.SentAgain,
			stamp(d.First), stamp(d.Last), assurance(d.Assurance))
	}
	if len(r.Destinations) == 0 {
		p.line("  nobody: no destination has a receipt")
	}
}

func assurance(counts map[string]int64) string {
	var words []string
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, cmp.Or(word, "taken"))
	}
	return strings.Join(words, ", ")
}

func (p *page) names(r *Report) {
	if n := r.Names; n != nil {
		p.title("NAMES")
		p.line("  %d of %d names were searched for in %d bytes: %d hits", n.Searched, n.Lines, n.Bytes, n.Hits)
	}
}

func (p *page) reproduced(r *Report) {
	if len(r.Reproduced) == 0 {
		return
	}
	p.title("WHAT THE NAME BECOMES")
	p.line("  as\tpseudonym\tevents\tbatches\tfirst\tlast\tin")
	for _, o := range r.Reproduced {
		var in []string
		for _, name := range slices.Sorted(maps.Keys(o.Properties)) {
			in = append(in, fmt.Sprintf("%s %d", name, o.Properties[name]))
		}
		p.line("  %s\t%s\t%d\t%d\t%s\t%s\t%s", o.Label, o.Pseudonym, o.Events, o.Batches, stamp(o.First), stamp(o.Last), cmp.Or(strings.Join(in, ", "), "nowhere"))
	}
}

// How many small groups, and notices of a kind, a person gets to see.
const (
	maxShown   = 3
	maxNotices = 5
)

func (p *page) small(r *Report) {
	p.title("SMALL GROUPS, of fewer than %d", r.K)
	p.line("  by\tgroups\tsmall\tthe smallest")
	for _, g := range r.SmallGroups {
		var smallest []string
		for _, s := range g.Smallest[:min(len(g.Smallest), maxShown)] {
			smallest = append(smallest, fmt.Sprintf("%s (%d)", s.Value, s.Size))
		}
		p.line("  %s\t%d\t%d\t%s", g.By, g.Groups, g.Small, strings.Join(smallest, "; "))
	}
}

func (p *page) notices(r *Report) {
	if len(r.Notices) == 0 {
		return
	}
	p.title("NOTICES, which are worth knowing")
	seen := map[Kind]int{}
	for _, f := range r.Notices {
		if seen[f.Kind]++; seen[f.Kind] <= maxNotices || f.Kind == NameNotSearched {
			p.line("  %s: %s", heading(f), f.Text)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(seen)) {
		if more := seen[kind] - maxNotices; more > 0 && kind != NameNotSearched {
			p.line("  %s: %d more, which --format json lists", kind, more)
		}
	}
}

func (p *page) findings(r *Report) {
	if r.Clean {
		p.title("NO FINDINGS")
		return
	}
	p.title("FINDINGS: %d", r.FindingsTotal)
	for i, f := range r.Findings {
		p.line("  %d. %s", i+1, heading(f))
		p.line("     %s", f.Text)
		p.line("     -> %s", f.Advice)
	}
	if more := r.FindingsTotal - int64(len(r.Findings)); more > 0 {
		p.line("  and %d more", more)
	}
}

// heading says what sort of finding it is, and where.
func heading(f Finding) string {
	text := string(f.Kind)
	if f.Line > 0 {
		text += fmt.Sprintf(", line %d", f.Line)
	}
	if f.Key != "" {
		text += ", " + printable(f.Key)
	}
	if f.Row > 0 {
		text += fmt.Sprintf(", row %d", f.Row)
	}
	if f.Count > 1 && f.Row > 0 {
		text += fmt.Sprintf(" and %d more", f.Count-1)
	} else if f.Count > 0 && f.Row == 0 {
		text += fmt.Sprintf(", %d events", f.Count)
	}
	return text
}

// printable quotes a key that would not show as what it is.
func printable(key string) string {
	if quoted := strconv.Quote(key); quoted != `"`+key+`"` {
		return quoted
	}
	return key
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
