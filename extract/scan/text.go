// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// Text reads a string and returns its text, valid until the next call. Text that
// is longer than MaxText is cut there, and long is true. Null is an empty text.
//
// As in encoding/json, bytes that are not UTF-8 and halves of surrogate pairs
// become U+FFFD.
func (s *Scanner) Text() (text []byte, long bool, err error) {
	kind, err := s.Next()
	switch {
	case err != nil:
		return nil, false, err
	case kind == Null:
		return nil, false, s.Skip()
	case kind != String:
		return nil, false, ErrKind
	}
	s.pos++
	return s.captured()
}

// captured reads the rest of the string whose opening quote was read. Nearly
// always the text can stay where it is.
func (s *Scanner) captured() (text []byte, long bool, err error) {
	rest := s.data[s.pos:]
	if n := plain(rest); n < len(rest) && rest[n] == '"' {
		s.pos += n + 1
		return rest[:min(n, MaxText)], n > MaxText, nil
	}
	s.text = s.text[:0]
	for {
		if s.pos == len(s.data) {
			if err := s.must(); err != nil {
				return nil, false, err
			}
		}
		rest := s.data[s.pos:]
		switch c := rest[0]; {
		case c == '"':
			s.pos++
			if !utf8.Valid(s.text) {
				s.text = []byte(string([]rune(string(s.text))))
			}
			return s.text, long, nil
		case c == '\\':
			s.pos++
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		case c < ' ':
			return nil, false, s.malformed("no control character in a string")
		default:
			n := max(1, plain(rest))
			s.text = append(s.text, rest[:min(n, MaxText+1)]...)
			s.pos += n
		}
		if len(s.text) > MaxText {
			s.text, long = s.text[:MaxText], true
		}
	}
}

// escape reads what follows a backslash and appends what it means.
func (s *Scanner) escape() error {
	// The longest is a pair of surrogates, uXXXX\uXXXX. There may be less.
	for len(s.data)-s.pos < 11 {
		if more, err := s.fill(); err != nil || !more {
			break
		}
	}
	rest := s.data[s.pos:]
	if len(rest) == 0 {
		return s.must()
	}
	r, n := rune(rest[0]), 1
	switch r {
	case '"', '\\', '/':
	case 'b':
		r = '\b'
	case 'f':
		r = '\f'
	case 'n':
		r = '\n'
	case 'r':
		r = '\r'
	case 't':
		r = '\t'
	case 'u':
		if len(rest) < 5 {
			return s.must()
		}
		var ok bool
		if r, ok = hexadecimal(rest[1:5]); !ok {
			return s.malformed("four hexadecimal digits")
		}
		n = 5
		if utf16.IsSurrogate(r) && len(rest) >= 11 && rest[5] == '\\' && rest[6] == 'u' {
			low, _ := hexadecimal(rest[7:11])
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				r, n = pair, 11
			}
		}
	default:
		return s.malformed("an escape sequence")
	}
	s.pos += n
	s.text = utf8.AppendRune(s.text, r) // half a pair becomes U+FFFD
	return nil
}

func hexadecimal(digits []byte) (rune, bool) {
	var r rune
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// plain returns the length of the run of bytes that stand for themselves at the
// start of text: no quote, no backslash, no control character, ASCII.
func plain(text []byte) int {
	i := 0
	for ; i+8 <= len(text); i += 8 {
		word := binary.LittleEndian.Uint64(text[i:])
		control := (word - ones*' ') & flags
		if found := first(word, '"') | first(word, '\\') | control | word&flags; found != 0 {
			return i + firstByte(found)
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c == '"' || c == '\\' || c < ' ' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}
