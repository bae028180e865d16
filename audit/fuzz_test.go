// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

const someCall = `{"type":"track","messageId":"a-started","anonymousId":"anonymous","event":"PipelineRun Started","timestamp":"2026-11-22T12:00:00Z",` +
	`"context":{"library":{"name":"segment-bridge","version":"1"},"device":{"id":"beff2f1062c7"}},"properties":{"taskCount":5,"pipelineType":null}}`

// Whatever a payload is, it passes for the one that is expected only if it is that as JSON.
func FuzzCompare(f *testing.F) {
	f.Add([]byte(someCall))
	f.Add([]byte(strings.ReplaceAll(someCall, ":", " : ")))
	f.Add([]byte(strings.Replace(someCall, `"taskCount":5`, `"taskCount":5,"taskCount":5`, 1)))
	f.Add([]byte(strings.Replace(someCall, `"type":"track"`, `"type":"\u0074rack"`, 1)))
	f.Add([]byte(strings.Replace(someCall, `5`, `5.0`, 1)))
	f.Add([]byte(`{"properties":{}}`))
	f.Add([]byte(`[]`))
	spec := catalogue.Plan().Event(catalogue.PipelineRunStarted)
	var want any
	if err := json.Unmarshal([]byte(someCall), &want); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		library, plain := libraryOf(payload)
		if plain && (!isPlain(library.Name) || strings.ContainsAny(library.Version, `" `)) {
			t.Errorf("library %q", library)
		}
		if text := compare(payload, []byte(someCall), spec); text != "" {
			return
		}
		var got any
		if err := json.Unmarshal(payload, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("taken for the same: %s (%v)", payload, err)
		}
	})
}

// Whatever a value of the payload is, it becomes one that the plan lists or none.
func FuzzParseJSON(f *testing.F) {
	for _, text := range []string{`"build"`, `5`, `1e3`, `true`, `"2026-11-22T12:00:00Z"`, `["a"]`, `{"a":1}`, `null`, `"beff2f1062c7"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, typ := range []telemetry.Type{
			telemetry.TypePseudonym, telemetry.TypeEnum, telemetry.TypeInteger, telemetry.TypeBoolean, telemetry.TypeTime,
			telemetry.TypeVersion, telemetry.TypeSet, telemetry.TypeCounts,
		} {
			spec := telemetry.PropertySpec{Name: "p", Type: typ, Words: []string{"build", "a"}}
			if v, ok := parseJSON(&spec, raw); ok && !v.IsNull() && v.Type() != typ {
				t.Errorf("%s of %s is a %s", typ, raw, v.Type())
			}
		}
	})
}

// A name is found wherever it stands and however base64 is aligned, and a name that is not there is not.
func FuzzNames(f *testing.F) {
	f.Add("team-quokka", "x", "y")
	f.Add("Ünï cödé", "", "")
	f.Add(`a"b\c<d>`, "12", "345")
	f.Fuzz(func(t *testing.T, name, before, after string) {
		name = strings.TrimSpace(name)
		if len(name) < minName+1 || strings.ContainsAny(name, "\n") {
			return
		}
		n := newNames([]string{name}, catalogue.Plan())
		if n.count != 1 {
			return
		}
		contains := func(text []byte) bool {
			found := false
			(&searcher{names: n}).search(text, func(hit) { found = true })
			return found
		}
		whole := before + name + after
		texts := map[string]string{
			"base64":         base64.StdEncoding.EncodeToString([]byte(whole)),
			"base64 of URLs": base64.RawURLEncoding.EncodeToString([]byte(whole)),
		}
		if len(n.unsearched) == 0 {
			texts["plain"] = whole
		}
		for how, text := range texts {
			if !contains([]byte(text)) {
				t.Errorf("%q is not found in %s %q", name, how, text)
			}
		}
		if key := n.mask(whole); len(n.unsearched) == 0 && bytes.Contains([]byte(key), []byte(name)) && !strings.Contains("{1}", name) {
			t.Errorf("%q is masked as %q", whole, key)
		}
	})
}
