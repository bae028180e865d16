// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"slices"

	"github.com/segment-bridge/segment-bridge/stage/extsort"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A group is a set of events: those with one value of a pseudonym, or those of one event and
// activity that come from one namespace. What is grouped by is the first byte of by.
type group struct {
	by      uint16 // index in groups.titles
	what    uint64 // the pseudonym, or a hash of the activity
	subject uint64 // the namespace, of an activity
}

// maxInMemory is how many groups are counted in memory before they are written down.
const maxInMemory = 1 << 16

// groups counts groups outside memory.
type groups struct {
	sorter *extsort.Sorter
	counts map[group]int64
	titles []string
	names  map[uint64]string // of activities
}

// add adds counts; another of the same group may follow.
func (g *groups) add(counts map[group]int64) error {
	for key, n := range counts {
		g.counts[key] += n
	}
	if len(g.counts) < maxInMemory {
		return nil
	}
	return g.spill()
}

func (g *groups) spill() error {
	var b []byte
	for key, n := range g.counts {
		b = binary.BigEndian.AppendUint16(b[:0], key.by)
		b = binary.BigEndian.AppendUint64(b, key.what)
		b = binary.BigEndian.AppendUint64(b, key.subject)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
		if err := g.sorter.Add(b); err != nil {
			return err
		}
	}
	clear(g.counts)
	return nil
}

// activity returns the title and the value of an activity as a number.
func activity(value []byte) uint64 {
	h := fnv.New64a()
	h.Write(value)
	return h.Sum64()
}

// maxSmallest is how many small groups are listed of each sort.
const maxSmallest = 20

// small returns the groups smaller than k.
func (g *groups) small(k int) ([]Groupings, error) {
	if err := g.spill(); err != nil {
		return nil, err
	}
	all := make([]Groupings, len(g.titles))
	for i, title := range g.titles {
		all[i].By, all[i].Smallest = title, []Group{}
	}
	var last, current []byte
	var size int64
	flush := func() {
		if current == nil {
			return
		}
		by := &all[binary.BigEndian.Uint16(current)]
		by.Groups++
		if size < int64(k) {
			by.Small++
			by.Smallest = append(by.Smallest, Group{g.value(current), size})
			if len(by.Smallest) >= 4*maxSmallest {
				by.trim()
			}
		}
	}
	// What sorts together up to the first 10 bytes is one group; its size is the number of
	// events of a pseudonym, and the number of different namespaces of an activity.
	for record, err := range g.sorter.Sorted() {
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(record[:10], current) {
			flush()
			current, size = append([]byte(nil), record[:10]...), 0
		}
		if binary.BigEndian.Uint64(record[10:]) == 0 {
			size += int64(binary.BigEndian.Uint64(record[18:]))
		} else if !bytes.Equal(record[:18], last) {
			size++
		}
		last = append(last[:0], record[:18]...)
	}
	flush()
	all = slices.DeleteFunc(all, func(by Groupings) bool { return by.Groups == 0 })
	for i := range all {
		all[i].trim()
	}
	slices.SortFunc(all, func(a, b Groupings) int { return cmp.Compare(a.By, b.By) })
	return all, nil
}

// value writes what the events of a group have in common.
func (g *groups) value(key []byte) string {
	what := key[2:]
	if name, ok := g.names[binary.BigEndian.Uint64(what)]; ok {
		return name
	}
	return hex.EncodeToString(what[2:])
}

func (g *Groupings) trim() {
	slices.SortFunc(g.Smallest, func(a, b Group) int { return cmp.Or(cmp.Compare(a.Size, b.Size), cmp.Compare(a.Value, b.Value)) })
	g.Smallest = g.Smallest[:min(len(g.Smallest), maxSmallest)]
}

// isActivity reports whether a property is a word or truth about what was done.
func isActivity(p *telemetry.PropertySpec) bool {
	return p.Sensitivity == telemetry.SensitivityActivity && (p.Type == telemetry.TypeEnum || p.Type == telemetry.TypeBoolean)
}
