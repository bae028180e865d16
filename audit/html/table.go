// SPDX-License-Identifier: Apache-2.0

package html

import (
	"strconv"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// maxRows is how many rows a table has at most, and maxListed how many things stand in a cell.
const (
	maxRows   = 300
	maxListed = 10
)

// A column of a table. One of numbers is set to the right and sorts by value.
type column struct {
	title  string
	number bool
}

func words(title string) column   { return column{title: title} }
func numbers(title string) column { return column{title: title, number: true} }

// A cell of a table.
type cell struct {
	show g.Node
	sort string // what it sorts by, unless by what it shows
}

func textCell(s string) cell     { return cell{show: text(s)} }
func codeCell(s string) cell     { return cell{show: code(s)} }
func nodeCell(n ...g.Node) cell  { return cell{show: g.Group(n)} }
func numberCell(n int64) cell    { return cell{show: g.Text(comma(n)), sort: strconv.FormatInt(n, 10)} }
func shareCell(n, of int64) cell { return cell{g.Text(percent(n, of)), share(n, of)} }
func timeCell(t time.Time) cell  { return wholeCell(stamp(t)) }
func wholeCell(s string) cell    { return cell{show: h.Span(h.Class("whole"), text(s))} }
func pseudonymCell(p telemetry.Pseudonym) cell {
	return cell{show: h.Span(h.Class("whole"), code(p.String()))}
}
func listCell(list []string) cell  { return cell{show: listed(list)} }
func share(part, all int64) string { return strconv.FormatFloat(ratio(part, all), 'f', -1, 64) }

func ratio(part, all int64) float64 {
	if all == 0 {
		return 0
	}
	return float64(part) / float64(all)
}

// listed is a list of texts, of which the first are shown.
func listed(list []string) g.Node {
	if len(list) == 0 {
		return g.Text("none")
	}
	var items []g.Node
	for _, s := range list[:min(len(list), maxListed)] {
		items = append(items, h.Li(text(s)))
	}
	if more := len(list) - maxListed; more > 0 {
		items = append(items, h.Li(g.Textf("and %s more", comma(int64(more)))))
	}
	return h.Ul(h.Class("plain"), g.Group(items))
}

// table is a table that sorts and, if it is long, filters. On a phone each row becomes a card, in which each cell says its
// title: therefore the roles. The first cell names its row. Of more than maxRows rows, it tells how many are left out.
func table(caption string, columns []column, rows [][]cell) g.Node {
	head := make([]g.Node, len(columns))
	for i, c := range columns {
		head[i] = h.Th(h.Role("columnheader"), g.Attr("scope", "col"), g.If(c.number, h.Class("number")), g.Text(c.title))
	}
	shown := rows[:min(len(rows), maxRows)]
	body := make([]g.Node, len(shown))
	for i, row := range shown {
		cells := make([]g.Node, len(row))
		for j, c := range row {
			inner := g.Group{
				g.If(columns[j].number, h.Class("number")), g.If(c.sort != "", h.Data("sort", c.sort)),
				h.Data("title", columns[j].title), h.Div(c.show),
			}
			if j == 0 {
				cells[j] = h.Th(h.Role("rowheader"), g.Attr("scope", "row"), inner)
			} else {
				cells[j] = h.Td(h.Role("cell"), inner)
			}
		}
		body[i] = h.Tr(h.Role("row"), g.Group(cells))
	}
	return h.Div(h.Class("table"),
		h.Table(h.Role("table"),
			h.Caption(g.Text(caption)),
			h.THead(h.Role("rowgroup"), h.Tr(h.Role("row"), g.Group(head))),
			h.TBody(h.Role("rowgroup"), g.Group(body)),
		),
		leftOut(int64(len(rows)-len(shown))),
	)
}

// leftOut says that there is more than the page shows; nil if there is not.
func leftOut(n int64) g.Node {
	if n <= 0 {
		return nil
	}
	return h.P(h.Class("more"), g.Textf("%s more are left out here; ", comma(n)), h.Code(g.Text("segment-bridge audit --format json")), g.Text(" has all."))
}

// A fact is a term and what it is.
type fact struct {
	term string
	is   g.Node
}

func facts(list ...fact) g.Node {
	var nodes []g.Node
	for _, f := range list {
		nodes = append(nodes, h.Div(h.Dt(g.Text(f.term)), h.Dd(f.is)))
	}
	return h.Dl(h.Class("facts"), g.Group(nodes))
}
