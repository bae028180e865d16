// SPDX-License-Identifier: Apache-2.0

package html

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// restyle makes a picture of the charts' library part of a page: it has a title and a description, and its colours become classes,
// since the page's policy knows no style attributes and the page decides what is light and what is dark.
func restyle(svg []byte, id, title, about string) (g.Node, error) {
	d := xml.NewDecoder(bytes.NewReader(svg))
	type element struct {
		name  string
		nodes []g.Node
	}
	var open []element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("read chart: it has no end")
		} else if err != nil {
			return nil, fmt.Errorf("read chart: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			e := element{name: t.Name.Local}
			for _, a := range t.Attr {
				switch {
				case a.Name.Local == "style":
					e.nodes = append(e.nodes, attributes(a.Value)...)
				case a.Name.Space == "" && a.Name.Local != "xmlns":
					e.nodes = append(e.nodes, g.Attr(a.Name.Local, a.Value))
				}
			}
			if len(open) == 0 {
				e.nodes = append(e.nodes, h.Role("img"), h.Aria("labelledby", id+"-t "+id+"-d"),
					g.El("title", h.ID(id+"-t"), g.Text(title)), g.El("desc", h.ID(id+"-d"), g.Text(about)))
			}
			open = append(open, e)
		case xml.CharData:
			if len(open) > 0 && len(bytes.TrimSpace(t)) > 0 {
				open[len(open)-1].nodes = append(open[len(open)-1].nodes, g.Text(string(t)))
			}
		case xml.EndElement:
			last := open[len(open)-1]
			open = open[:len(open)-1]
			node := g.El(last.name, last.nodes...)
			if len(open) == 0 {
				return node, nil
			}
			open[len(open)-1].nodes = append(open[len(open)-1].nodes, node)
		}
	}
}

var numberedColour = regexp.MustCompile(`^rgb\((\d+),0,0\)$`)

// attributes translates a style. The page has its own fonts.
func attributes(style string) []g.Node {
	var nodes []g.Node
	var classes []string
	for declaration := range strings.SplitSeq(style, ";") {
		name, value, _ := strings.Cut(declaration, ":")
		number := numberedColour.FindStringSubmatch(value)
		switch {
		case name == "" || name == "font-family":
		case number != nil:
			classes = append(classes, name+number[1])
		default:
			nodes = append(nodes, g.Attr(name, value))
		}
	}
	if classes != nil {
		nodes = append(nodes, h.Class(strings.Join(classes, " ")))
	}
	return nodes
}
