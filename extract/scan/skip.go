// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
)

// ErrDepth says that a value is nested more deeply than MaxDepth.
var ErrDepth = errors.New("JSON value is nested too deeply")

// Skip reads the next value and drops it.
func (s *Scanner) Skip() error {
	kind, err := s.Next()
	if err != nil {
		return err
	}
	switch kind {
	case Object, Array:
		s.pos++
		return s.skipNested()
	case String:
		s.pos++
		return s.skipText()
	case Number:
		return s.skipNumber()
	default:
		return s.skipWord()
	}
}

// Eight bytes are looked at as one number, the first byte lowest. A flag is one
// bit of a byte that says something about this byte.
const (
	ones  = 0x0101010101010101
	flag6 = ones << 6
	flag7 = ones << 7
	low7  = flag7 - ones
)

// skipNested skips to the end of the object or array whose opening bracket was
// read, 16 bytes at a time. As long as it meets no backslash and no end it has no
// branch that depends on the data: where a string ends is a coin toss to the processor.
func (s *Scanner) skipNested() error {
	depth := uint64(1)
	inside := uint64(0) // all bits set within a string
	for {
		rest := s.data[s.pos:]
		for len(rest) > 16 { // a byte more, so that what a backslash escapes is there
			low, high := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
			step := 16
			if s1, s2 := first(low, '\\'), first(high, '\\'); s1|s2 != 0 {
				before := bits.TrailingZeros64(s1) / 8 // 8 if there is none
				if before == 8 {
					before += bits.TrailingZeros64(s2) / 8
				}
				low &= lowest(before)
				high &= lowest(max(before-8, 0))
				step = before + 2
			}
			var opening, closing [2]uint64
			opening[0], closing[0], inside = brackets(low, inside)
			opening[1], closing[1], inside = brackets(high, inside)
			closed := sum(closing[0]>>6 + closing[1]>>6)
			if depth <= closed {
				if end := findEnd(opening, closing, depth); end >= 0 {
					s.pos = len(s.data) - len(rest) + end + 1
					return nil
				}
			}
			depth += sum(opening[0]>>6+opening[1]>>6) - closed
			if depth > MaxDepth {
				return ErrDepth
			}
			rest = rest[step:]
		}
		s.pos = len(s.data) - len(rest)
		if more, err := s.fill(); err != nil {
			return err
		} else if !more {
			return s.skipTail(depth, inside != 0)
		}
	}
}

// brackets flags, in bit 6, the brackets of word that are outside of strings.
// Inside has all bits set if word starts within a string, and next if the word
// behind it does.
func brackets(word, inside uint64) (opening, closing, next uint64) {
	// Byte k of the product is the number of quotes up to byte k: odd within a
	// string.
	quotes := equal(word, '"') >> 7 * ones
	// Outside of strings the brackets are the bytes with bits 6, 4 and 3. Bit 1 is set
	// in the opening ones, bit 2 in the closing ones.
	found := word & (word << 2) & (word << 3) &^ (quotes<<6 ^ inside) & flag6
	return found & (word << 5), found & (word << 4), inside ^ -(quotes >> 56 & 1)
}

// findEnd returns the index of the byte that brings depth to zero, or -1.
func findEnd(opening, closing [2]uint64, depth uint64) int {
	for i := range opening {
		for all := opening[i] | closing[i]; all != 0; all &= all - 1 {
			if all&-all&closing[i] == 0 {
				depth++
			} else if depth--; depth == 0 {
				return 8*i + bits.TrailingZeros64(all)/8
			}
		}
	}
	return -1
}

// skipTail does the work of skipNested in the last bytes of the input.
func (s *Scanner) skipTail(depth uint64, inside bool) error {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			inside = !inside
		case c == '\\':
			s.pos++
		case inside:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				s.pos++
				return nil
			}
		}
	}
	s.pos = len(s.data)
	return io.ErrUnexpectedEOF
}

// skipText skips to the end of the string whose opening quote was read.
func (s *Scanner) skipText() error {
	for {
		data, i := s.data, s.pos
		for i+9 <= len(data) {
			word := binary.LittleEndian.Uint64(data[i:])
			found := first(word, '"') | first(word, '\\')
			if found == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(found) / 8
			if data[i] == '"' {
				s.pos = i + 1
				return nil
			}
			i += 2
		}
		s.pos = i
		if more, err := s.fill(); err != nil {
			return err
		} else if !more {
			break
		}
	}
	for ; s.pos < len(s.data); s.pos++ {
		switch s.data[s.pos] {
		case '"':
			s.pos++
			return nil
		case '\\':
			s.pos++
		}
	}
	s.pos = len(s.data)
	return io.ErrUnexpectedEOF
}

// skipNumber skips a number, or what is written in the letters of one.
func (s *Scanner) skipNumber() error {
	for {
		for ; s.pos < len(s.data); s.pos++ {
			switch c := s.data[s.pos]; {
			case '0' <= c && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			default:
				return nil
			}
		}
		if more, err := s.fill(); err != nil || !more {
			return err
		}
	}
}

// skipWord skips null, true or false.
func (s *Scanner) skipWord() error {
	word := "null"
	switch s.data[s.pos] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	}
	for i := range len(word) {
		if s.pos == len(s.data) {
			if err := s.must(); err != nil {
				return err
			}
		}
		if s.data[s.pos] != word[i] {
			return s.malformed("null, true or false")
		}
		s.pos++
	}
	return nil
}

// equal flags, in bit 7, the bytes of word that equal c.
func equal(word uint64, c byte) uint64 {
	word ^= ones * uint64(c)
	return ^((word&low7 + low7) | word | low7)
}

// first flags, in bit 7, the first byte of word that equals c, and possibly some
// behind it. It is cheaper than equal.
func first(word uint64, c byte) uint64 {
	word ^= ones * uint64(c)
	return (word - ones) &^ word & flag7
}

// lowest has the bits of the n lowest bytes set.
func lowest(n int) uint64 { return 1<<(8*n) - 1 }

// sum adds up the bytes of word, which must not come to more than 255.
func sum(word uint64) uint64 { return word * ones >> 56 }
