// SPDX-License-Identifier: Apache-2.0

package html

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// runs counts the pipelines of a type, or of all if it is empty, and those that succeeded.
func (v *view) runs(typ string) (succeeded, finished int64) {
	for _, p := range v.Pipelines {
		if typ == "" || p.Type == typ {
			succeeded += p.Outcomes[catalogue.RunSucceeded.String()]
			finished += total(p.Outcomes)
		}
	}
	return succeeded, finished
}

func total(counts map[string]int64) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// types are the pipelines' types, the most frequent first.
func (v *view) types() []string {
	counts := map[string]int64{}
	for _, p := range v.Pipelines {
		counts[p.Type] += total(p.Outcomes)
	}
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
}

func (v *view) pipelines() g.Group {
	types := v.types()
	if len(types) == 0 {
		return g.Group{para("None finished in this time.")}
	}
	succeeded, finished := v.runs("")
	unit := v.periods.unit.name
	return g.Group{
		v.typeTable(types),
		h.Div(h.Class("grid pair"), v.chart(chart{
			form: lines, id: "success", title: "Share of pipelines that succeeded, by type", max: 1,
			about:  fmt.Sprintf("Of those that finished in each %s, for the most frequent types; of all types together, %s succeeded (%s of %s).", unit, percent(succeeded, finished), comma(succeeded), comma(finished)),
			format: asPercent, series: v.successRates(types),
		}), v.chart(chart{
			form: stacked, id: "durations", title: "How long pipelines took", max: 1,
			about:  fmt.Sprintf("The share of each range of durations among the pipelines that finished in each %s; the shortest are at the bottom.", unit),
			format: asPercent, series: v.durationShares(),
		})),
	}
}

func asPercent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

func (v *view) typeTable(types []string) g.Node {
	var rows [][]cell
	for _, typ := range types {
		outcomes := map[string]int64{}
		durations := make([]int64, len(v.DurationBuckets)+1)
		for _, p := range v.Pipelines {
			if p.Type == typ {
				for outcome, n := range p.Outcomes {
					outcomes[outcome] += n
				}
				addTo(durations, p.Durations)
			}
		}
		all := total(outcomes)
		row := []cell{textCell(typ), numberCell(all), shareCell(outcomes[catalogue.RunSucceeded.String()], all)}
		for _, outcome := range (catalogue.RunOutcome{}).Words() {
			row = append(row, numberCell(outcomes[outcome]))
		}
		rows = append(rows, append(row, v.quantileCell(durations, 0.5), v.quantileCell(durations, 0.95)))
	}
	columns := []column{words("Type"), numbers("Finished"), numbers("Success rate")}
	for _, outcome := range (catalogue.RunOutcome{}).Words() {
		columns = append(columns, numbers(strings.ToUpper(outcome[:1])+outcome[1:]))
	}
	return table("Finished pipelines, by type", append(columns, numbers("Half took"), numbers("95 % took")), rows)
}

// addTo adds counts, of which there may be fewer.
func addTo(sum, counts []int64) {
	for i := range min(len(sum), len(counts)) {
		sum[i] += counts[i]
	}
}

// quantileCell says which range of durations has the given share of them at or below its end.
func (v *view) quantileCell(durations []int64, share float64) cell {
	var all, sum int64
	for _, n := range durations {
		all += n
	}
	if all == 0 {
		return cell{g.Text("none"), "-1"}
	}
	for i, n := range durations {
		if sum += n; float64(sum) >= share*float64(all) && i < len(v.DurationBuckets) {
			return cell{g.Text("up to " + span(v.DurationBuckets[i])), fmt.Sprint(v.DurationBuckets[i])}
		}
	}
	return cell{g.Text("longer than " + span(v.DurationBuckets[len(v.DurationBuckets)-1])), fmt.Sprint(int64(math.MaxInt64))}
}

