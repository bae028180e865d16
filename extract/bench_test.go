// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"testing"

	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// BenchmarkProject projects full-size PipelineRuns. Beside it, on the same bytes: what
// it would cost to decode just as little with encoding/json, and what the machine
// takes to look at each byte once.
func BenchmarkProject(b *testing.B) {
	cluster := samplecluster.New(samplecluster.Config{})
	for _, kind := range []samplecluster.Kind{samplecluster.Build, samplecluster.Managed, samplecluster.Integration} {
		var documents [][]byte
		for run := range cluster.Runs() {
			if run.Kind == kind {
				documents = append(documents, run.AppendJSON(nil, cluster.Now))
			}
		}
		p, s := NewProjector(testNames(b)), scan.NewBytes(nil)
		each(b, kind.String()+"/project", documents, func(document []byte) error {
			s.ResetBytes(document)
			_, err := p.ReadObject(s, KindPipelineRun)
			return err
		})
		each(b, kind.String()+"/encoding-json", documents, func(document []byte) error {
			return json.Unmarshal(document, new(slim))
		})
		each(b, kind.String()+"/memchr", documents, func(document []byte) error {
			if bytes.IndexByte(document, 0) >= 0 {
				return io.ErrUnexpectedEOF
			}
			return nil
		})
	}
}

// slim is what encoding/json has to decode for the same record.
type slim struct {
	APIVersion, Kind string
	Metadata         struct {
		UID, Name, Namespace string
		Labels, Annotations  map[string]string
	}
	Status struct {
		StartTime, CompletionTime string
		ChildReferences           []struct{}
		Conditions                []struct{ Type, Status, Reason, LastTransitionTime string }
	}
}

// BenchmarkStream reads runs of all kinds as they arrive: the list of the API server,
// and a page of Tekton Results, where each object is base64.
func BenchmarkStream(b *testing.B) {
	cluster := samplecluster.New(samplecluster.Config{})
	list, page := []byte(`{"items":[`), []byte(`{"records":[`)
	n := 0
	for run := range cluster.Runs() {
		document := run.AppendJSON(nil, cluster.Now)
		list = append(append(list, document...), ',')
		page = append(page, `{"data":{"type":"tekton.dev/v1.PipelineRun","value":"`...)
		page = append(base64.StdEncoding.AppendEncode(page, document), `"}},`...)
		n++
	}
	list = append(list[:len(list)-1], `]}`...)
	page = append(page[:len(page)-1], `]}`...)

	p, s := NewProjector(testNames(b)), new(scan.Scanner)
	stream := func(name string, document []byte, read func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			for b.Loop() {
				s.Reset(bytes.NewReader(document))
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "runs/s")
		})
	}
	stream("list", list, func() error {
		_, err := p.ReadList(s, KindPipelineRun, func(_ record.Record, err error) error { return err })
		return err
	})
	stream("page", page, func() error {
		_, err := p.ReadRows(s, func(row Row) error { return row.Err })
		return err
	})
}

// each runs read over the documents in turn.
func each(b *testing.B, name string, documents [][]byte, read func([]byte) error) {
	b.Run(name, func(b *testing.B) {
		b.SetBytes(int64(len(slices.Concat(documents...)) / len(documents)))
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if err := read(documents[i%len(documents)]); err != nil {
				b.Fatal(err)
			}
			i++
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
	})
}
