// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	pb "github.com/tektoncd/results/proto/v1alpha2/results_go_proto"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/internal/retry"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// answers gives every request the same body.
type answers []byte

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(a))}, nil
}

// Whatever the server answers: reading ends, and either with an error of ours or with
// each row counted once.
func FuzzPage(f *testing.F) {
	for _, snake := range []bool{true, false} {
		page, err := protojson.MarshalOptions{UseProtoNames: snake}.Marshal(&pb.ListRecordsResponse{
			Records: []*pb.Record{stored(0), stored(1), {}}, NextPageToken: "token",
		})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(page)
		f.Add(page[:len(page)/2])
	}
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"summary":[{"total":2}],"records":[{"data":{"value":{"kind":"PipelineRun"}}},null]}`))
	f.Add([]byte(`{"summary":[{"total":1e99}]}`))
	f.Add([]byte(`{"records":[{"data":{"type":"tekton.dev/v1.PipelineRun","value":"e30"},"update_time":"0001-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`[]`))
	names, err := telemetry.NewPseudonymizer("cluster")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		api := newREST("http://host", nil, newBearer(Config{}), "", extract.NewProjector(names))
		api.client.Transport = answers(body)
		var stats extract.Stats
		records := int64(0)
		r := &run{
			api: api, retry: retry.Policy{}, timeout: callTimeout, stats: &stats, query: query{size: 5},
			pass: stats.Pass(func(record.Record) error { records++; return nil }),
		}
		err := r.all(t.Context())
		if _, ok := errors.AsType[*extract.Error](err); err != nil && !ok {
			t.Errorf("error is %v", err)
		}
		if stats.Objects != r.read || stats.Invalid+records > stats.Objects {
			t.Errorf("of %d rows, %d are counted, %d as invalid, %d are records", r.read, stats.Objects, stats.Invalid, records)
		}
	})
}