// span is a time in seconds, such as "15 min".
func span(seconds int64) string {
	switch {
	case seconds < 60:
		return fmt.Sprintf("%d s", seconds)
	case seconds < 60*60:
		return fmt.Sprintf("%d min", seconds/60)
	}
	return fmt.Sprintf("%g h", float64(seconds)/(60*60))
}

// successRates has the most frequent types; the others are in the table.
func (v *view) successRates(types []string) []series {
	var all []series
	for _, typ := range types[:min(len(types), maxLines)] {
		done, ended := make([]int64, len(v.periods.starts)), make([]int64, len(v.periods.starts))
		for _, p := range v.Pipelines {
			if i := v.periods.index(p.Day); p.Type == typ && i >= 0 {
				done[i] += p.Outcomes[catalogue.RunSucceeded.String()]
				ended[i] += total(p.Outcomes)
			}
		}
		rates := make([]float64, len(done))
		for i := range rates {
			if rates[i] = none(); ended[i] > 0 {
				rates[i] = ratio(done[i], ended[i])
			}
		}
		all = append(all, series{printable(typ), rates})
	}
	return all
}

// A durationRange is what several of the report's buckets are together.
type durationRange struct {
	name string
	to   int64 // seconds
}

func durationRanges() []durationRange {
	return []durationRange{{"to 1 min", 60}, {"to 5 min", 300}, {"to 15 min", 900}, {"to 1 h", 3600}, {"longer", math.MaxInt64}}
}

// grouped adds up buckets by range.
func (v *view) grouped(durations []int64) []int64 {
	ranges := durationRanges()
	counts := make([]int64, len(ranges))
	for i, n := range durations {
		at := len(ranges) - 1
		if i < len(v.DurationBuckets) {
			at = slices.IndexFunc(ranges, func(r durationRange) bool { return v.DurationBuckets[i] <= r.to })
		}
		counts[at] += n
	}
	return counts
}

func (v *view) durationShares() []series {
	counts := make([][]int64, len(v.periods.starts))
	for i := range counts {
		counts[i] = make([]int64, len(durationRanges()))
	}
	for _, p := range v.Pipelines {
		if i := v.periods.index(p.Day); i >= 0 {
			addTo(counts[i], v.grouped(p.Durations))
		}
	}
	var all []series
	for r, named := range durationRanges() {
		shares := make([]float64, len(counts))
		for i, c := range counts {
			var sum int64
			for _, n := range c {
				sum += n
			}
			shares[i] = ratio(c[r], sum)
		}
		all = append(all, series{named.name, shares})
	}
	return all
}

func (v *view) installations() g.Group {
	i := &v.Installations
	if i.Started+i.Completed+i.Failed+i.Removed == 0 {
		return g.Group{para("None began or ended in this time.")}
	}
	body := g.Group{
		facts(
			fact{"Begun", g.Text(comma(i.Started))},
			fact{"Completed", g.Text(comma(i.Completed))},
			fact{"Not ready in time", g.Text(comma(i.Failed))},
			fact{"Success rate", g.Text(fmt.Sprintf("%s of those that completed or failed", percent(i.Completed, i.Completed+i.Failed)))},
			fact{"Removed", g.Text(comma(i.Removed))},
		),
		table("Completed and failed installations, by reason", []column{words("Reason"), numbers("Installations")}, countRows(i.Reasons)),
	}
	if i.Completed == 0 {
		return body
	}
	c := &chart{id: "installed", title: "How long installations took", about: "Of those that completed.", of: "duration"}
	var values []float64
	for r, n := range v.grouped(i.Durations) {
		c.axis = append(c.axis, durationRanges()[r].name)
		values = append(values, float64(n))
	}
	c.rows, c.series = c.axis, []series{{"Installations", values}}
	return append(body, c)
}

// countRows are counts by text, the highest first.
func countRows(counts map[string]int64) [][]cell {
	var rows [][]cell
	for _, key := range byCount(counts) {
		rows = append(rows, []cell{textCell(cmp.Or(key, "none")), numberCell(counts[key])})
	}
	return rows
}

func byCount(counts map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
}
