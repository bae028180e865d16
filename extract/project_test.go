// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const clusterID = "0f8fad5b-d9cb-469f-a165-70867728950e"

func testNames(t testing.TB) *telemetry.Pseudonymizer {
	t.Helper()
	names, err := telemetry.NewPseudonymizer(clusterID)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func uid(text string) telemetry.UID {
	u, err := telemetry.ParseUID([]byte(text))
	if err != nil {
		panic(err)
	}
	return u
}

func at(text string) time.Time {
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return parsed.UTC()
}

// invalid stands for ErrInvalid in tables of records.
type invalid struct{ record.Record }

func check(t *testing.T, got record.Record, err error, want record.Record) {
	t.Helper()
	if _, bad := want.(invalid); bad {
		if got != nil || !errors.Is(err, ErrInvalid) {
			t.Errorf("got %+v, %v, want ErrInvalid", got, err)
		}
	} else if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// checkAll reads an object in every way there is and wants the same record each time.
func checkAll(t *testing.T, document string, kind Kind, want record.Record) {
	t.Helper()
	p := NewProjector(testNames(t))
	r := reference{names: testNames(t)}
	made, err := r.project([]byte(document), kind)
	check(t, made, err, want)

	// What an earlier object leaves behind must not show.
	for _, earlier := range []string{everything, `5`, `{"metadata":5,"spec":5,"status":5}`, `{"metadata":{"labels":5,"annotations":5,"uid":5},` +
		`"status":{"conditions":5,"childReferences":5}}`} {
		if err := p.object.read(scan.NewBytes([]byte(earlier))); err != nil {
			t.Fatal(err)
		}
		made, err = p.ReadObject(scan.NewBytes([]byte(document)), kind)
		check(t, made, err, want)
	}
	made, err = p.ReadObject(scan.New(iotest.OneByteReader(strings.NewReader(document))), kind)
	check(t, made, err, want)
	made, err = p.ReadBytes([]byte(document), kind)
	check(t, made, err, want)
	if !strings.HasPrefix(document, `"`) {
		made, err = p.ReadValue(scan.New(strings.NewReader(document)), kind)
		check(t, made, err, want)
	}
	encoded := `"` + base64.StdEncoding.EncodeToString([]byte(document)) + `"`
	made, err = p.ReadValue(scan.New(strings.NewReader(encoded)), kind)
	check(t, made, err, want)

	n := 0
	list := `{"items":[` + document + `,` + document + `]}`
	if _, err := p.ReadList(scan.New(strings.NewReader(list)), kind, func(r record.Record, err error) error {
		check(t, r, err, want)
		n++
		return nil
	}); err != nil || n != 2 {
		t.Errorf("list has %d items, %v", n, err)
	}
}

// everything has all that is read of any object, so that it would show if it stayed.
const everything = `{"apiVersion":"tekton.dev/v1","kind":"PipelineRun",
	"metadata":{"uid":"left-over","name":"left-over","namespace":"left-over","creationTimestamp":"2020-01-01T00:00:00Z",
		"deletionTimestamp":"2020-01-01T00:00:00Z","labels":{"tekton.dev/pipeline":"x","konflux-ci.dev/type":"tenant",
		"pipelines.appstudio.openshift.io/type":"build","pipelinesascode.tekton.dev/sender":"left-over"},
		"annotations":{"pipelinesascode.tekton.dev/sender":"left-over"}},
	"spec":{"application":"left-over"},
	"status":{"startTime":"2020-01-01T00:00:00Z","completionTime":"2020-01-01T00:00:00Z","childReferences":[{},{}],
		"conditions":[{"type":"Succeeded","status":"True","reason":"Succeeded","lastTransitionTime":"2020-01-01T00:00:00Z"},
		{"type":"Ready","status":"True","reason":"AllComponentsReady","lastTransitionTime":"2020-01-01T00:00:00Z"}]}}`

// edit replaces the value at a path such as "metadata.uid" in a document; a value of
// "-" removes the key. Dots within a key are written as colons.
func edit(t *testing.T, document, path, value string) string {
	t.Helper()
	var tree map[string]json.RawMessage
	if err := json.Unmarshal([]byte(document), &tree); err != nil {
		t.Fatalf("edit %s: %v", path, err)
	}
	key, rest, more := strings.Cut(path, ".")
	key = strings.ReplaceAll(key, ":", ".")
	switch {
	case more:
		inner := string(tree[key])
		if inner == "" {
			inner = "{}"
		}
		tree[key] = json.RawMessage(edit(t, inner, rest, value))
	case value == "-":
		delete(tree, key)
	default:
		tree[key] = json.RawMessage(value)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatalf("edit %s: %v", path, err)
	}
	return string(text)
}

// edits maps a path to its new value.
type edits map[string]string

// variant is a document that differs from a sample, and what it makes.
type variant[R any] struct {
	edits edits
	want  func(r *R) // nil: ErrInvalid
	none  bool       // no record at all
}

func (v variant[R]) check(t *testing.T, document string, sample R, wrap func(*R) record.Record) {
	t.Helper()
	for path, value := range v.edits {
		document = edit(t, document, path, value)
	}
	var want record.Record
	switch {
	case v.none:
	case v.want == nil:
		want = invalid{}
	default:
		v.want(&sample)
		want = wrap(&sample)
	}
	checkAll(t, document, "", want)
}

// same changes nothing.
func same[R any](*R) {}

// badUIDs are not the UID of anything.
var badUIDs = []string{`-`, `null`, `""`, `5`, `{}`, `"a/b"`, `"` + strings.Repeat("a", 65) + `"`, `"` + strings.Repeat("a", 5000) + `"`}

// badTimes are not the time of anything.
var badTimes = []string{`""`, `5`, `"yesterday"`, `"2026-01-01"`, `"2026-01-01T00:00:00"`, `"2026-13-01T00:00:00Z"`, `"9999-12-31T23:59:59-23:59"`, `{}`}

func TestErrorsHoldNothingOfTheObject(t *testing.T) {
	document := `{"apiVersion":"v1","kind":"Namespace","metadata":{"uid":"a","name":"secret","creationTimestamp":"secret",` +
		`"labels":{"konflux-ci.dev/type":"tenant"}}}`
	p := NewProjector(testNames(t))
	_, err := p.ReadObject(scan.NewBytes([]byte(document)), "")
	if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), "secret") {
		t.Errorf("error is %v", err)
	}
}

