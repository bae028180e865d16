// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/extsort"
	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A cluster is one whose batches are being looked at. The auditor's mutex guards it.
type cluster struct {
	Cluster
	audit    *auditor
	batches  []stage.Batch
	ids      *extsort.Sorter // fingerprints of message IDs
	head     *stage.Manifest // whose window ends last
	schemes  map[string]bool
	producer map[string]bool
}

func (a *auditor) newCluster(p telemetry.Pseudonym) *cluster {
	return &cluster{
		Cluster: Cluster{Cluster: p, Coverage: stage.Coverage{}}, audit: a, ids: extsort.New(a.WorkDir, a.MemoryBytes),
		schemes: map[string]bool{}, producer: map[string]bool{},
	}
}

func (c *cluster) close() error { return c.ids.Close() }

// add adds a batch, to be looked at.
func (c *cluster) add(h stage.Holding) *batch {
	c.audit.mu.Lock()
	defer c.audit.mu.Unlock()
	c.batches = append(c.batches, h.Batch)
	return &batch{Holding: h, audit: c.audit, cluster: c, index: uint32(len(c.batches) - 1)}
}

// addIDs adds the fingerprints of message IDs of a batch.
func (c *cluster) addIDs(batch uint32, fingerprints []fingerprint) error {
	c.audit.mu.Lock()
	defer c.audit.mu.Unlock()
	var b [16]byte
	for _, f := range fingerprints {
		binary.BigEndian.PutUint64(b[:], f.hash)
		binary.BigEndian.PutUint32(b[8:], batch)
		binary.BigEndian.PutUint32(b[12:], f.row)
		if err := c.ids.Add(b[:]); err != nil {
			return err
		}
	}
	return nil
}

// manifest adds what the manifest of a batch that counts says of the cluster.
func (c *cluster) manifest(m *stage.Manifest) {
	c.audit.mu.Lock()
	defer c.audit.mu.Unlock()
	c.Batches++
	c.Events += m.Files[0].Rows
	c.audit.totals.Batches++
	c.audit.totals.Events += m.Files[0].Rows
	if c.Since.IsZero() || m.Window.Since.Before(c.Since) {
		c.Since = m.Window.Since
	}
	if m.Window.Until.After(c.Until) {
		c.Until = m.Window.Until
	}
	if c.First.IsZero() || m.MinTime.Before(c.First) {
		c.First = m.MinTime
	}
	if m.MaxTime.After(c.Last) {
		c.Last = m.MaxTime
	}
	if c.head == nil || c.head.ID().Name < m.Batch {
		c.head = m
	}
	c.Coverage.Add(m.Coverage)
	c.producer[c.audit.shown(m.Producer.Name+" "+m.Producer.Version)] = true
	c.schemes[c.audit.shown(schemeOf(&m.Extract))] = true
	for _, v := range m.Violations {
		c.LeftOut += v.Count
	}
}

// shown returns a text of the bucket that is to be in the report, unless it is longer or of other characters
// than this program writes. Names in it are masked.
func (a *auditor) shown(s string) string {
	odd := func(c rune) bool { return !strings.ContainsRune(" .,:;()/+-_", c) && !isPlain(string(c)) }
	if s == "" || len(s) > 100 || strings.ContainsFunc(s, odd) {
		return "(something else)"
	}
	return a.names.mask(s)
}

func schemeOf(r *record.Report) string { return strings.TrimSpace(string(r.Scheme) + " " + r.KeyID) }

// finish checks what only all batches together show.
func (c *cluster) finish(ctx context.Context) error {
	a := c.audit
	c.Schemes, c.Producers = slices.Sorted(maps.Keys(c.schemes)), slices.Sorted(maps.Keys(c.producer))
	if c.LeftOut > 0 {
		a.notice(Finding{Kind: LeftOut, Text: fmt.Sprintf("cluster %s: %d events broke the plan and were never staged", c.Cluster.Cluster, c.LeftOut)})
	}
	if len(c.Schemes) > 1 {
		a.notice(Finding{Kind: SeveralSchemes, Text: fmt.Sprintf(
			"cluster %s: names were hidden in %d ways (%s), so that one name has several pseudonyms", c.Cluster.Cluster, len(c.Schemes), strings.Join(c.Schemes, ", "))})
	}
	if c.head != nil {
		c.continuity()
		for _, d := range c.head.Damaged {
			a.finding(Finding{
				Kind: Damaged, Key: d.Key, Text: "runs could not use this object, as the newest manifest says, and hold events back for it",
				Advice: adviceReplace,
			})
		}
	}
	if err := c.duplicates(ctx); err != nil {
		return err
	}
	if c.Batches > 0 {
		a.clusters = append(a.clusters, c.Cluster)
	}
	return nil
}

