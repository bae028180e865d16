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
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// badge says in a word how something is. The word says it all; the colour repeats it.
func badge(good bool, word string) g.Node {
	if good {
		return h.Span(h.Class("badge good"), g.Text("✓ "+word))
	}
	return h.Span(h.Class("badge bad"), g.Text("! "+word))
}

func (v *view) delivery() g.Group {
	if len(v.Destinations) == 0 {
		return g.Group{para("To nobody: no destination has a receipt.")}
	}
	var rows [][]cell
	for _, d := range v.Destinations {
		state := badge(true, "all delivered")
		switch {
		case d.Pending > 0:
			state = badge(false, "not done")
		case d.Rejected > 0:
			state = badge(false, "some refused")
		}
		rows = append(rows, []cell{
			textCell(d.Destination), nodeCell(state), numberCell(d.Staged), numberCell(d.Delivered), numberCell(d.Rejected), numberCell(d.Pending),
			numberCell(d.SentAgain), timeCell(d.Last), listCell(assurances(d.Assurance)), listCell(counted(d.Reasons)),
		})
	}
	return g.Group{
		para("Staged is delivered, rejected and pending together. What delivered means is what the destination's protocol lets anybody know: taken or accepted (it said so), indexed (it can be searched for), sent (the protocol has no answer). Sent again is what was delivered once more on purpose, under the same IDs."),
		table("Delivery, by destination", []column{
			words("Destination"), words("State"), numbers("Staged"), numbers("Delivered"), numbers("Rejected"), numbers("Pending"),
			numbers("Sent again"), words("Last delivery"), words("Delivered means"), words("Why rejected"),
		}, rows),
	}
}

func assurances(counts map[string]int64) []string {
	var list []string
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, cmp.Or(word, "taken"))
	}
	return list
}

func counted(counts map[string]int64) []string {
	var list []string
	for _, key := range byCount(counts) {
		list = append(list, fmt.Sprintf("%s: %s", cmp.Or(key, "no reason"), comma(counts[key])))
	}
	return list
}

// maxOfKind is how many findings of one kind a page has.
const maxOfKind = 50

func (v *view) findings() g.Group {
	var body g.Group
	if v.Clean {
		body = append(body, h.P(badge(true, "none"), g.Text(" Every object was compared with what names it, every value with the plan, and what was staged with what was delivered.")))
	} else {
		body = append(body, h.P(badge(false, plural(v.FindingsTotal, "finding", "findings")), g.Text(" Each says where it is and what to do.")),
			findingTable("Findings", v.Findings, v.FindingsTotal))
	}
	body = append(body, h.H3(h.ID("notices"), g.Text("Worth knowing")))
	if len(v.Notices) == 0 {
		return append(body, para("Nothing else."))
	}
	return append(body, para("Nothing here has to be put right: what is still under way, what was done on purpose, what is told elsewhere."), findingTable("Notices", v.Notices, int64(len(v.Notices))))
}

// findingTable has the first of each kind, of so many in all.
func findingTable(caption string, list []audit.Finding, all int64) g.Node {
	seen := map[audit.Kind]int{}
	var rows [][]cell
	for _, f := range list {
		if seen[f.Kind]++; seen[f.Kind] > maxOfKind || len(rows) == maxRows {
			continue
		}
		where := g.Group{}
		if f.Key != "" {
			where = append(where, code(f.Key))
		}
		if f.Row > 0 {
			where = append(where, g.Textf(" row %s", comma(f.Row)))
		}
		if f.Row > 0 && f.Count > 1 {
			where = append(where, g.Textf(" and %s more", comma(f.Count-1)))
		} else if f.Row == 0 && f.Count > 0 {
			where = append(where, g.Textf(" %s", plural(f.Count, "event", "events")))
		}
		if f.Line > 0 {
			where = append(where, g.Textf(" line %d of the list of names", f.Line))
		}
		rows = append(rows, []cell{textCell(string(f.Kind)), nodeCell(where...), textCell(f.Text), textCell(f.Advice)})
	}
	columns := []column{words("Kind"), words("Where"), words("What"), words("What to do")}
	if !slices.ContainsFunc(list, func(f audit.Finding) bool { return f.Advice != "" }) {
		columns = columns[:3]
		for i := range rows {
			rows[i] = rows[i][:3]
		}
	}
	return g.Group{table(caption, columns, rows), leftOut(all - int64(len(rows)))}
}

