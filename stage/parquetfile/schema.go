// SPDX-License-Identifier: Apache-2.0

// Package parquetfile writes events as Parquet and reads them back.
//
// The columns follow from the tracking plan: message_id, event and timestamp, then
// every property of the plan under its name in snake_case, and the whole track
// call as JSON in payload. A property that an event does not have, or has as null,
// is null. Some properties of the plan have no column: they are in the payload alone.
package parquetfile

import (
	"errors"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// The columns that every file has.
const (
	columnMessageID = "message_id"
	columnEvent     = "event"
	columnTimestamp = "timestamp"
	columnPayload   = "payload"
	// columnReason is the last column of a file of rejected events.
	columnReason = "reason"
)

// Keys of the file's metadata.
const (
	metadataFormat = "segment-bridge.format"
	metadataPlan   = "segment-bridge.plan"
)

// format is the version of the file format. A reader refuses another.
const format = "1"

// maxRowsPerGroup bounds the memory of writing: a row group is written when it is
// complete.
const maxRowsPerGroup = 100_000

// pageBytes is the size of a page before compression.
const pageBytes = 256 << 10

// A Schema is the columns of a file.
type Schema struct {
	plan    *telemetry.Plan
	parquet *parquet.Schema
	columns map[string]int // by name of property; noColumn of one in the payload alone
	width   int
}

const noColumn = -1

// NewSchema returns the schema that follows from the plan. It is an error when two
// properties would share a column.
func NewSchema(plan *telemetry.Plan) (*Schema, error) {
	if plan == nil {
		return nil, errors.New("make schema: there is no tracking plan")
	}
	g := newGroup()
	g.add(columnMessageID, plain(parquet.String()))
	g.add(columnEvent, words(parquet.String()))
	g.add(columnTimestamp, parquet.Timestamp(parquet.Microsecond))
	s := &Schema{plan: plan, columns: map[string]int{}}
	for _, e := range plan.Events {
		for _, p := range e.Properties {
			s.columns[p.Name] = noColumn
		}
	}
	for _, p := range plan.Columns() {
		name := snake(p.Name)
		if g.has(name) || name == columnPayload || name == columnReason {
			return nil, fmt.Errorf("make schema: property %q needs the column %q, which is taken: rename it", p.Name, name)
		}
		s.columns[p.Name] = len(g.names)
		g.add(name, parquet.Optional(node(p.Type)))
	}
	g.add(columnPayload, plain(parquet.String()))
	s.parquet, s.width = g.schema(), len(g.names)
	return s, nil
}

// String returns the schema in the notation of Parquet.
func (s *Schema) String() string { return s.parquet.String() + "\n" }

func node(t telemetry.Type) parquet.Node {
	switch t {
	case telemetry.TypeInteger:
		return parquet.Leaf(parquet.Int64Type)
	case telemetry.TypeBoolean:
		return parquet.Leaf(parquet.BooleanType)
	case telemetry.TypeTime:
		return parquet.Timestamp(parquet.Microsecond)
	case telemetry.TypePseudonym, telemetry.TypeEnum, telemetry.TypeVersion:
		return words(parquet.String())
	default: // telemetry.NewPlan knows no other type
		return words(parquet.String())
	}
}

// words marks a column of few different values.
func words(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.RLEDictionary) }

// plain asks for the encoding that every reader knows, and not for the library's
// own choice.
func plain(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.Plain) }

// snake turns clusterIdHash into cluster_id_hash and clusterIDHash too.
func snake(camel string) string {
	lower := func(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	var b []byte
	for i := range len(camel) {
		c := camel[i]
		if upper := 'A' <= c && c <= 'Z'; upper {
			if i > 0 && (lower(camel[i-1]) || i+1 < len(camel) && lower(camel[i+1])) {
				b = append(b, '_')
			}
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return string(b)
}

// A group is a parquet.Group that keeps the order of its fields.
type group struct {
	parquet.Group
	names []string
}

func newGroup() *group { return &group{Group: parquet.Group{}} }

func (g *group) has(name string) bool { return g.Group[name] != nil }

func (g *group) add(name string, n parquet.Node) {
	g.Group[name] = n
	g.names = append(g.names, name)
}

// Fields overrides the alphabetical order of parquet.Group.
func (g *group) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(g.names, a.Name()) - slices.Index(g.names, b.Name())
	})
	return fields
}

func (g *group) schema() *parquet.Schema { return parquet.NewSchema("events", g) }

// options are what all files have in common. Version 1 of data pages is what every
// reader knows. Bounds of the payload would only cost space.
func options(schema *parquet.Schema, plan string) []parquet.WriterOption {
	return []parquet.WriterOption{
		schema,
		// No version of the program: the same events make the same bytes.
		parquet.CreatedBy("segment-bridge", "1", format),
		parquet.Compression(newCodec()),
		parquet.DataPageVersion(1),
		parquet.PageBufferSize(pageBytes),
		parquet.MaxRowsPerRowGroup(maxRowsPerGroup),
		parquet.SkipPageBounds(columnPayload),
		parquet.KeyValueMetadata(metadataFormat, format),
		parquet.KeyValueMetadata(metadataPlan, plan),
		parquet.SortingWriterConfig(parquet.SortingColumns(
			parquet.Ascending(columnEvent), parquet.Ascending(columnTimestamp), parquet.Ascending(columnMessageID),
		)),
	}
}
