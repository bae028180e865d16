// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"errors"
	"slices"
)

// A List is a closed list of words, declared in code. It is a type, so that
// words from different lists do not mix:
//
//	type colours struct{}
//
//	func (colours) Words() []string { return []string{"red", "green", "other"} }
//
//	type Colour = telemetry.Enum[colours]
type List interface {
	// Words returns the words, at most 255, always the same in the same order.
	Words() []string
}

// An Enum is one word of the closed list L, or none, which is its zero value.
// Text read from a cluster becomes an Enum only if it is one of the words.
type Enum[L List] struct {
	index uint8 // 1 + position in Words; 0 is none
}

// ParseEnum returns the word of L that equals text, and whether there is one.
func ParseEnum[L List, T ~string | ~[]byte](text T) (Enum[L], bool) {
	var list L
	for i, word := range list.Words() {
		if word == string(text) {
			return Enum[L]{uint8(i + 1)}, true
		}
	}
	return Enum[L]{}, false
}

// MustEnum returns the word of L that equals word. It panics when there is none,
// which is a mistake in the program.
func MustEnum[L List](word string) Enum[L] {
	e, ok := ParseEnum[L](word)
	if !ok {
		panic("telemetry: no such word in the list: " + word)
	}
	return e
}

// IsZero reports whether e is no word at all.
func (e Enum[L]) IsZero() bool { return e.index == 0 }

// String returns the word, or "".
func (e Enum[L]) String() string {
	if e.index == 0 {
		return ""
	}
	var list L
	return list.Words()[e.index-1]
}

// MarshalText implements [encoding.TextMarshaler].
func (e Enum[L]) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what MarshalText wrote; a word that is not in the list is
// an error.
func (e *Enum[L]) UnmarshalText(text []byte) error {
	*e = Enum[L]{}
	if len(text) == 0 {
		return nil
	}
	parsed, ok := ParseEnum[L](text)
	if !ok {
		return errors.New("word is not in its closed list")
	}
	*e = parsed
	return nil
}

// Words returns the whole list that e belongs to.
func (e Enum[L]) Words() []string {
	var list L
	return slices.Clone(list.Words())
}