// names is left out if no name was asked for.
func (v *view) names() g.Group {
	var body g.Group
	if n := v.Names; n != nil {
		body = append(body, h.P(badge(n.Hits == 0, plural(n.Hits, "place", "places")), g.Textf(
			" %s of %s names were searched for, in any case and encoding, in %s: every column, document and key.", comma(int64(n.Searched)), comma(int64(n.Lines)), humanize.Bytes(uint64(max(0, n.Bytes))))))
	}
	if len(v.Reproduced) == 0 {
		return body
	}
	var rows [][]cell
	for _, o := range v.Reproduced {
		rows = append(rows, []cell{textCell(o.Label), pseudonymCell(o.Pseudonym), numberCell(o.Events), numberCell(o.Batches), timeCell(o.First), timeCell(o.Last), listCell(counted(o.Properties))})
	}
	return append(body, table("What the name becomes, and where that is", []column{words("As"), words("Pseudonym"), numbers("Events"), numbers("Batches"), words("First"), words("Last"), words("In")}, rows))
}

func (v *view) groups() g.Group {
	var rows [][]cell
	for _, s := range v.SmallGroups {
		var smallest []string
		for _, one := range s.Smallest {
			smallest = append(smallest, fmt.Sprintf("%s (%s)", one.Value, comma(one.Size)))
		}
		rows = append(rows, []cell{textCell(s.By), numberCell(s.Groups), numberCell(s.Small), listCell(smallest)})
	}
	if rows == nil {
		return nil
	}
	return g.Group{
		para("Groups in which somebody who was there might be recognised: pseudonyms with fewer than %d events, and activities of fewer than %[1]d namespaces. Whether that matters is for people to decide.", v.K),
		table("Small groups", []column{words("What they have in common"), numbers("Groups"), numbers("Small"), words("The smallest")}, rows),
	}
}

func (v *view) clusters() g.Group {
	if len(v.Clusters) == 0 {
		return g.Group{para("There is none: the bucket holds no batch.")}
	}
	var rows [][]cell
	for _, c := range v.Clusters {
		var sources []string
		for _, source := range slices.SortedFunc(maps.Keys(c.Coverage), func(a, b record.SourceName) int { return strings.Compare(a.String(), b.String()) }) {
			spans := c.Coverage[source]
			var read []string
			for _, s := range spans[:min(len(spans), 3)] {
				read = append(read, stamp(s.Since)+" to "+stamp(s.Until))
			}
			if more := len(spans) - len(read); more > 0 {
				read = append(read, fmt.Sprintf("%d spans more", more))
			}
			sources = append(sources, source.String()+": "+strings.Join(read, "; "))
		}
		rows = append(rows, []cell{
			pseudonymCell(c.Cluster), numberCell(c.Batches), numberCell(c.Events), timeCell(c.Since), timeCell(c.Until),
			listCell(c.Schemes), listCell(c.Producers), numberCell(c.LeftOut), listCell(sources),
		})
	}
	return g.Group{
		para("A cluster is known by the pseudonym of its ID. Left out are events that broke the plan: they were never staged, and have not left."),
		table("Clusters, and for which time each source was read", []column{
			words("Cluster"), numbers("Batches"), numbers("Events"), words("Read from"), words("To"), words("Names hidden by"), words("Staged by"), numbers("Left out"), words("What was read"),
		}, rows),
	}
}
