// SPDX-License-Identifier: Apache-2.0

package canary_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/segment-bridge/segment-bridge/integration/canary"
)

// A name is found wherever and however it is planted in noise, and named; the noise alone holds none.
func TestSearch(t *testing.T) {
	names := []string{"numbatqzxk", "Numbat Owner", "numbat-wrkj@mail.example.com", "https://git.example.com/numbat/quux?x=1"}
	search, err := canary.New(names)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1<<16)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	noise = append(noise, base64.StdEncoding.EncodeToString(noise[:1<<15])+hex.EncodeToString(noise[:1<<15])...)
	if hits := search.In(noise); len(hits) > 0 {
		t.Fatalf("noise has %v", hits)
	}
	percent := func(name string) string {
		var b strings.Builder
		for _, c := range []byte(name) {
			fmt.Fprintf(&b, "%%%02X", c)
		}
		return b.String()
	}
	escapes := func(name string) string {
		var b strings.Builder
		for _, u := range utf16.Encode([]rune(name)) {
			fmt.Fprintf(&b, `\u%04X`, u)
		}
		return b.String()
	}
	sum := func(name string) string {
		h := sha256.Sum256([]byte(name))
		return hex.EncodeToString(h[:])[:12]
	}
	for _, name := range names {
		for encoding, text := range map[string]string{
			"as it is": name, "upper case": strings.ToUpper(name), "JSON": fmt.Sprintf("%q", name), "URL": url.QueryEscape(name), "path": url.PathEscape(name),
			"percent": percent(name), "escapes": escapes(name), "hex": hex.EncodeToString([]byte(name)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(name))),
			"base64": base64.StdEncoding.EncodeToString([]byte(name)), "base64, one in": base64.StdEncoding.EncodeToString([]byte("{" + name + "}")),
			"base64, two in": base64.RawURLEncoding.EncodeToString([]byte(`{"` + name + `"}`)), "base64, upper case": base64.StdEncoding.EncodeToString([]byte("?" + strings.ToUpper(name))),
			"unsalted": sum(name),
		} {
			for _, at := range []int{0, 12_345, len(noise)} {
				found := search.In(slices.Concat(noise[:at], []byte(text), noise[at:]))
				if !slices.ContainsFunc(found, func(h canary.Hit) bool { return h.Name == name }) {
					t.Errorf("%q as %s at %d is not found: %v", name, encoding, at, found)
				}
			}
		}
	}
	if hits := search.In([]byte("numbatqzx numbat owne " + sum("numbat"))); len(hits) > 0 {
		t.Errorf("parts of names are %v", hits)
	}
	if _, err := canary.New([]string{"short"}); err == nil {
		t.Error("a name of five bytes: no error")
	}
}

// What is planted for a placeholder is a name of its own, and kept in mind.
func TestPlant(t *testing.T) {
	var p canary.Plants
	text := p.Plant(`{"a":"§","b":["https://§.example.com/§"],"c":"N"}`)
	if len(p.Names) != 3 || strings.Contains(text, "§") || !json.Valid([]byte(text)) {
		t.Errorf("planted %q: %s", p.Names, text)
	}
	for i, name := range p.Names {
		if !strings.Contains(text, name) || slices.Contains(p.Names[:i], name) {
			t.Errorf("%q is not in the text, or not the only one", name)
		}
	}
	if where := p.Where(p.Names[1]); !strings.Contains(where, "https://") {
		t.Errorf("the second is planted after %q", where)
	}
}

func BenchmarkSearch(b *testing.B) {
	var p canary.Plants
	for range 2000 {
		p.Name("here")
	}
	search, err := canary.New(p.Names)
	if err != nil {
		b.Fatal(err)
	}
	content := bytes.Repeat([]byte(`{"event":"PipelineRun Started","messageId":"0dd5e7a1-0000-4000-8000-0000000000"}`), 10_000)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		search.In(content)
	}
}
