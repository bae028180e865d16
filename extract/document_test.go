// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

func TestReadDocument(t *testing.T) {
	run := "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
	tests := map[string]struct{ document, want string }{
		"object":               {component, "c-1"},
		"other object":         {`{"apiVersion":"v1","kind":"Pod","metadata":{"uid":"p"}}`, "none"},
		"no object of any":     {`{"name":"package","version":"1"}`, "none"},
		"scalar":               {`5`, "invalid"},
		"nothing":              {`null`, ""},
		"array":                {`[` + component + `,[` + namespace + `],null,5]`, "c-1 n-1 invalid"},
		"List":                 {`{"apiVersion":"v1","kind":"List","items":[` + component + `,` + namespace + `]}`, "c-1 n-1"},
		"lists within a List":  {`{"kind":"List","items":[{"kind":"List","items":[` + component + `]},` + namespace + `]}`, "c-1 n-1"},
		"typed":                {`{"kind":"NamespaceList","apiVersion":"v1","metadata":{},"items":[` + small("a") + `,` + small("b") + `]}`, "a b"},
		"typed, other":         {`{"kind":"PodList","apiVersion":"v1","items":[` + small("a") + `]}`, "none"},
		"items say otherwise":  {`{"kind":"NamespaceList","apiVersion":"v1","items":[` + component + `,` + small("b") + `]}`, "c-1 b"},
		"List of the untyped":  {`{"kind":"List","apiVersion":"v1","items":[` + small("a") + `,` + namespace + `]}`, "invalid n-1"},
		"null items":           {`{"kind":"NamespaceList","apiVersion":"v1","items":null}`, ""},
		"items are no array":   {`{"kind":"NamespaceList","apiVersion":"v1","items":5}`, "invalid"},
		"page of rows":         {`{"records":[{"data":{"type":"tekton.dev/v1.PipelineRun","value":` + pipelineRun + `}}],"next_page_token":"x"}`, run},
		"pages":                {`[{"records":[{"data":{"value":` + pipelineRun + `}}]},{"records":[]}]`, run},
		"item without a UID":   {`{"kind":"NamespaceList","apiVersion":"v1","items":[{"metadata":{"labels":{"konflux-ci.dev/type":"tenant"}}}]}`, "invalid"},
		"metadata no object":   {`{"apiVersion":"v1","kind":"Namespace","metadata":5}`, "invalid"},
		"as deep as may be":    {strings.Repeat(`[`, maxNesting-1) + component + strings.Repeat(`]`, maxNesting-1), "c-1"},
		"deeper":               {`[` + component + `,` + strings.Repeat(`[`, maxNesting+20_000) + strings.Repeat(`]`, maxNesting+20_000) + `,` + component + `]`, "c-1 invalid c-1"},
		"kind behind the same": {`{"items":[` + component + `],"kind":"ComponentList"}`, "c-1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := NewProjector(testNames(t))
			var got, whole outcomes
			s := scan.New(strings.NewReader(test.document + "\n" + component))
			if err := p.ReadDocument(s, got.add); err != nil || got.String() != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
			if err := p.ReadDocument(s, got.add); err != nil || got[len(got)-1] != "c-1" {
				t.Errorf("the next document makes %q, %v", got, err)
			}
			if err := p.ReadDocument(s, got.add); !errors.Is(err, io.EOF) {
				t.Errorf("got %v at the end", err)
			}
			if err := p.ReadDocumentBytes([]byte(test.document), whole.add); err != nil || whole.String() != test.want {
				t.Errorf("bytes make %q, %v, want %q", whole, err, test.want)
			}
		})
	}
}

// TestLateKind has the kind behind the items, as where keys are sorted. In memory
// that is no hindrance.
func TestLateKind(t *testing.T) {
	document := `{"apiVersion":"v1","items":[` + small("a") + `,` + small("b") + `],"kind":"NamespaceList"}`
	p := NewProjector(testNames(t))
	var streamed, whole outcomes
	if err := p.ReadDocument(scan.New(strings.NewReader(document)), streamed.add); err != nil || streamed.String() != "invalid invalid" {
		t.Errorf("a stream makes %q, %v", streamed, err)
	}
	if err := p.ReadDocumentBytes([]byte(document), whole.add); err != nil || whole.String() != "a b" {
		t.Errorf("bytes make %q, %v", whole, err)
	}
}

func TestReadDocumentBroken(t *testing.T) {
	p := NewProjector(testNames(t))
	for _, document := range []string{
		`{`, `{"items":[`, `[` + component, `{"records":[{"data":{"value":"AA`, `x`,
	} {
		var got outcomes
		if err := p.ReadDocument(scan.NewBytes([]byte(document)), got.add); err == nil || errors.Is(err, ErrInvalid) || errors.Is(err, io.EOF) {
			t.Errorf("%s: got %v", document, err)
		}
		if err := p.ReadDocumentBytes([]byte(document), got.add); err == nil || errors.Is(err, ErrInvalid) {
			t.Errorf("%s in memory: got %v", document, err)
		}
	}
	full := errors.New("disk is full")
	err := p.ReadDocument(scan.NewBytes([]byte(`[`+component+`]`)), func(record.Record, error) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("got %v, want the error of the function", err)
	}
}
