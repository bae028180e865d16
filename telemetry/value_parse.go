// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"encoding/json"
	"slices"
)

// ParseText reads a value of the property from what [Value.String] wrote, if it is one
// that is written as text: a pseudonym, a word of the list, a version, a set or counts. Whatever
// else the text is, it does not become a value.
func (s *PropertySpec) ParseText(text []byte) (v Value, ok bool) {
	switch s.Type {
	case TypePseudonym:
		var p Pseudonym
		ok = p.UnmarshalText(text) == nil && !p.IsZero()
		return PseudonymValue(p), ok
	case TypeEnum:
		i := slices.Index(s.Words, string(text))
		if i < 0 {
			return Null, false
		}
		return Value{typ: TypeEnum, text: s.Words[i]}, true
	case TypeVersion:
		version, err := ParseVersion(string(text))
		return VersionValue(version), err == nil
	case TypeSet:
		var words []string
		if json.Unmarshal(text, &words) == nil {
			v, ok = s.set(words)
		}
	case TypeCounts:
		var numbers map[string]int64
		if json.Unmarshal(text, &numbers) == nil {
			v, ok = s.counts(numbers)
		}
	case TypeInteger, TypeBoolean, TypeTime:
	}
	return v, ok && v.text == string(text)
}
