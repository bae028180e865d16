// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/binary"
	"io"
	"math/bits"
)

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

// skipNested skips to the end of the object or array whose opening bracket was
// read. Where a string ends is a coin toss to the processor, so that brackets are found
// by the block, without asking byte by byte.
func (s *Scanner) skipNested() error {
	depth := 1
	var strings stringTracker
	var last [blockBytes]byte
	for {
		rest := s.data[s.pos:]
		block := &last
		if len(rest) >= blockBytes {
			block = (*[blockBytes]byte)(rest)
		} else if more, err := s.fill(); err != nil {
			return err
		} else if more {
			continue
		} else if n := copy(last[:], s.data[s.pos:]); n == 0 {
			return io.ErrUnexpectedEOF
		}
		for brackets := strings.brackets(block); brackets != 0; brackets &= brackets - 1 {
			i := bits.TrailingZeros64(brackets)
			depth += int(block[i]&2) - 1 // bit 1 is set in { and [, and clear in } and ]
			if depth == 0 {
				s.pos += i + 1
				return nil
			}
		}
		s.pos += min(blockBytes, len(rest))
	}
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
			i += firstByte(found)
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
