// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf16"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// minName is the length, in bytes, below which a name is not searched for: shorter texts are
// everywhere by chance.
const minName = 4

// A names searches texts for many names and their encodings at once. Each pattern is found by its
// first four bytes, in a filter that fits the processor's cache, and then compared. It is
// safe for concurrent use.
type names struct {
	folded, exact table // folded disregards case
	unsearched    []unsearched
	lines, count  int
}

// unsearched is a name that is not searched for, and why.
type unsearched struct {
	line int
	why  string
}

// A pattern is a name in one of its encodings.
type pattern struct {
	text     []byte
	line     int
	encoding string
}

// A hit is a pattern in a text.
type hit struct {
	*pattern
	start int
}

const filterBits = 18

type table struct {
	filter  [1 << filterBits / 64]uint64
	byStart map[uint32][]pattern
}

// newNames prepares the search for the names, one a line; empty lines are passed over. What the
// words of the plan contain is not searched for as it is, since it would be found in every event.
func newNames(lines []string, plan *telemetry.Plan) *names {
	n := &names{}
	words := vocabulary(plan)
	for i, name := range lines {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		line := i + 1
		n.lines++
		switch plain := strings.ToLower(name); {
		case len(name) < minName:
			n.unsearched = append(n.unsearched, unsearched{line, fmt.Sprintf("it has fewer than %d bytes, which occur anywhere by chance", minName)})
			continue
		case strings.Contains(words, plain):
			n.unsearched = append(n.unsearched, unsearched{line, "it is part of a word that every stage has; its encodings are searched for"})
		case len(name) <= 8 && strings.Trim(plain, "0123456789abcdef-") == "":
			n.unsearched = append(n.unsearched, unsearched{line, "it could be part of any hash or number; its encodings are searched for"})
		default:
			n.plain(name, line)
		}
		n.count++
		n.encoded(name, line)
	}
	return n
}

// vocabulary returns, in lower case, the words that the plan and the format have of their own.
func vocabulary(plan *telemetry.Plan) string {
	words := []string{
		`{"type":"track","messageId":"anonymousId":"anonymous","event":"timestamp":"context":{"library":{"name":"version":"device":{"id":"properties":`,
		"v1/events/ v1/manifests/ v1/receipts/ v1/rejected/ v1/leases/ v1/store.json v1/probe/ cluster= date= .parquet merged- replay- rejected-",
		"format producer window since until plan hash files key size sha256 rows minTime maxTime coverage carried once heartbeat violations",
		"property rule count extract pseudonymScheme pseudonymKeyId hmac-sha256 sources outcome objects records invalid bytes seconds error",
		"replaces damaged destination batch started finished delivered reasons rejections assurance accepted indexed ofRejected holder epoch",
		"semantics createOnly ifMatch readAfterWrite listOrder delete konfluxVersion kubernetesVersion segment splunk stdout file kong slice",
		"message_id segment-bridge.format segment-bridge.plan " + plan.Name,
	}
	for i := range plan.Events {
		e := &plan.Events[i]
		words = append(words, e.Name, e.MessageID)
		for j := range e.Properties {
			words = append(append(words, e.Properties[j].Name, columnName(&e.Properties[j])), e.Properties[j].Words...)
		}
	}
	return strings.ToLower(strings.Join(words, "\n"))
}

// plain adds the name as it is, in any case.
func (n *names) plain(name string, line int) {
	for _, form := range forms(name) {
		n.folded.add(form, line, "as it is")
	}
}

// forms returns the name, and what it is in lower and upper case.
func forms(name string) []string { return []string{name, strings.ToLower(name), strings.ToUpper(name)} }

// encoded adds the encodings of the name.
func (n *names) encoded(name string, line int) {
	for _, form := range forms(name) {
		n.folded.add(hex.EncodeToString([]byte(form)), line, "hexadecimal")
		for _, escaped := range []string{url.PathEscape(form), url.QueryEscape(form), percent(form)} {
			if escaped != form {
				n.folded.add(escaped, line, "percent-encoded")
			}
		}
		quoted, _ := json.Marshal(form) // a string always marshals
		for _, escaped := range []string{
			string(quoted[1 : len(quoted)-1]), strings.ReplaceAll(form, "/", `\/`), escape(form, 0x7f), escape(form, 0),
		} {
			if escaped != form {
				n.folded.add(escaped, line, "JSON-escaped")
			}
		}
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for _, text := range fragments(encoding, form) {
				n.exact.add(text, line, "base64")
			}
		}
	}
}

// percent encodes every byte.
func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// escape writes the characters from least on as JSON escapes.
func escape(s string, least rune) string {
	var b strings.Builder
	for _, c := range s {
		if c < least {
			b.WriteRune(c)
			continue
		}
		for _, unit := range utf16.Encode([]rune{c}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// minFragment is how much of base64 must be left of a name.
const minFragment = 6

// fragments returns what of the base64 of a text that contains the name depends on the name alone,
// for each of the three ways in which it may be aligned, and the base64 of the name itself.
func fragments(encoding *base64.Encoding, name string) []string {
	all := []string{encoding.EncodeToString([]byte(name))}
	for before := range 3 {
		text := encoding.EncodeToString(append(make([]byte, before), name...))
		text = text[(8*before+5)/6 : 8*(before+len(name))/6]
		if len(text) >= minFragment {
			all = append(all, text)
		}
	}
	return all
}

func (t *table) add(text string, line int, encoding string) {
	if t.byStart == nil {
		t.byStart = map[uint32][]pattern{}
	}
	p := pattern{bytes.Clone([]byte(text)), line, encoding}
	if encoding != "base64" {
		lower(p.text)
	}
	start := binary.LittleEndian.Uint32(p.text)
	for _, other := range t.byStart[start] {
		if other.line == line && bytes.Equal(other.text, p.text) {
			return
		}
	}
	t.byStart[start] = append(t.byStart[start], p)
	slot := slotOf(start)
	t.filter[slot/64] |= 1 << (slot % 64)
}

func slotOf(start uint32) uint32 { return start * 0x9e3779b1 >> (32 - filterBits) }

// lower folds the case of ASCII letters; other bytes stay as they are.
func lower(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}

func (t *table) search(text []byte, found func(hit)) {
	for i := 0; i+minName <= len(text); i++ {
		start := binary.LittleEndian.Uint32(text[i:])
		if slot := slotOf(start); t.filter[slot/64]&(1<<(slot%64)) == 0 {
			continue
		}
		for j := range t.byStart[start] {
			if p := &t.byStart[start][j]; bytes.HasPrefix(text[i:], p.text) {
				found(hit{p, i})
			}
		}
	}
}

// A searcher searches texts for names, one at a time.
type searcher struct {
	*names
	buf   []byte
	bytes int64
}

// search tells found of each name in the text.
func (s *searcher) search(text []byte, found func(hit)) {
	s.bytes += int64(len(text))
	if s.exact.byStart != nil {
		s.exact.search(text, found)
	}
	if s.folded.byStart != nil {
		s.buf = append(s.buf[:0], text...)
		lower(s.buf)
		s.folded.search(s.buf, found)
	}
}

// mask replaces the names in a key by where they stand in the list.
func (n *names) mask(key string) string {
	if n == nil {
		return key
	}
	s := searcher{names: n}
	for range len(key) { // what is put in may be a name again
		before := key
		s.search([]byte(before), func(h hit) {
			if key == before {
				key = fmt.Sprintf("%s{%d}%s", key[:h.start], h.line, key[h.start+len(h.text):])
			}
		})
		if key == before {
			break
		}
	}
	return key
}
