// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"encoding/json"
	"slices"
	"strconv"
)

// Scale returns the buckets 0, 1, 2, 5, 10, 20, 50, … up to the first that is at
// least most: coarse enough that a size does not single out a cluster, fine enough
// to tell sizes apart.
func Scale(most int64) []int64 {
	buckets := []int64{0}
	for unit := int64(1); ; unit *= 10 {
		for _, step := range []int64{1, 2, 5} {
			buckets = append(buckets, step*unit)
			if step*unit >= most {
				return buckets
			}
		}
	}
}

// bucket rounds n down to the lower end of its range.
func (s *PropertySpec) bucket(n int64) int64 {
	if len(s.Buckets) == 0 {
		return n
	}
	i, found := slices.BinarySearch(s.Buckets, n)
	if !found && i > 0 {
		i--
	}
	return s.Buckets[i]
}

func ascending(numbers []int64) bool {
	for i := 1; i < len(numbers); i++ {
		if numbers[i] <= numbers[i-1] {
			return false
		}
	}
	return true
}

func (s *PropertySpec) hasWords() bool {
	return s.Type == TypeEnum || s.Type == TypeSet || s.Type == TypeCounts
}

// set returns the value of the words, in the order of the closed list, or false
// when one is not in it.
func (s *PropertySpec) set(words []string) (Value, bool) {
	b := []byte{'['}
	for _, word := range s.Words {
		if slices.Contains(words, word) {
			b = append(appendJSONString(b, word), ',')
		}
	}
	listed := !slices.ContainsFunc(words, func(word string) bool { return !slices.Contains(s.Words, word) })
	return Value{typ: TypeSet, text: closed(b, ']')}, listed
}

// counts returns the value of the numbers, in the order of the closed list and
// rounded down to their buckets, or false when a word is not in the list or a
// number is below the minimum.
func (s *PropertySpec) counts(numbers map[string]int64) (Value, bool) {
	b, listed := []byte{'{'}, 0
	for _, word := range s.Words {
		n, ok := numbers[word]
		if !ok {
			continue
		}
		if n < s.Minimum {
			return Null, false
		}
		listed++
		b = append(appendJSONString(b, word), ':')
		b = append(strconv.AppendInt(b, s.bucket(n), 10), ',')
	}
	return Value{typ: TypeCounts, text: closed(b, '}')}, listed == len(numbers)
}

// closed ends a list whose items are each followed by a comma.
func closed(b []byte, end byte) string {
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return string(append(b, end))
}

// isComposite reports whether v, a set or counts, is what set or counts would make.
func (s *PropertySpec) isComposite(v Value) bool {
	var again Value
	ok := false
	if s.Type == TypeSet {
		var words []string
		ok = json.Unmarshal([]byte(v.text), &words) == nil
		again, _ = s.set(words)
	} else {
		var numbers map[string]int64
		ok = json.Unmarshal([]byte(v.text), &numbers) == nil
		again, _ = s.counts(numbers)
	}
	return ok && again == v
}