func TestBrokenStream(t *testing.T) {
	p := NewProjector(testNames(t))
	for n := range everything {
		_, err := p.ReadObject(scan.NewBytes([]byte(everything[:n])), "")
		if want := io.ErrUnexpectedEOF; n > 0 && !errors.Is(err, want) || n == 0 && !errors.Is(err, io.EOF) {
			t.Fatalf("%d bytes: got %v", n, err)
		}
		if _, err := p.ReadBytes([]byte(everything[:n]), ""); !errors.Is(err, ErrInvalid) {
			t.Fatalf("%d bytes of their own: got %v", n, err)
		}
	}
	if _, err := p.ReadBytes([]byte(everything+"x"), ""); !errors.Is(err, ErrInvalid) {
		t.Fatalf("bytes behind the document: got %v", err)
	}
}

// TestReadingAllocatesNothing is about an object once one like it was read.
func TestReadingAllocatesNothing(t *testing.T) {
	p, s := NewProjector(testNames(t)), scan.NewBytes(nil)
	allocations := testing.AllocsPerRun(100, func() {
		s.ResetBytes([]byte(everything))
		if err := p.object.read(s); err != nil {
			t.Fatal(err)
		}
	})
	if allocations > 1 { // the copy of everything
		t.Errorf("reading an object allocates %v times", allocations-1)
	}
}

func TestKindOf(t *testing.T) {
	for _, test := range []struct {
		apiVersion, kind string
		want             Kind
	}{
		{"tekton.dev/v1", "PipelineRun", KindPipelineRun},
		{"tekton.dev/v1beta1", "PipelineRun", KindPipelineRun},
		{"tekton.dev/v1alpha1", "PipelineRun", ""},
		{"tekton.dev", "PipelineRun", ""},
		{"v1", "PipelineRun", ""},
		{"tekton.dev/v1", "TaskRun", ""},
		{"appstudio.redhat.com/v1alpha1", "Component", KindComponent},
		{"example.com/v1alpha1", "Component", ""},
		{"v1", "Namespace", KindNamespace},
		{"example.com/v1", "Namespace", ""},
		{"konflux.konflux-ci.dev/v1alpha1", "Konflux", KindInstallation},
		{"konflux-ci.dev/v1alpha1", "Konflux", ""},
		{"", "", ""},
	} {
		if got := KindOf([]byte(test.apiVersion), []byte(test.kind)); got != test.want {
			t.Errorf("%s %s is %q, want %q", test.apiVersion, test.kind, got, test.want)
		}
	}
}