// continuity checks that each source was read without gaps. What is young, the next run makes up for.
func (c *cluster) continuity() {
	a := c.audit
	asked := map[record.SourceName]bool{}
	for _, s := range c.head.Extract.Sources {
		asked[s.Name] = true
	}
	old := a.Now.Add(-a.Grace)
	for _, source := range slices.SortedFunc(maps.Keys(c.Coverage), func(a, b record.SourceName) int { return strings.Compare(a.String(), b.String()) }) {
		spans := c.Coverage[source]
		for i, span := range spans {
			next := c.head.Window.Until
			if i+1 < len(spans) {
				next = spans[i+1].Since
			} else if !asked[source] {
				continue // it is no longer in use
			}
			from, to := later(span.Until, a.Range.Since), next
			if !a.Range.Until.IsZero() && a.Range.Until.Before(to) {
				to = a.Range.Until
			}
			if from.Before(to) && from.Before(old) {
				a.finding(Finding{
					Kind: CoverageGap,
					Text: fmt.Sprintf("cluster %s: source %s was not read from %s to %s", c.Cluster.Cluster, source, from.Format(time.RFC3339), to.Format(time.RFC3339)),
					Advice: fmt.Sprintf("run once with --since %s --until %s; what the source does not hold any more is lost",
						from.Format(time.RFC3339), to.Format(time.RFC3339)),
				})
			}
		}
	}
	if c.Until.Before(old) && a.Range.Until.IsZero() {
		a.notice(Finding{Kind: Silent, Text: fmt.Sprintf("cluster %s: nothing was staged since %s", c.Cluster.Cluster, c.Until.Format(time.RFC3339))})
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// checkCoverage checks a manifest's coverage by itself: it is sorted, and includes what the run read.
func checkCoverage(m *stage.Manifest) (Finding, bool) {
	f := Finding{Kind: CoverageInvalid, Key: m.ID().ManifestKey(), Advice: "compare the manifest with a backup: later runs read too little if it says too much"}
	for source, spans := range m.Coverage {
		for i, span := range spans {
			if span.Until.Before(span.Since) || i > 0 && !span.Since.After(spans[i-1].Until) {
				f.Text = fmt.Sprintf("the spans of source %s overlap or are not in order", source)
				return f, true
			}
		}
	}
	for _, s := range m.Extract.Sources {
		covers := func(span record.Window) bool {
			return !span.Since.After(m.Window.Since) && !span.Until.Before(m.Window.Until)
		}
		if !s.Failed() && !m.ID().Merged() && !slices.ContainsFunc(m.Coverage[s.Name], covers) {
			f.Text = fmt.Sprintf("source %s was read, and the coverage does not say so", s.Name)
			return f, true
		}
	}
	return f, false
}

// A pair is two rows whose message IDs have the same fingerprint.
type pair struct {
	batches [2]uint32
	rows    [2]uint32
}

// maxPairs is how many pairs are compared; what is beyond is taken for the same.
const maxPairs = 1 << 14

// duplicates finds the events that are staged more than once.
func (c *cluster) duplicates(ctx context.Context) error {
	var pairs []pair
	var first [16]byte
	beyond := map[[2]uint32]int64{}
	for r, err := range c.ids.Sorted() {
		if err != nil {
			return err
		}
		if [8]byte(r) != [8]byte(first[:]) || first == [16]byte{} {
			first = [16]byte(r)
			continue
		}
		p := pair{
			[2]uint32{binary.BigEndian.Uint32(first[8:]), binary.BigEndian.Uint32(r[8:])},
			[2]uint32{binary.BigEndian.Uint32(first[12:]), binary.BigEndian.Uint32(r[12:])},
		}
		if len(pairs) < maxPairs {
			pairs = append(pairs, p)
		} else {
			beyond[p.batches]++
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	ids, err := c.messageIDs(ctx, pairs)
	if err != nil {
		return err
	}
	found := map[[2]uint32]*Finding{}
	for _, p := range pairs {
		id := ids[[2]uint32{p.batches[0], p.rows[0]}]
		if id == "" || id != ids[[2]uint32{p.batches[1], p.rows[1]}] {
			continue
		}
		f := found[p.batches]
		if f == nil {
			where := "in row " + fmt.Sprint(p.rows[0]) + " of " + c.batches[p.batches[0]].DataKey()
			if p.batches[0] == p.batches[1] {
				where = "in row " + fmt.Sprint(p.rows[0]) + " of the same file"
			}
			f = &Finding{
				Kind: Duplicate, Key: c.batches[p.batches[1]].DataKey(), Row: int64(p.rows[1]), Text: "events are staged twice; the first is also " + where,
				Advice: "they may have been delivered twice under the same message ID: count distinct message IDs, and let no two runs take place at the same time",
			}
			found[p.batches] = f
		}
		f.Row = min(f.Row, int64(p.rows[1]))
		f.Count++
	}
	for batches, f := range found {
		f.Count += beyond[batches]
		c.audit.finding(*f)
	}
	return nil
}

// messageIDs reads the message IDs of the rows of the pairs.
func (c *cluster) messageIDs(ctx context.Context, pairs []pair) (map[[2]uint32]string, error) {
	ids := map[[2]uint32]string{}
	needed := map[uint32]bool{}
	for _, p := range pairs {
		for i := range p.batches {
			ids[[2]uint32{p.batches[i], p.rows[i]}] = ""
			needed[p.batches[i]] = true
		}
	}
	for _, b := range slices.Sorted(maps.Keys(needed)) {
		data, err := c.audit.ledger.Copy(ctx, c.batches[b].DataKey())
		if errors.Is(err, fs.ErrNotExist) {
			continue // expired by now
		} else if err != nil {
			return nil, err
		}
		row := uint32(0)
		for id, err := range parquetfile.MessageIDs(data, data.Size) {
			if err != nil {
				break // it is told of elsewhere
			}
			row++
			if _, ok := ids[[2]uint32{b, row}]; ok {
				ids[[2]uint32{b, row}] = string(id)
			}
		}
		if err := data.Close(); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
