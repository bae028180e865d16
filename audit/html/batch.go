// SPDX-License-Identifier: Apache-2.0

package html

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/dustin/go-humanize"
	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/segment-bridge/segment-bridge/stage"
)

// batch is all that belongs to one batch: its manifest, its receipts, its events.
func (s *server) batch(ctx context.Context, req *http.Request) (g.Node, error) {
	b, err := batchOf(req)
	if err != nil {
		return nil, err
	}
	at, err := number(req)
	if err != nil {
		return nil, err
	}
	document, err := s.ledger.Document(ctx, b.ManifestKey())
	if err != nil {
		return nil, err
	}
	raw := h.Details(h.Summary(g.Text("The manifest, as it is in the bucket")), h.Pre(h.TabIndex("0"), h.Aria("label", "Manifest"), h.Code(lined(document))))
	m, err := stage.ParseManifest(b, document)
	if err != nil {
		return s.batchPage(b, section("manifest", "Manifest", para("It cannot be used: %s", printable(err.Error())), raw)), nil
	}
	receipts, err := s.receipts(ctx, b)
	if err != nil {
		return nil, err
	}
	events, err := s.eventList(ctx, m, at)
	if err != nil {
		return nil, err
	}
	return s.batchPage(b, section("manifest", "Manifest", manifestFacts(m), table("Events, by name", []column{words("Event"), numbers("Events")}, countRows(m.Events)), sources(m), raw),
		section("receipts", "Receipts", receipts),
		section("events", "Events", events),
	), nil
}

func (s *server) batchPage(b stage.Batch, sections ...g.Node) g.Node {
	return page("Batch "+b.Name, g.Group{h.P(h.Class("kicker"), g.Text("Batch")), h.H1(code(b.Name))}, trail(code(b.Name)), g.Group(sections))
}

// lined shows a document of several lines.
func lined(document []byte) g.Node {
	var nodes []g.Node
	rest := string(document[:min(len(document), maxPayload)])
	start := 0
	for i, c := range rest {
		if c == '\n' {
			nodes = append(nodes, text(rest[start:i]), g.Text("\n"))
			start = i + 1
		}
	}
	nodes = append(nodes, text(rest[start:]))
	if more := len(document) - len(rest); more > 0 {
		nodes = append(nodes, g.Textf("\nand %s bytes more", comma(int64(more))))
	}
	return g.Group(nodes)
}

func manifestFacts(m *stage.Manifest) g.Node {
	f := m.Files[0]
	list := []fact{
		{"Cluster", code(m.Cluster.String())},
		{"Read from", g.Text(stamp(m.Window.Since))},
		{"To", g.Text(stamp(m.Window.Until))},
		{"Events", g.Textf("%s, of %s to %s", comma(f.Rows), stamp(m.MinTime), stamp(m.MaxTime))},
		{"Staged by", text(m.Producer.Name + " " + m.Producer.Version)},
		{"Tracking plan", code(m.Plan.Hash)},
		{"Names hidden by", text(string(m.Extract.Scheme) + " " + m.Extract.KeyID)},
		{"File", g.Group{code(f.Key), g.Text(", " + humanize.Bytes(uint64(max(0, f.Size))))}},
		{"SHA-256", code(f.SHA256)},
	}
	if n := len(m.Replaces); n > 0 {
		list = append(list, fact{"Merged from", g.Text(plural(int64(n), "batch", "batches"))})
	}
	for _, v := range m.Violations[:min(len(m.Violations), maxListed)] {
		list = append(list, fact{"Left out, since it broke the plan", g.Group{text(fmt.Sprintf("%s %s: %s", v.Event, v.Property, v.Rule)), g.Text(" (" + comma(v.Count) + ")")}})
	}
	return facts(list...)
}

func sources(m *stage.Manifest) g.Node {
	var rows [][]cell
	for _, s := range m.Extract.Sources {
		rows = append(rows, []cell{textCell(s.Name.String()), nodeCell(badge(!s.Failed(), s.Outcome.String())), numberCell(s.Objects), numberCell(s.Records), numberCell(s.Invalid), textCell(s.Error)})
	}
	return table("How reading went", []column{words("Source"), words("Outcome"), numbers("Objects"), numbers("Records"), numbers("Not understood"), words("What failed")}, rows)
}

// receipts are those of all destinations, the later ones of each included.
func (s *server) receipts(ctx context.Context, b stage.Batch) (g.Node, error) {
	var rows [][]cell
	destinations, err := s.ledger.Destinations(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range destinations {
		key := b.ReceiptKey(d)
		r, err := s.ledger.Receipt(ctx, d, b)
		switch {
		case errors.Is(err, stage.ErrCorrupt), errors.Is(err, stage.ErrNewer):
			rows = append(rows, []cell{textCell(d), nodeCell(badge(false, "cannot be used")), textCell(""), textCell(""), textCell(""), codeCell(key)})
		case errors.Is(err, fs.ErrNotExist):
			rows = append(rows, []cell{textCell(d), nodeCell(badge(false, "not delivered")), textCell(""), textCell(""), textCell(""), textCell("")})
		case err != nil:
			return nil, err
		default:
			rows = append(rows, []cell{textCell(d), nodeCell(badge(r.Rejected == 0, "delivered")), numberCell(r.Delivered), numberCell(r.Rejected), timeCell(r.Finished), codeCell(key)})
		}
	}
	if rows == nil {
		return para("No destination has any."), nil
	}
	return table("Receipts", []column{words("Destination"), words("State"), numbers("Delivered"), numbers("Rejected"), words("Finished"), words("Where")}, rows), nil
}

// eventList is a page of the batch's events. What comes is checked against the hash in the manifest first.
func (s *server) eventList(ctx context.Context, m *stage.Manifest, at int) (g.Node, error) {
	var rows [][]cell
	row, more := int64(0), false
	for track, err := range s.ledger.Tracks(ctx, m) {
		if errors.Is(err, stage.ErrCorrupt) {
			return para("They cannot be read: %s", printable(err.Error())), nil
		} else if err != nil {
			return nil, err
		}
		if row++; row <= int64(at)*eventsAPage {
			continue
		}
		if more = len(rows) == eventsAPage; more {
			break
		}
		rows = append(rows, []cell{
			numberCell(row), wholeCell(stamp(track.Time)), textCell(track.Event),
			nodeCell(code(string(track.Payload[:min(len(track.Payload), maxPayload)]))),
		})
	}
	if rows == nil && at > 0 {
		return nil, errNoPage
	}
	path := address(m.ID())
	return g.Group{
		para("Each exactly as it is sent."),
		table(fmt.Sprintf("Events, page %d", at+1), []column{numbers("Row"), words("Happened"), words("Event"), words("As it is sent")}, rows),
		turn(path, at, more),
	}, nil
}
