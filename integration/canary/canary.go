// SPDX-License-Identifier: Apache-2.0

// Package canary finds names where none may be: as they are, and in the encodings that a name can slip through in. It shares
// no code with the program, whose own search is under test as well.
package canary

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// shortest is the least length of a pattern: what is shorter occurs by chance.
const shortest = 6

// A Search looks for names. It is safe for concurrent use.
type Search struct {
	folded, exact *table // folded are in lower case
}

// A Hit is a name that was found.
type Hit struct{ Name, Encoding string }

type pattern struct {
	text []byte
	hit  Hit
}

// A table has patterns by their first four bytes, and a filter that says of most bytes at once that no pattern starts so.
type table struct {
	filter  [1 << filterBits / 64]uint64
	byStart map[uint32][]pattern
}

const filterBits = 20

// bit returns where the filter has a start.
func bit(start uint32) (word uint32, mask uint64) {
	hash := start * 2654435761 >> (32 - filterBits)
	return hash / 64, 1 << (hash % 64)
}

// New returns a search for the names, of at least six bytes each, in whatever case; an unsalted hash counts as an
// encoding, since everybody can try names on it.
func New(names []string) (*Search, error) {
	s := &Search{&table{byStart: map[uint32][]pattern{}}, &table{byStart: map[uint32][]pattern{}}}
	for _, name := range names {
		if len(name) < shortest {
			return nil, fmt.Errorf("name %q is too short to be looked for", name)
		}
		s.folded.add(name, "as it is", strings.ToLower(name))
		s.folded.add(name, "percent-encoding", each("%%%02x", name))
		for _, form := range []string{url.QueryEscape(name), url.PathEscape(name)} {
			if form != name {
				s.folded.add(name, "URL encoding", strings.ToLower(form))
			}
		}
		s.folded.add(name, "JSON escapes", each(`\u%04x`, name))
		s.folded.add(name, "UTF-16", each("%c\x00", strings.ToLower(name)))
		for _, form := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			s.folded.add(name, "hexadecimal", hex.EncodeToString([]byte(form)))
			for shift := range 3 {
				// The characters that belong to the name alone, wherever it stands in what was encoded.
				from, to := (8*shift+5)/6, 8*(shift+len(form))/6
				for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
					s.exact.add(name, "base64", alphabet.EncodeToString([]byte(strings.Repeat("x", shift) + form))[from:to])
				}
			}
		}
		md, sha, sha2 := md5.Sum([]byte(name)), sha1.Sum([]byte(name)), sha256.Sum256([]byte(name))
		for _, sum := range [][]byte{md[:], sha[:], sha2[:]} {
			s.folded.add(name, "an unsalted hash", hex.EncodeToString(sum)[:12])
		}
	}
	return s, nil
}

// each writes each byte of a name in that format.
func each(format, name string) string {
	var b strings.Builder
	for i := range len(name) {
		fmt.Fprintf(&b, format, name[i])
	}
	return b.String()
}

func (t *table) add(name, encoding, text string) {
	start := binary.LittleEndian.Uint32([]byte(text))
	for _, p := range t.byStart[start] {
		if string(p.text) == text {
			return
		}
	}
	word, mask := bit(start)
	t.filter[word] |= mask
	t.byStart[start] = append(t.byStart[start], pattern{[]byte(text), Hit{name, encoding}})
}

// find calls found for each pattern that the text has.
func (t *table) find(text []byte, found func(Hit)) {
	for i := 0; i+4 <= len(text); i++ {
		start := binary.LittleEndian.Uint32(text[i:])
		if word, mask := bit(start); t.filter[word]&mask == 0 {
			continue
		}
		for _, p := range t.byStart[start] {
			if bytes.HasPrefix(text[i:], p.text) {
				found(p.hit)
			}
		}
	}
}

// In returns each name and encoding that the content has, once.
func (s *Search) In(content []byte) []Hit {
	var hits []Hit
	seen := map[Hit]bool{}
	found := func(h Hit) {
		if !seen[h] {
			seen[h] = true
			hits = append(hits, h)
		}
	}
	s.exact.find(content, found)
	s.folded.find(bytes.ToLower(content), found)
	return hits
}
