// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// small is a namespace without a kind, as in a typed list.
func small(uid string) string {
	return `{"metadata":{"uid":"` + uid + `","name":"n","creationTimestamp":"2026-01-01T00:00:00Z","labels":{"konflux-ci.dev/type":"tenant"}}}`
}

// outcomes collects what is passed on, as words: a UID, "none" or "invalid".
type outcomes []string

func (o *outcomes) add(r record.Record, err error) error {
	switch r := r.(type) {
	case *record.Namespace:
		*o = append(*o, r.UID.String())
	case *record.PipelineRun:
		*o = append(*o, r.UID.String())
	case *record.Component:
		*o = append(*o, r.UID.String())
	case *record.Installation:
		*o = append(*o, r.UID.String())
	default:
		if err == nil {
			*o = append(*o, "none")
		} else if errors.Is(err, ErrInvalid) {
			*o = append(*o, "invalid")
		} else {
			return fmt.Errorf("unexpected: %w", err)
		}
	}
	return nil
}

func (o outcomes) String() string { return strings.Join(o, " ") }

func TestReadList(t *testing.T) {
	broken := errors.New("any error but ErrInvalid")
	tests := map[string]struct {
		document, items, token string
		err                    error
	}{
		"metadata first":       {`{"kind":"NamespaceList","metadata":{"continue":"abc","resourceVersion":"1"},"items":[` + small("a") + `,` + small("b") + `]}`, "a b", "abc", nil},
		"metadata last":        {`{"items":[` + small("a") + `],"kind":"NamespaceList","metadata":{"resourceVersion":"1","continue":"abc"}}`, "a", "abc", nil},
		"last page":            {`{"metadata":{"resourceVersion":"1"},"items":[` + small("a") + `]}`, "a", "", nil},
		"empty token":          {`{"metadata":{"continue":""},"items":[` + small("a") + `]}`, "a", "", nil},
		"no items":             {`{"metadata":{},"items":[]}`, "", "", nil},
		"null items":           {`{"metadata":null,"items":null}`, "", "", nil},
		"invalid between":      {`{"items":[` + small("a") + `,5,null,{},` + small("b") + `]}`, "a invalid invalid invalid b", "", nil},
		"no tenant between":    {`{"items":[` + small("a") + `,{"metadata":{"uid":"x"}},` + small("b") + `]}`, "a none b", "", nil},
		"broken after an item": {`{"items":[` + small("a") + `,{"metadata":`, "a", "", io.ErrUnexpectedEOF},
		"malformed item":       {`{"items":[` + small("a") + `,{"metadata" 5}]}`, "a", "", broken},
		"no list":              {`[` + small("a") + `]`, "", "", broken},
		"items are no array":   {`{"items":{}}`, "", "", broken},
		"metadata no object":   {`{"items":[` + small("a") + `],"metadata":5}`, "a", "", broken},
		"token is no string":   {`{"metadata":{"continue":5}}`, "", "", broken},
		"token without an end": {`{"metadata":{"continue":"` + strings.Repeat("x", 5000) + `"}}`, "", strings.Repeat("x", scan.MaxText), broken},
		"nothing":              {``, "", "", io.EOF},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, s := range []*scan.Scanner{
				scan.NewBytes([]byte(test.document)), scan.New(iotest.OneByteReader(strings.NewReader(test.document))),
			} {
				var got outcomes
				list, err := NewProjector(testNames(t)).ReadList(s, KindNamespace, got.add)
				if got.String() != test.items || list.Continue != test.token {
					t.Errorf("got %s and token %q", got, list.Continue)
				}
				switch {
				case test.err == nil && err != nil, test.err != nil && err == nil, errors.Is(err, ErrInvalid):
					t.Errorf("got error %v, want %v", err, test.err)
				case test.err != nil && !errors.Is(test.err, broken) && !errors.Is(err, test.err):
					t.Errorf("got error %v, want %v", err, test.err)
				}
			}
		})
	}
}

func TestReadListStops(t *testing.T) {
	full := errors.New("disk is full")
	n := 0
	_, err := NewProjector(testNames(t)).ReadList(
		scan.NewBytes([]byte(`{"items":[`+small("a")+`,`+small("b")+`]}`)), KindNamespace,
		func(record.Record, error) error { n++; return full })
	if !errors.Is(err, full) || n != 1 {
		t.Errorf("got %v after %d items", err, n)
	}
}

