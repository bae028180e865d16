// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// secret is a name with all that an encoding may change.
const secret = "Zoë O'Quokka <z+q/ä@example.com>"

func jsonEscaped(s string) string {
	quoted, _ := json.Marshal(s)
	return strings.Trim(string(quoted), `"`)
}

func asciiEscaped(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c < 0x80 {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, `\u%04X`, c)
		}
	}
	return b.String()
}

// encodings are the ways in which a name may be written.
var encodings = map[string]func(string) string{
	"as it is":           func(s string) string { return s },
	"lower case":         strings.ToLower,
	"upper case":         strings.ToUpper,
	"mixed case":         func(s string) string { return s[:4] + strings.ToUpper(s[4:9]) + s[9:] },
	"inside a word":      func(s string) string { return "x" + s + "y" },
	"hexadecimal":        func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEXADECIMAL":        func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"hex of lower case":  func(s string) string { return hex.EncodeToString([]byte(strings.ToLower(s))) },
	"path-escaped":       url.PathEscape,
	"query-escaped":      url.QueryEscape,
	"percent everywhere": func(s string) string { return "%" + strings.Join(pairs(hex.EncodeToString([]byte(s))), "%") },
	"JSON":               jsonEscaped,
	"ASCII JSON":         asciiEscaped,
	"slashes escaped":    func(s string) string { return strings.ReplaceAll(s, "/", `\/`) },
	"base64":             func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 shifted 1":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte("x" + s + "yz")) },
	"base64 shifted 2":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte("xy" + s + "z")) },
	"base64 for URLs":    func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("xyz" + s)) },
	"base64 of lower":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(strings.ToLower(s))) },
	"base64 of upper":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte("q" + strings.ToUpper(s))) },
}

func pairs(s string) (all []string) {
	for p := range slices.Chunk([]byte(s), 2) {
		all = append(all, string(p))
	}
	return all
}

// spots are where a name may stand, and the object that a finding names.
var spots = map[string]struct {
	key   string
	plant func(p *place, name string)
	early bool
}{
	"a column": {"/events/", func(p *place, name string) { p.rewrite(1, func(c *cells) { c.set(3, "user_hash", name) }) }, true},
	"the payload": {"/events/", func(p *place, name string) {
		p.rewrite(1, func(c *cells) { c.set(3, "payload", c.get(3, "payload")+name) })
	}, true},
	"a message ID":    {"/events/", func(p *place, name string) { p.rewrite(1, func(c *cells) { c.set(3, "message_id", name) }) }, true},
	"the last row":    {"/events/", func(p *place, name string) { p.rewrite(1, func(c *cells) { c.set(11, "konflux_version", name) }) }, true},
	"the plan's hash": {"/events/", func(p *place, name string) { p.withColumn("note", name) }, true},
	"a column's name": {"/events/", func(p *place, name string) { p.withColumn(name, catalogue.Plan().Hash()) }, true},
	"what is no data": {"/events/", func(p *place, name string) {
		p.renew(1, strings.Repeat("x", 1<<20-20)+name+strings.Repeat("x", 99), func(*stage.Manifest) {})
	}, true},
	"a manifest":       {"/manifests/", func(p *place, name string) { p.edit(1, func(m *stage.Manifest) { m.Extract.Sources[0].Error = name }) }, false},
	"no manifest":      {"/manifests/", func(p *place, name string) { p.put(p.m[1].ID().ManifestKey(), name) }, false},
	"a receipt":        {"/receipts/", func(p *place, name string) { p.put(p.m[1].ID().ReceiptKey("segment"), name) }, false},
	"a reason":         {"/rejected/", func(p *place, name string) { p.reject(name) }, true},
	"a lease":          {"/leases/", func(p *place, name string) { p.put("v1/leases/segment/"+p.m[1].ID().String()+".json", name) }, false},
	"the store record": {"store.json", func(p *place, name string) { p.put("v1/store.json", name) }, false},
	"a probe":          {"/probe/", func(p *place, name string) { p.put("v1/probe/a-x", name) }, false},
	"an orphan": {"20261121T", func(p *place, name string) {
		p.put(strings.Replace(strings.Replace(p.m[1].Files[0].Key, "date=2026-11-22", "date=2026-11-21", 1), "/20261122T", "/20261121T", 1), name)
	}, false},
	"an orphaned receipt": {"20261121T", func(p *place, name string) {
		p.put(strings.Replace(p.m[1].ID().ReceiptKey("segment"), "/20261122T", "/20261121T", 1), name)
	}, false},
	"data that was changed": {"/events/", func(p *place, name string) { p.put(p.m[1].Files[0].Key, name) }, false},
	"rejected events that no receipt names": {"/rejected/", func(p *place, name string) {
		p.put("v1/rejected/segment/"+p.m[1].ID().String()+".0123456789abcdef.parquet", name)
	}, false},
}

