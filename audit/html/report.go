// SPDX-License-Identifier: Apache-2.0

package html

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/segment-bridge/segment-bridge/audit"
)

// A view is a report and what several of its sections need.
type view struct {
	*audit.Report
	events      map[string]int64 // by name
	first, last map[string]string
	periods     periods
}

// reportPage is the report; batches, unless nil, leads to the pages of the batches.
func reportPage(r *audit.Report, batches g.Node) g.Node {
	v := &view{Report: r, events: map[string]int64{}, first: map[string]string{}, last: map[string]string{}}
	var days []string
	for _, d := range r.Days {
		days = append(days, d.Day)
		for e, n := range d.Events {
			v.events[e] += n
			v.first[e] = cmp.Or(v.first[e], d.Day)
			v.last[e] = d.Day
		}
	}
	v.periods = newPeriods(days)
	parts := []struct {
		id, title string
		body      g.Group
	}{
		{"collected", "What is collected, and why", v.collected()},
		{"amounts", "How much, and when", v.amounts()},
		{"pipelines", "Pipelines", v.pipelines()},
		{"installations", "Installations", v.installations()},
		{"delivery", "To whom it went", v.delivery()},
		{"findings", "Findings", v.findings()},
		{"names", "Names", v.names()},
		{"groups", "Small groups", v.groups()},
		{"clusters", "Clusters", v.clusters()},
		{"events", "Every event, exactly as sent", v.plan()},
	}
	var sections, links []g.Node
	for _, p := range parts {
		if p.body != nil {
			sections = append(sections, section(p.id, p.title, p.body))
			links = append(links, h.Li(h.A(h.Href("#"+p.id), g.Text(p.title))))
		}
	}
	return page("What left the cluster: an audit",
		v.header(batches),
		h.Nav(h.Aria("label", "Contents"), h.Ul(g.Group(links))),
		g.Group{v.summary(), g.Group(sections), h.Footer(para("Everything on this page was read from the bucket alone. It is one file, loads nothing, and tells nobody that it was opened."))},
	)
}

func (v *view) header(batches g.Node) g.Node {
	limits := ""
	if l := v.Limits; l != (audit.Limits{}) {
		limits = fmt.Sprintf("Limited to %s, read from %s to %s.", cmp.Or(strings.TrimSpace("cluster "+l.Cluster.String()), "all clusters"), cmp.Or(stamp(l.Since), "the beginning"), cmp.Or(stamp(l.Until), "now"))
	}
	return g.Group{
		h.P(h.Class("kicker"), g.Text("Audit of usage telemetry")),
		h.H1(g.Text("What left the cluster")),
		h.P(g.Text("Made "+stamp(v.Generated)+" by "), text(v.Producer.Name+" "+v.Producer.Version), g.Text(", against tracking plan "), code(v.PlanID.Hash), g.Text(". "+limits)),
		batches,
	}
}

// summary is what somebody reads who reads nothing else.
func (v *view) summary() g.Node {
	verdict := h.Div(h.Class("verdict good"), h.Span(h.Class("mark"), h.Aria("hidden", "true"), g.Text("✓")),
		h.P(h.Strong(g.Text("No findings.")), g.Text(" Every object, count and value in the bucket is what the format and the tracking plan say.")))
	if !v.Clean {
		verdict = h.Div(h.Class("verdict bad"), h.Span(h.Class("mark"), h.Aria("hidden", "true"), g.Text("!")),
			h.P(h.Strong(g.Text(plural(v.FindingsTotal, "finding", "findings")+".")), g.Text(" Something is not as it should be: "), h.A(h.Href("#findings"), g.Text("what it is, and what to do")), g.Text(".")))
	}
	span := ""
	if n := len(v.Days); n > 0 {
		span = strings.ReplaceAll(v.Days[0].Day, "-", noBreak) + " to " + strings.ReplaceAll(v.Days[n-1].Day, "-", noBreak)
	}
	var staged, delivered, rejected, pending int64
	for _, d := range v.Destinations {
		staged, delivered, rejected, pending = staged+d.Staged, delivered+d.Delivered, rejected+d.Rejected, pending+d.Pending
	}
	succeeded, finished := v.runs("")
	i := &v.Installations
	ended := i.Completed + i.Failed
	tiles := []g.Node{
		tile("Events", comma(v.Totals.Events), span),
		tile("Clusters", comma(int64(len(v.Clusters))), plural(v.Totals.Batches, "batch", "batches")+" of "+humanize.Bytes(uint64(max(0, v.Totals.Bytes)))),
		tile("Delivered", percent(delivered, staged), fmt.Sprintf("%s; %s pending, %s rejected", plural(int64(len(v.Destinations)), "destination", "destinations"), comma(pending), comma(rejected))),
		tile("Pipelines succeeded", percent(succeeded, finished), comma(succeeded)+" of "+comma(finished)),
		tile("Installs succeeded", percent(i.Completed, ended), comma(i.Completed)+" of "+comma(ended)),
	}
	if n := v.Names; n != nil {
		tiles = append(tiles, tile("Names found", comma(n.Hits), comma(int64(n.Searched))+" searched for"))
	}
	return h.Section(h.Class("summary"), h.Aria("label", "Summary"), verdict, h.Dl(h.Class("tiles"), g.Group(tiles)))
}

