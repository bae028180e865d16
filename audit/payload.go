// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// parseJSON reads a value of a property that no column has.
func parseJSON(spec *telemetry.PropertySpec, raw json.RawMessage) (telemetry.Value, bool) {
	if string(raw) == "null" {
		return telemetry.Null, true
	}
	var (
		text    string
		number  int64
		boolean bool
		at      time.Time
		ok      bool
	)
	switch spec.Type {
	case telemetry.TypeInteger:
		ok = json.Unmarshal(raw, &number) == nil
		return telemetry.IntegerValue(number), ok
	case telemetry.TypeBoolean:
		ok = json.Unmarshal(raw, &boolean) == nil
		return telemetry.BooleanValue(boolean), ok
	case telemetry.TypeTime:
		ok = json.Unmarshal(raw, &at) == nil
		return telemetry.TimeValue(at), ok
	case telemetry.TypeSet, telemetry.TypeCounts:
		var b bytes.Buffer
		if json.Compact(&b, raw) != nil {
			return telemetry.Null, false
		}
		return spec.ParseText(b.Bytes())
	case telemetry.TypePseudonym, telemetry.TypeEnum, telemetry.TypeVersion:
	}
	if json.Unmarshal(raw, &text) != nil {
		return telemetry.Null, false
	}
	return spec.ParseText([]byte(text))
}

// A field is a member of a JSON object.
type field struct {
	name string
	raw  json.RawMessage
}

var errObject = errors.New("it is not a JSON object with each name once")

// fields reads the members of a JSON object.
func fields(text []byte) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errObject
	}
	var all []field
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok || seen[name] {
			return nil, errObject
		}
		seen[name] = true
		f := field{name: name}
		if err := d.Decode(&f.raw); err != nil {
			return nil, errObject
		}
		all = append(all, f)
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return nil, errObject
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errObject
	}
	return all, nil
}

// libraryOf returns the program that the payload says it was made by.
func libraryOf(payload []byte) (telemetry.Library, bool) {
	var call struct {
		Context struct {
			Library struct{ Name, Version string }
		}
	}
	if json.Unmarshal(payload, &call) != nil {
		return telemetry.Library{}, false
	}
	l := telemetry.Library(call.Context.Library)
	return l, isPlain(l.Name) && isPlain(l.Version)
}

// isPlain reports whether a text looks like the name or the version of a program.
func isPlain(s string) bool {
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != '_'
	}
	return s != "" && len(s) <= 64 && bytes.IndexFunc([]byte(s), odd) < 0
}

// compare says in which part a payload is not, as JSON, the one that follows from the columns; "" if
// it is. A property that may be null and may be left out is either, since columns do not tell.
func compare(payload, expected []byte, spec *telemetry.EventSpec) string {
	got, err := fields(payload)
	want, wantErr := fields(expected)
	if err != nil || wantErr != nil {
		return "the payload is not a JSON object that has each name once"
	}
	part := differs(got, want, func(name string, g, w json.RawMessage) bool {
		if name != "properties" {
			return equalJSON(g, w)
		}
		return compareProperties(g, w, spec) == ""
	})
	switch part {
	case "":
		return ""
	case "properties":
		return compareProperties(find(got, part), find(want, part), spec)
	case unlisted:
		return "the payload has a part that no track call has"
	default:
		return part + " of the payload is missing or not what the columns say"
	}
}

func compareProperties(got, want json.RawMessage, spec *telemetry.EventSpec) string {
	g, err := fields(got)
	w, wantErr := fields(want)
	if err != nil || wantErr != nil {
		return "the properties of the payload are not a JSON object that has each name once"
	}
	for i := range spec.Properties {
		p := &spec.Properties[i]
		if p.Optional && p.Nullable && find(w, p.Name) == nil && string(find(g, p.Name)) == "null" {
			w = append(w, field{p.Name, json.RawMessage("null")})
		}
	}
	switch part := differs(g, w, func(_ string, g, w json.RawMessage) bool { return equalJSON(g, w) }); part {
	case "":
		return ""
	case unlisted:
		return "the payload has a property that the columns do not have"
	default:
		return "property " + part + " of the payload is missing or not what its column says"
	}
}

// unlisted stands for a name that may be anything.
const unlisted = "?"

// differs returns the first name whose values are not equal; unlisted if only got has it.
func differs(got, want []field, equal func(name string, got, want json.RawMessage) bool) string {
	for _, w := range want {
		if g := find(got, w.name); g == nil || !equal(w.name, g, w.raw) {
			return w.name
		}
	}
	if len(got) > len(want) {
		return unlisted
	}
	return ""
}

func find(all []field, name string) json.RawMessage {
	for _, f := range all {
		if f.name == name {
			return f.raw
		}
	}
	return nil
}

// equalJSON compares values as JSON, numbers by their digits and objects by all their members.
func equalJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if bytes.HasPrefix(a, []byte("{")) && bytes.HasPrefix(b, []byte("{")) {
		left, err := fields(a)
		right, err2 := fields(b)
		return err == nil && err2 == nil && differs(left, right, func(_ string, l, r json.RawMessage) bool { return equalJSON(l, r) }) == ""
	}
	var left, right any
	return decodeNumbers(a, &left) == nil && decodeNumbers(b, &right) == nil && reflect.DeepEqual(left, right)
}

func decodeNumbers(text []byte, v *any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}
