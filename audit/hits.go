// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/binary"

	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
)

// searchAll searches every text of a row for names.
func (r *rows) searchAll(row parquetfile.Row) error {
	if r.search == nil {
		return nil
	}
	for i, c := range r.reader.Columns {
		if row.Null(i) {
			continue
		}
		switch c.Type {
		case parquetfile.TextColumn:
			r.searchText(row.Text(i), r.where(i))
		case parquetfile.IntegerColumn, parquetfile.TimeColumn:
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], uint64(row.Integer(i)))
			r.searchText(b[:], r.where(i))
		case parquetfile.BooleanColumn:
		}
	}
	return nil
}

func (r *rows) searchText(text []byte, where string) {
	if r.search != nil {
		r.search.search(text, func(h hit) { r.hits.add(h, r.row, where) })
	}
}

// where names a column, if it is one of the plan's: the name of another may be anything.
func (r *rows) where(column int) string {
	switch column {
	case r.reader.Payload:
		return "the payload"
	case r.reader.MessageID, r.reader.Event, r.reader.Reason:
		return "column " + r.reader.Columns[column].Name
	}
	if r.layout != nil {
		return "column " + r.reader.Columns[column].Name
	}
	return "a column"
}

// nameHits collects where names were found in one object.
type nameHits struct {
	total int64
	byWay rowFindings
}

func (n *nameHits) add(h hit, row int64, where string) {
	n.total++
	n.byWay.add(row, nameFinding(h, where))
}

func nameFinding(h hit, where string) Finding {
	return Finding{
		Kind: NameFound, Line: h.line, Text: "the name of this line of the list stands in " + where + ", " + h.encoding,
		Advice: "a name has left the cluster: keep the object from being read or delivered, and tell the maintainers (SECURITY.md)",
	}
}

func (n *nameHits) findings(key string) []Finding {
	n.byWay.key = key
	all := n.byWay.all()
	for i := range all {
		all[i].Key = key
		if all[i].Row == 0 {
			all[i].Count = 0 // it is about no rows
		}
	}
	return all
}
