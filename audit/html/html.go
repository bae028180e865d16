// SPDX-License-Identifier: Apache-2.0

// Package html writes what an audit found as a page for people, and serves that page with one for each batch.
//
// A page is one file: it asks nobody for anything, and its policy forbids it to. It holds what the bucket holds, and nothing
// of the machine that made it. Texts from the bucket may be anybody's: they are escaped, and what is not printable is
// shown as its number.
package html

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // style and script
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/segment-bridge/segment-bridge/audit"
)

var (
	//go:embed style.css
	style string
	//go:embed script.js
	script string
)

// Write writes the report as a page. What is too long for a page is cut, and the page says how much is left out.
func Write(w io.Writer, r *audit.Report) error {
	return render(w, reportPage(r, nil))
}

func render(w io.Writer, page g.Node) error {
	b := bufio.NewWriter(w)
	err := page.Render(b)
	if err == nil {
		err = b.Flush()
	}
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// policy lets a page do what it brings along, and nothing else.
func policy() string {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; style-src " + hash(style) + "; script-src " + hash(script) + "; img-src data:; base-uri 'none'; form-action 'none'"
}

// page is a whole document. nav and main are its landmarks.
func page(title string, header, nav, main g.Node) g.Node {
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(g.Attr("http-equiv", "Content-Security-Policy"), h.Content(policy())),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.Meta(h.Name("referrer"), h.Content("no-referrer")),
			h.TitleEl(g.Text(title)),
			h.Link(h.Rel("icon"), h.Href("data:,")),
			h.StyleEl(g.Raw(style)),
		),
		h.Body(
			h.A(h.Class("skip"), h.Href("#main"), g.Text("Skip to the content")),
			h.Header(header),
			nav,
			h.Main(h.ID("main"), main),
			h.Script(g.Raw(script)),
		),
	))
}

// section is a part of a page with a heading, which the contents link to.
func section(id, title string, body ...g.Node) g.Node {
	return h.Section(h.ID(id), h.Aria("labelledby", id+"-title"), h.H2(h.ID(id+"-title"), g.Text(title)), g.Group(body))
}

func para(format string, args ...any) g.Node { return h.P(g.Textf(format, args...)) }

// text shows a text that may be anybody's.
func text(s string) g.Node { return g.Text(printable(s)) }

// code shows such a text as what it is, letter by letter.
func code(s string) g.Node { return h.Code(text(s)) }

// printable replaces what would not show, or would turn round or hide what stands beside it.
func printable(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func comma(n int64) string { return humanize.Comma(n) }

// plural counts things: "1 event", "2 events", "3 batches".
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return comma(n) + " " + many
}

// stamp is the time to the minute; empty if there is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// percent is a share, to a tenth where that tells. It is 100 % only if it is all.
func percent(part, whole int64) string {
	switch {
	case whole == 0:
		return "none"
	case part == whole:
		return "100 %"
	}
	return fmt.Sprintf("%.1f %%", min(99.9, 100*float64(part)/float64(whole)))
}

// slug is a name as an identifier.
func slug(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}
