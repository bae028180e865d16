// SPDX-License-Identifier: Apache-2.0

package html

import (
	"encoding/json"
	"fmt"
	"slices"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// maxPayload is how much of a payload a page shows. Nothing that the plan allows comes near it, but for white space.
const maxPayload = 64 << 10

// plan explains each event of the plan by the earliest that was sent.
func (v *view) plan() g.Group {
	body := g.Group{
		para("For each event of the plan the earliest one of the bucket, byte for byte as it was sent, with each of its properties explained. A pseudonym stands for a name and has to be treated as personal data by whoever could guess the name; activity is what was done and when; technical are facts about product and platform."),
		h.Details(h.Summary(g.Text("What every event has beside its properties")), table("Fields of every event", []column{words("Field"), words("What it is")}, [][]cell{
			{codeCell("type"), textCell("always track: something happened")},
			{codeCell("messageId"), textCell("which event it is, for ever: the UID of an object and what happened to it; a destination that gets it twice knows it by that")},
			{codeCell("event"), textCell("its name in the tracking plan")},
			{codeCell("timestamp"), textCell("when it happened")},
			{codeCell("anonymousId"), textCell("always anonymous: no person is told from another")},
			{codeCell("context.library"), textCell("the program that made it, and its version")},
			{codeCell("context.device.id"), textCell("the pseudonym of the cluster, as in clusterIdHash")},
		})),
	}
	for i := range v.Plan.Events {
		body = append(body, v.event(&v.Plan.Events[i]))
	}
	return body
}

func (v *view) event(e *telemetry.EventSpec) g.Node {
	at := slices.IndexFunc(v.Samples, func(s audit.Sample) bool { return s.Event == e.Name })
	var call struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	sample := g.Node(para("The bucket has none."))
	if at >= 0 {
		s := v.Samples[at]
		if err := json.Unmarshal([]byte(s.Payload), &call); err != nil { // an audit takes no such sample
			call.Properties = nil
		}
		shown := s.Payload[:min(len(s.Payload), maxPayload)]
		sample = h.Div(
			h.P(g.Text("As it was sent, from "), code(s.Key), g.Textf(", row %s:", comma(s.Row))),
			h.Pre(h.TabIndex("0"), h.Aria("label", e.Name+" as it was sent"), h.Code(text(shown))),
			g.If(len(shown) < len(s.Payload), para("It has %s bytes more.", comma(int64(len(s.Payload)-len(shown))))),
		)
	}
	var rows [][]cell
	for i := range e.Properties {
		p := &e.Properties[i]
		value := textCell("")
		if raw, ok := call.Properties[p.Name]; ok {
			value = codeCell(string(raw))
		} else if at >= 0 {
			value = textCell("left out")
		}
		rows = append(rows, []cell{codeCell(p.Name), value, textCell(p.Why()), textCell(p.DescribeType()), textCell(p.Source), wholeCell(string(p.Sensitivity))})
	}
	once := ""
	if e.OncePerObject {
		once = " It happens once in the life of an object."
	}
	return h.Details(h.ID("event-"+slug(e.Name)), h.Class("event"),
		h.Summary(h.H3(g.Text(e.Name)), h.Span(g.Text(fmt.Sprintf("%s; %s", plural(v.events[e.Name], "event", "events"), plural(int64(len(e.Properties)), "property", "properties"))))),
		facts(
			fact{"Collected for", g.Text(e.Question + once)},
			fact{"Read from", g.Text(e.Source)},
			fact{"Happened at", g.Text(e.Timestamp)},
			fact{"Message ID", h.Code(g.Text(e.MessageID))},
			fact{"Sent since", g.Text("release " + e.Since)},
		),
		sample,
		table("Properties of "+e.Name, []column{words("Property"), words("Here"), words("Why"), words("What it may be"), words("Read from"), words("Sensitivity")}, rows),
	)
}
