// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"encoding/json"
	"errors"
)

// A Property is one named value of an event.
type Property struct {
	Name  string
	Value Value
}

// propertyJSON is a property with the type of its value, which JSON alone does not tell.
type propertyJSON struct {
	Name  string          `json:"name"`
	Type  Type            `json:"type"`
	Value json.RawMessage `json:"value"`
}

// MarshalJSON implements [json.Marshaler]: an object with name, type and value.
func (p Property) MarshalJSON() ([]byte, error) {
	return json.Marshal(propertyJSON{p.Name, p.Value.typ, p.Value.AppendJSON(nil)})
}

var errMalformedProperty = errors.New("decode property: its value is not of its type")

// UnmarshalJSON reads what MarshalJSON wrote. Whether a word is in its closed list, the
// plan says: see [Plan.Check].
func (p *Property) UnmarshalJSON(text []byte) error {
	var from propertyJSON
	if err := json.Unmarshal(text, &from); err != nil {
		return errMalformedProperty
	}
	value, err := valueOf(from.Type, from.Value)
	if err != nil {
		return errMalformedProperty
	}
	*p = Property{from.Name, value}
	return nil
}

// valueOf reads the JSON of a value whose type is known.
func valueOf(typ Type, text []byte) (v Value, err error) {
	switch typ {
	case TypeInteger:
		err = json.Unmarshal(text, &v.number)
	case TypeBoolean:
		var b bool
		err = json.Unmarshal(text, &b)
		v = BooleanValue(b)
	case TypeEnum:
		err = json.Unmarshal(text, &v.text)
	case TypeVersion:
		var version Version
		err = json.Unmarshal(text, &version)
		v = VersionValue(version)
	case TypePseudonym:
		var p Pseudonym
		err = json.Unmarshal(text, &p)
		v = PseudonymValue(p)
	case TypeSet:
		var words []string
		err = json.Unmarshal(text, &words)
		v.text = composite(text, words != nil)
	case TypeCounts:
		var numbers map[string]int64
		err = json.Unmarshal(text, &numbers)
		v.text = composite(text, numbers != nil)
	default:
		err = errMalformedProperty
	}
	v.typ = typ
	if again := v.AppendJSON(nil); err == nil && string(again) != string(text) {
		err = errMalformedProperty
	}
	return v, err
}

// composite returns the text of a set or of counts as values hold it; "" is none.
func composite(text []byte, is bool) string {
	if s := string(text); is && compactJSON(s) {
		return s
	}
	return ""
}
