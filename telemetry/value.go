// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// A Type is the type of a property. There is none for free text.
type Type string

const (
	// TypePseudonym is a [Pseudonym]; in JSON 12 hexadecimal digits.
	TypePseudonym Type = "pseudonym"
	// TypeEnum is a word of a closed list; in JSON a string.
	TypeEnum Type = "enum"
	// TypeInteger is a whole number.
	TypeInteger Type = "integer"
	// TypeBoolean is true or false.
	TypeBoolean Type = "boolean"
	// TypeTime is an instant; in JSON RFC 3339, UTC, whole seconds.
	TypeTime Type = "time"
	// TypeVersion is a [Version]; in JSON a string.
	TypeVersion Type = "version"
	// TypeSet is some words of a closed list; in JSON an array, in the list's order.
	TypeSet Type = "set"
	// TypeCounts is a whole number for some words of a closed list; in JSON an
	// object, in the list's order.
	TypeCounts Type = "counts"
)

// A Value is the value of a property. It can hold nothing but the types above,
// or null.
type Value struct {
	typ    Type // "" is null
	number int64
	text   string
}

// Null is the value of a property that is known to have none.
var Null = Value{}

// IntegerValue returns the value of a whole number.
func IntegerValue(n int64) Value { return Value{typ: TypeInteger, number: n} }

// BooleanValue returns the value of a truth.
func BooleanValue(b bool) Value {
	v := Value{typ: TypeBoolean}
	if b {
		v.number = 1
	}
	return v
}

// TimeValue returns the value of an instant, cut to whole seconds; Null for the
// zero time.
func TimeValue(t time.Time) Value {
	if t.IsZero() {
		return Null
	}
	return Value{typ: TypeTime, number: t.Unix()}
}

// PseudonymValue returns the value of a pseudonym; Null for the zero one.
func PseudonymValue(p Pseudonym) Value {
	if !p.set {
		return Null
	}
	var n int64
	for _, b := range p.hash {
		n = n<<8 | int64(b)
	}
	return Value{typ: TypePseudonym, number: n}
}

// EnumValue returns the value of a word of a closed list; Null for none.
func EnumValue[L List](e Enum[L]) Value {
	if e.IsZero() {
		return Null
	}
	return Value{typ: TypeEnum, text: e.String()}
}

// VersionValue returns the value of a version; Null for an unknown one.
func VersionValue(v Version) Value {
	if v.IsZero() {
		return Null
	}
	return Value{typ: TypeVersion, text: v.text}
}

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.typ == "" }

// Type returns the type of the value, or "" for null.
func (v Value) Type() Type { return v.typ }

// Integer returns the number of an integer value, the Unix seconds of a time, and
// 1 or 0 for a boolean.
func (v Value) Integer() int64 { return v.number }

// String returns the value as text; "" for null, JSON for a set and for counts.
func (v Value) String() string {
	switch v.typ {
	case TypeInteger:
		return strconv.FormatInt(v.number, 10)
	case TypeBoolean:
		return strconv.FormatBool(v.number == 1)
	case TypeTime:
		return time.Unix(v.number, 0).UTC().Format(time.RFC3339)
	case TypePseudonym:
		return hex.EncodeToString(v.pseudonym())
	case TypeEnum, TypeVersion, TypeSet, TypeCounts:
		return v.text
	default:
		return ""
	}
}

func (v Value) pseudonym() []byte {
	b := make([]byte, pseudonymBytes)
	for i := range b {
		b[i] = byte(v.number >> (8 * (pseudonymBytes - 1 - i)))
	}
	return b
}

// AppendJSON appends the value as JSON.
func (v Value) AppendJSON(b []byte) []byte {
	switch v.typ {
	case TypeInteger:
		return strconv.AppendInt(b, v.number, 10)
	case TypeBoolean:
		return strconv.AppendBool(b, v.number == 1)
	case TypeTime:
		b = append(b, '"')
		b = time.Unix(v.number, 0).UTC().AppendFormat(b, time.RFC3339)
		return append(b, '"')
	case TypePseudonym:
		b = append(b, '"')
		b = hex.AppendEncode(b, v.pseudonym())
		return append(b, '"')
	case TypeEnum, TypeVersion:
		return appendJSONString(b, v.text)
	case TypeSet, TypeCounts: // the text is JSON
		return append(b, v.text...)
	default:
		return append(b, "null"...)
	}
}

// appendJSONString appends s quoted. Nearly all strings here are plain words.
func appendJSONString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always marshals
				panic(err)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
