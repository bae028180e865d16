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
// read. It has no branch that depends on the data as long as no backslash and no end
// is met: where a string ends is a coin toss to the processor.
func (s *Scanner) skipNested() error {
	depth := 1
	inside := uint64(0) // all bits set within a string
	for {
		data, i := s.data, s.pos
		for i+9 <= len(data) { // 9: what a backslash escapes is there too
			word, step := binary.LittleEndian.Uint64(data[i:]), 8
			quotes := equal(word, '"')
			if slashes := any8(word, '\\'); slashes != 0 {
				k := bits.TrailingZeros64(slashes) / 8
				before := uint64(1)<<(8*k) - 1
				quotes &= before
				word &= before
				step = k + 2
			}
			// Byte k of the product is the number of quotes up to byte k: odd within
			// a string.
			count := (quotes >> 7) * ones
			// Outside of strings, brackets are the bytes with bits 6, 4 and 3; bit 1
			// tells the opening ones, bit 2 the closing ones.
			brackets := word & (word << 2) & (word << 3) & flag6 &^ (count<<6 ^ inside)
			inside ^= -(count >> 56 & 1)
			opening, closing := brackets&(word<<5), brackets&(word<<4)

			closed := bits.OnesCount64(closing)
			if depth <= closed {
				if end := lastBracket(opening, closing, depth); end >= 0 {
					s.pos = i + end + 1
					return nil
				}
			}
			depth += bits.OnesCount64(opening) - closed
			if depth > MaxDepth {
				return ErrDepth
			}
			i += step
		}
		s.pos = i
		if err := s.fill(); err == io.EOF {
			return s.skipTail(depth, inside != 0)
		} else if err != nil {
			return err
		}
	}
}

// lastBracket returns the index of the byte that brings depth to zero, or -1.
func lastBracket(opening, closing uint64, depth int) int {
	for all := opening | closing; all != 0; all &= all - 1 {
		if all&-all&closing == 0 {
			depth++
		} else if depth--; depth == 0 {
			return bits.TrailingZeros64(all) / 8
		}
	}
	return -1
}

// skipTail does the work of skipNested in the last bytes of the input.
func (s *Scanner) skipTail(depth int, inside bool) error {
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
			found := any8(word, '"') | any8(word, '\\')
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
		if err := s.fill(); err == io.EOF {
			break
		} else if err != nil {
			return err
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
		if err := s.fill(); err == io.EOF {
			return nil
		} else if err != nil {
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
			if err := s.more(); err != nil {
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

// equal sets bit 7 of each byte of word that equals c.
func equal(word uint64, c byte) uint64 {
	word ^= ones * uint64(c)
	return ^((word&low7 + low7) | word | low7)
}

// any8 sets bit 7 of the first byte of word that equals c, and possibly of bytes
// behind it. It is cheaper than equal.
func any8(word uint64, c byte) uint64 {
	word ^= ones * uint64(c)
	return (word - ones) &^ word & flag7
}