// reject rejects an event of the second batch for a reason of its own.
func (p *place) reject(reason string) {
	p.t.Helper()
	for track, err := range p.ledger.Tracks(p.t.Context(), p.m[1]) {
		if err != nil {
			p.t.Fatal(err)
		}
		m := p.m[1]
		f, err := p.ledger.Reject(p.t.Context(), "segment", m, []stage.Rejection{{MessageID: track.MessageID, Reason: reason}})
		if err != nil {
			p.t.Fatal(err)
		}
		err = p.ledger.PutReceipt(p.t.Context(), &stage.Receipt{
			Destination: "segment", Cluster: m.Cluster, Batch: m.Batch, Started: m.MinTime, Finished: m.MaxTime, Events: 12,
			Delivered: 11, Rejected: 1, Reasons: map[string]int64{reason: 1}, Rejections: f,
		})
		if err != nil {
			p.t.Fatal(err)
		}
		return
	}
}

// wantHit checks that the name was found in the object, and stands nowhere in the report.
func wantHit(t *testing.T, r *audit.Report, key string, raw ...string) {
	t.Helper()
	hit := slices.ContainsFunc(r.Findings, func(f audit.Finding) bool {
		return f.Kind == audit.NameFound && f.Line == 3 && strings.Contains(f.Key, key)
	})
	if !hit || r.Names.Hits == 0 {
		t.Errorf("not found in %s: %+v", key, r.Findings)
	}
	for _, f := range r.Findings {
		if f.Kind == audit.NameFound && f.Line != 3 {
			t.Errorf("another name was found: %+v", f)
		}
	}
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	for _, text := range raw {
		if strings.Contains(strings.ToLower(b.String()), strings.ToLower(text)) {
			t.Errorf("the report has %q:\n%s", text, b.String())
		}
	}
}

var namesToSearch = []string{"another-tenant", "", secret, "wombat-builds", "a third one"}

// A name is found in every place of a stage.
func TestNamesInEveryPlace(t *testing.T) {
	for where, spot := range spots {
		t.Run(where, func(t *testing.T) {
			p := build(t, new(mem.Bucket), func(p *place, number int) {
				if spot.early && number == 1 {
					spot.plant(p, secret)
				}
			})
			if !spot.early {
				spot.plant(p, secret)
			}
			wantHit(t, p.audit(audit.Options{Names: namesToSearch}), spot.key, secret, "quokka")
		})
	}
}

// A name is found in every encoding, in a payload and in a document.
func TestNamesInEveryEncoding(t *testing.T) {
	for how, encode := range encodings {
		text := encode(secret)
		p := build(t, new(mem.Bucket), func(p *place, number int) {
			if number == 1 {
				p.rewrite(1, func(c *cells) { c.set(3, "payload", c.get(3, "payload")+text) })
			}
		})
		p.put("v1/probe/a-x", text)
		t.Run(how, func(t *testing.T) {
			r := p.audit(audit.Options{Names: namesToSearch})
			wantHit(t, r, "/events/", text, "quokka")
			wantHit(t, r, "/probe/", text)
		})
	}
}

// A name in a key is found, and not repeated.
func TestNamesInKeys(t *testing.T) {
	for _, key := range []string{"v1/wombat-builds/x", "v1/events/WOMBAT-Builds.parquet", "x/" + hex.EncodeToString([]byte("wombat-builds"))} {
		p := sound(t)
		p.put(key, "x")
		names := []string{"x marks", "", "wombat-builds"}
		r := p.audit(audit.Options{Names: names})
		wantHit(t, r, "{3}", "wombat", key)
		if !slices.Equal(kinds(r.Findings), []string{"foreign-object", "name-found"}) {
			t.Errorf("findings %+v", r.Findings)
		}
	}
}

// In a stage that has none of the names, none is found.
func TestNoFalseHits(t *testing.T) {
	p := sound(t)
	p.deliver(p.stage(stagetest.Noon.Add(3*60*60*1e9), stagetest.Noon.AddDate(0, 0, 1), 900))
	p.compact()
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprint("tenant-", i), fmt.Sprint("team-", i, "-tenant"), fmt.Sprintf("user%d@example.com", i))
	}
	names = append(names, "cafe", "2026", "deadbeef", "build", "segment", "Release", "abc")
	r := p.audit(audit.Options{Names: names})
	if !r.Clean || r.Names.Lines != 3007 || r.Names.Searched != 3006 || r.Names.Hits != 0 {
		t.Errorf("names %+v, findings %+v", r.Names, r.Findings)
	}
	var lines []int
	for _, n := range r.Notices {
		if n.Kind == audit.NameNotSearched {
			lines = append(lines, n.Line)
		}
	}
	if !slices.Equal(lines, []int{3001, 3002, 3003, 3004, 3005, 3006, 3007}) {
		t.Errorf("not searched for: %d", lines)
	}
}