func TestReadRows(t *testing.T) {
	encoded := func(object string) string { return `"` + base64.StdEncoding.EncodeToString([]byte(object)) + `"` }
	row := func(data string) string {
		return `{"name":"team-a/results/x/records/y","uid":"row","data":` + data + `,"etag":"e","update_time":"2026-01-02T00:00:00.123456Z"}`
	}
	run := func(value string) string { return row(`{"type":"tekton.dev/v1.PipelineRun","value":` + value + `}`) }
	bare := `{"metadata":{"uid":"a","namespace":"n","labels":null},"status":{"startTime":null}}`
	tests := map[string]struct{ document, rows, next string }{
		"snake case":           {`{"records":[` + run(encoded(bare)) + `],"next_page_token":"abc"}`, "a", "abc"},
		"camel case":           {`{"nextPageToken":"abc","records":[` + strings.ReplaceAll(run(encoded(bare)), "update_time", "updateTime") + `]}`, "a", "abc"},
		"value as it is":       {`{"records":[` + run(bare) + `]}`, "a", ""},
		"type behind":          {`{"records":[` + row(`{"value":`+encoded(bare)+`,"type":"tekton.dev/v1beta1.PipelineRun"}`) + `]}`, "a", ""},
		"kind in the value":    {`{"records":[` + row(`{"value":`+encoded(pipelineRun)+`}`) + `]}`, "1b4e28ba-2fa1-11d2-883f-0016d3cca427", ""},
		"other type":           {`{"records":[` + row(`{"type":"tekton.dev/v1.TaskRun","value":`+encoded(bare)+`}`) + `]}`, "none", ""},
		"log":                  {`{"records":[` + row(`{"type":"results.tekton.dev/v1alpha3.Log","value":`+encoded(`{"kind":"Log"}`)+`}`) + `]}`, "none", ""},
		"not base64":           {`{"records":[` + run(`"{}"`) + `,` + run(encoded(bare)) + `]}`, "invalid a", ""},
		"not JSON":             {`{"records":[` + run(encoded(`{"metadata"`)) + `,` + run(encoded(bare)) + `]}`, "invalid a", ""},
		"more than a document": {`{"records":[` + run(encoded(bare+`{}`)) + `,` + run(encoded(bare)) + `]}`, "invalid a", ""},
		"empty value":          {`{"records":[` + run(`""`) + `,` + run(`null`) + `,` + run(encoded(bare)) + `]}`, "invalid invalid a", ""},
		"no value":             {`{"records":[` + run(encoded(bare)) + `,` + row(`{"type":"tekton.dev/v1.PipelineRun"}`) + `,` + row(`null`) + `]}`, "a invalid none", ""},
		"odd rows":             {`{"records":[5,null,` + row(`[]`) + `,` + strings.Replace(run(bare), "2026", "then", 1) + `]}`, "invalid none invalid invalid", ""},
		"no rows":              {`{"next_page_token":""}`, "", ""},
		"empty answer":         {`{}`, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, s := range []*scan.Scanner{
				scan.NewBytes([]byte(test.document)), scan.New(iotest.OneByteReader(strings.NewReader(test.document))),
			} {
				var got outcomes
				next, err := NewProjector(testNames(t)).ReadRows(s, func(r Row) error {
					if r.Record != nil && !r.Updated.Equal(at("2026-01-02T00:00:00Z")) {
						t.Errorf("row was updated %s", r.Updated)
					}
					return got.add(r.Record, r.Err)
				})
				if err != nil || got.String() != test.rows || next != test.next {
					t.Errorf("got %q and token %q, %v", got, next, err)
				}
			}
		})
	}
}

func TestReadRowsBroken(t *testing.T) {
	for _, document := range []string{`{"records":[{"data":{"value":"AAAA`, `{"records":5}`, `[]`, `{"next_page_token":[]}`} {
		var got outcomes
		_, err := NewProjector(testNames(t)).ReadRows(scan.NewBytes([]byte(document)), func(r Row) error { return got.add(r.Record, r.Err) })
		if err == nil || errors.Is(err, ErrInvalid) || len(got) > 0 {
			t.Errorf("%s: got %v and %s", document, err, got)
		}
	}
}