// noBreak is a hyphen at which no line ends.
const noBreak = "\u2011"

func tile(term, figure, note string) g.Node {
	return h.Div(h.Dt(g.Text(term)), h.Dd(h.Strong(g.Text(figure)), h.Span(g.Text(note))))
}

// collected is one line for each event of the plan.
func (v *view) collected() g.Group {
	var rows [][]cell
	row := func(name cell, question, event string) {
		rows = append(rows, []cell{name, textCell(question), numberCell(v.events[event]), wholeCell(cmp.Or(v.first[event], "never")), wholeCell(v.last[event])})
	}
	for i := range v.Plan.Events {
		e := &v.Plan.Events[i]
		row(nodeCell(h.A(h.Href("#event-"+slug(e.Name)), g.Text(e.Name))), e.Question, e.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(v.events)) {
		if v.Plan.Event(name) == nil {
			row(textCell(name), "Nobody knows: it is not in the plan. See the findings.", name)
		}
	}
	return g.Group{
		para("This is the whole list: what is not on it has no way to leave. Names of users, namespaces, components, applications and the cluster are replaced by pseudonyms (12 digits) before anything is written. There is no property that free text would fit into; repositories, parameters, messages, labels and annotations are not read at all."),
		table("Events of the tracking plan", []column{words("Event"), words("What it is collected for"), numbers("Events"), words("First"), words("Last")}, rows),
	}
}

// sum adds up the days' numbers by period.
func (v *view) sum(of func(audit.Day) int64) []float64 {
	sums := make([]float64, len(v.periods.starts))
	for _, d := range v.Days {
		if i := v.periods.index(d.Day); i >= 0 {
			sums[i] += float64(of(d))
		}
	}
	return sums
}

// chart fills in what all charts over time have in common.
func (v *view) chart(c chart) *chart {
	c.axis, c.rows = v.periods.labels()
	c.of = v.periods.unit.name
	return &c
}

func (v *view) amounts() g.Group {
	if len(v.periods.starts) == 0 {
		return g.Group{para("There are no events.")}
	}
	unit := v.periods.unit.name
	body := g.Group{v.chart(chart{
		id: "all", title: "Events a " + unit, about: fmt.Sprintf("%s in %s, by when they happened (UTC).", comma(v.Totals.Events), plural(int64(len(v.periods.starts)), unit, unit+"s")),
		series: []series{{"Events", v.sum(func(d audit.Day) (n int64) {
			for _, m := range d.Events {
				n += m
			}
			return n
		})}},
	})}
	var kinds []g.Node
	for i, name := range slices.Sorted(maps.Keys(v.events)) {
		if i == maxRows/10 {
			break
		}
		kinds = append(kinds, v.chart(chart{
			small: true, id: fmt.Sprint("kind-", i), title: printable(name), about: plural(v.events[name], "event", "events") + ".",
			series: []series{{"Events", v.sum(func(d audit.Day) int64 { return d.Events[name] })}},
		}))
	}
	return append(body, h.H3(g.Text("By kind")), h.Div(h.Class("grid"), g.Group(kinds)), leftOut(int64(len(v.events)-len(kinds))))
}
