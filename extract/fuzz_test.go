// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// FuzzProject wants of each document that encoding/json accepts the record that the
// reference makes, and of each other document an error.
func FuzzProject(f *testing.F) {
	for i, document := range []string{everything, pipelineRun, component, namespace, installation} {
		f.Add([]byte(document), byte(i))
	}
	kinds := []Kind{"", KindPipelineRun, KindComponent, KindNamespace, KindInstallation}
	p, r := NewProjector(testNames(f)), reference{names: testNames(f)}
	f.Fuzz(func(t *testing.T, document []byte, which byte) {
		kind := kinds[int(which)%len(kinds)]
		// None of these may panic, whatever the document is.
		drop := func(record.Record, error) error { return nil }
		_, _ = p.ReadList(scan.NewBytes(document), kind, drop)
		_, _ = p.ReadRows(scan.NewBytes(document), func(Row) error { return nil })
		_ = p.ReadDocumentBytes(document, drop)
		got, err := p.ReadBytes(document, kind)

		if !json.Valid(document) || len(document) > scan.MaxText/len("\uFFFD") {
			return // where exactly a long string is cut is not the same
		}
		want, wantErr := r.project(document, kind)
		same := func(way string, got record.Record, err error) {
			if !reflect.DeepEqual(got, want) || errors.Is(err, ErrInvalid) != (wantErr != nil) || wantErr == nil && err != nil {
				t.Errorf("%s: got %+v, %v\nwant %+v, %v", way, got, err, want, wantErr)
			}
		}
		same("bytes", got, err)
		got, err = p.ReadObject(scan.New(bytes.NewReader(document)), kind)
		same("reader", got, err)
		encoded := slices.Concat([]byte(`{"items":[`), document, []byte(`],"records":[{"data":{"value":"`),
			base64.StdEncoding.AppendEncode(nil, document), []byte(`"}}]}`))
		if _, err := p.ReadList(scan.NewBytes(encoded), kind, func(r record.Record, err error) error {
			same("list", r, err)
			return nil
		}); err != nil {
			t.Errorf("list: %v", err)
		}
		if kind != "" {
			return
		}
		if _, err := p.ReadRows(scan.NewBytes(encoded), func(row Row) error {
			same("row", row.Record, row.Err)
			return nil
		}); err != nil {
			t.Errorf("page: %v", err)
		}
	})
}
