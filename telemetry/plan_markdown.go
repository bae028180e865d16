// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"bytes"
	"fmt"
	"strings"
)

// Markdown returns the plan as the page that people read: the data dictionary.
func (p *Plan) Markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Tracking plan of %s\n\n", p.Name)
	b.WriteString("Every event and every property that may leave a cluster. What is not listed here cannot be sent: it has no\n" +
		"type to travel in. This page is generated; plan.schema.json beside it is the same as JSON Schema.\n\n")
	fmt.Fprintf(&b, "Plan hash: `%s`\n\n", p.Hash())
	b.WriteString("| event | answers | properties |\n|---|---|---|\n")
	for i := range p.Events {
		e := &p.Events[i]
		names := make([]string, len(e.Properties))
		for j := range e.Properties {
			names[j] = e.Properties[j].Name
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", e.Name, anchor(e.Name), e.Question, strings.Join(names, ", "))
	}
	b.WriteString("\n**Types.** pseudonym: 12 hexadecimal digits that stand for a name; enum: one word of the list given; " +
		"set: some words of the list; counts: a whole number for some words of the list; integer: a whole number, not negative; boolean; time: RFC 3339, UTC, seconds; version: such as v1.36.3. " +
		"There is no type for free text.\n\n" +
		"**Sensitivity.** pseudonym: stands for a name, and must be treated as personal data by whoever could guess the name; " +
		"activity: what was done and when; technical: facts about the product or the platform.\n\n" +
		"Every event is a `track` call of the Segment specification with `anonymousId` \"" + anonymousID + "\", " +
		"`context.library` naming the program, and `context.device.id` equal to `clusterIdHash`.\n")
	for i := range p.Events {
		p.Events[i].markdown(&b)
	}
	return b.Bytes()
}

func (e *EventSpec) markdown(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## %s\n\n", e.Name)
	fmt.Fprintf(b, "%s\n\n", e.Question)
	fmt.Fprintf(b, "- Source: %s\n- Message ID: `%s`\n- Timestamp: %s\n- Since: %s\n", e.Source, e.MessageID, e.Timestamp, e.Since)
	if e.OncePerObject {
		b.WriteString("- Once in the life of an object, however often its state changes later\n")
	}
	b.WriteString("\n| property | type | why | read from | sensitivity | since |\n|---|---|---|---|---|---|\n")
	for i := range e.Properties {
		s := &e.Properties[i]
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", s.Name, s.DescribeType(), s.Why(), s.Source, s.Sensitivity, s.Since)
	}
}

// DescribeType says in words what a value may be.
func (s *PropertySpec) DescribeType() string {
	text := string(s.Type)
	if s.Unit != "" {
		text += ", " + s.Unit
	}
	if len(s.Words) > 0 {
		text += ": " + strings.Join(s.Words, ", ")
	}
	if len(s.Buckets) > 0 {
		text += "; rounded down to one of " + strings.Trim(fmt.Sprint(s.Buckets), "[]")
	}
	if s.Nullable {
		text += "; or null"
	}
	if s.Optional {
		text += "; may be left out"
	}
	return text
}

// Why is the reason, and the question if there is one.
func (s *PropertySpec) Why() string { return strings.TrimSpace(s.Reason + " " + s.Question) }

func anchor(heading string) string {
	return strings.ReplaceAll(strings.ToLower(heading), " ", "-")
}
