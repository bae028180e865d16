// SPDX-License-Identifier: Apache-2.0

package kube

import "slices"

// other is the word for what no list has. The text itself never leaves: it may be
// somebody's own.
const other = "other"

func withOther(words []string) []string { return append(slices.Clone(words), other) }

// listedOr returns the word when it is in the list, and otherwise the other one.
func listedOr(words []string, word, otherwise string) string {
	if slices.Contains(words, word) {
		return word
	}
	return otherwise
}

// A tallies counts words. The zero tallies is ready for use.
type tallies map[string]int64

func (t *tallies) add(word string) {
	if *t == nil {
		*t = tallies{}
	}
	(*t)[word]++
}
