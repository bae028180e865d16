// SPDX-License-Identifier: Apache-2.0

// Package scan reads the few values that are wanted out of large JSON documents.
// A [Scanner] walks where it is told to, captures short strings and runs over the
// rest without building anything, at more than a gigabyte a second.
//
// Memory is one buffer of 64 KiB and one captured string of at most [MaxText]
// bytes, however large a document is and however deeply what is skipped is nested.
//
// What is walked and captured is checked as JSON. What is skipped is not: there,
// strings end where they end and brackets are counted, so that a malformed value
// inside a skipped one goes unnoticed. A well-formed document is always read right.
package scan

import (
	"errors"
	"io"
	"strconv"
)

const (
	// MaxText is the length, in bytes, to which a captured string is cut.
	MaxText = 4 << 10

	bufferBytes = 64 << 10
	maxIdle     = 100 // reads in a row that may bring nothing
)

// A Kind is the kind of a JSON value.
type Kind byte

// The kinds of JSON values.
const (
	Object Kind = 1 + iota
	Array
	String
	Number
	Bool
	Null
)

// ErrKind says that the next value is of another kind than was asked for. The
// value has not been read: it can still be skipped.
var ErrKind = errors.New("JSON value is of another kind")

// A SyntaxError says where a document is not JSON. It holds nothing of the text.
type SyntaxError struct {
	// Offset counts the bytes before the error.
	Offset int64
	// Want says what was expected there.
	Want string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return "JSON is malformed at byte " + strconv.FormatInt(e.Offset, 10) + ": expected " + e.Want
}

// A Scanner reads JSON values one after another. Each method reads one whole
// value, except Next and End, which only look. A document that ends within a value is
// [io.ErrUnexpectedEOF]; the end between two documents is [io.EOF]. After any other
// error than ErrKind the scanner is of no use until it is reset.
type Scanner struct {
	src  io.Reader
	mem  []byte // the buffer; nil until a reader needs it
	data []byte // what is there to read: a part of mem, or the caller's bytes
	pos  int    // data[pos:] is unread
	base int64  // bytes before data[0]
	done bool   // there is no more to fill data with
	err  error  // because of this
	open int    // objects and arrays being walked

	text, key []byte // captured strings that could not be left in data
	base64    base64Reader
}

// New returns a scanner that reads from r.
func New(r io.Reader) *Scanner {
	s := new(Scanner)
	s.Reset(r)
	return s
}

// NewBytes returns a scanner that reads data, without copying it.
func NewBytes(data []byte) *Scanner {
	s := new(Scanner)
	s.ResetBytes(data)
	return s
}

// Reset makes the scanner read from r, from the beginning.
func (s *Scanner) Reset(r io.Reader) {
	if s.mem == nil {
		s.mem = make([]byte, bufferBytes)
	}
	s.src, s.data, s.done, s.err = r, s.mem[:0], false, nil
	s.pos, s.base, s.open = 0, 0, 0
}

// ResetBytes makes the scanner read data, from the beginning, without copying it.
func (s *Scanner) ResetBytes(data []byte) {
	s.src, s.data, s.done, s.err = nil, data, true, nil
	s.pos, s.base, s.open = 0, 0, 0
}

// Offset returns the number of bytes read so far, without those that are only
// buffered.
func (s *Scanner) Offset() int64 { return s.base + int64(s.pos) }

// Next returns the kind of the next value, which it does not read.
func (s *Scanner) Next() (Kind, error) {
	c, err := s.peek()
	if err != nil {
		return 0, err
	}
	switch {
	case c == '"':
		return String, nil
	case c == '{':
		return Object, nil
	case c == '[':
		return Array, nil
	case c == 'n':
		return Null, nil
	case c == 't' || c == 'f':
		return Bool, nil
	case c == '-' || '0' <= c && c <= '9':
		return Number, nil
	default:
		return 0, s.malformed("a value")
	}
}

// End reports an error unless nothing but white space is left.
func (s *Scanner) End() error {
	_, err := s.peek()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	default:
		return s.malformed("the end")
	}
}

// Object reads an object and calls field for each member with its key, which is
// valid until field reads the value. Field has to read the value, by one call of one
// method. Null counts as an empty object. A key that is longer than MaxText is cut.
func (s *Scanner) Object(field func(key []byte) error) error {
	empty, err := s.begin(Object, '}')
	if empty || err != nil {
		return err
	}
	for {
		key, err := s.member()
		if err != nil {
			return err
		}
		if err := field(key); err != nil {
			return err
		}
		if last, err := s.after('}'); last || err != nil {
			return err
		}
	}
}

// Array reads an array and calls element before each element. Element has to
// read it, by one call of one method. Null counts as an empty array.
func (s *Scanner) Array(element func() error) error {
	empty, err := s.begin(Array, ']')
	if empty || err != nil {
		return err
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if last, err := s.after(']'); last || err != nil {
			return err
		}
	}
}

// begin reads the start of an object or array, and its end if it is empty.
func (s *Scanner) begin(want Kind, end byte) (empty bool, err error) {
	kind, err := s.Next()
	switch {
	case err != nil:
		return false, err
	case kind == Null:
		return true, s.Skip()
	case kind != want:
		return false, ErrKind
	}
	s.pos++
	s.open++
	c, err := s.peek()
	if err != nil || c != end {
		return false, err
	}
	s.pos++
	s.open--
	return true, nil
}

// after reads what follows a member or element: a comma, or the end.
func (s *Scanner) after(end byte) (last bool, err error) {
	c, err := s.peek()
	switch {
	case err != nil:
		return false, err
	case c == ',':
		s.pos++
		return false, nil
	case c == end:
		s.pos++
		s.open--
		return true, nil
	default:
		return false, s.malformed("a comma or the end of the object or array")
	}
}

// member reads a key and the colon behind it.
func (s *Scanner) member() ([]byte, error) {
	c, err := s.peek()
	if err != nil {
		return nil, err
	}
	if c != '"' {
		return nil, s.malformed("a key")
	}
	s.pos++
	key, _, err := s.captured()
	if err != nil {
		return nil, err
	}
	if s.pos == len(s.data) || s.data[s.pos] != ':' {
		// Looking further may move the buffer under the key.
		s.key = append(s.key[:0], key...)
		key = s.key
		if c, err = s.peek(); err != nil {
			return nil, err
		}
		if c != ':' {
			return nil, s.malformed("a colon")
		}
	}
	s.pos++
	return key, nil
}

// peek returns the next byte that is not white space, unread.
func (s *Scanner) peek() (byte, error) {
	if s.pos < len(s.data) && s.data[s.pos] > ' ' { // as nearly always
		return s.data[s.pos], nil
	}
	return s.peekBehindSpace()
}

func (s *Scanner) peekBehindSpace() (byte, error) {
	for {
		for ; s.pos < len(s.data); s.pos++ {
			switch c := s.data[s.pos]; c {
			case ' ', '\n', '\t', '\r':
			default:
				return c, nil
			}
		}
		more, err := s.fill()
		switch {
		case err != nil:
			return 0, err
		case !more && s.open > 0:
			return 0, io.ErrUnexpectedEOF
		case !more:
			return 0, io.EOF
		}
	}
}

// fill reads more behind data[pos:], which moves to the front of the buffer and
// must be shorter than that. It reports whether there was more.
func (s *Scanner) fill() (more bool, err error) {
	if s.done {
		return false, s.err
	}
	rest := copy(s.mem, s.data[s.pos:])
	s.base += int64(s.pos)
	s.data, s.pos = s.mem[:rest], 0
	for range maxIdle {
		n, err := s.src.Read(s.mem[rest:])
		s.data = s.mem[:rest+n]
		if s.done = err != nil; s.done && err != io.EOF {
			s.err = err
		}
		if n > 0 {
			return true, nil
		}
		if s.done {
			return false, s.err
		}
	}
	s.done, s.err = true, io.ErrNoProgress
	return false, s.err
}

// must is fill where the document cannot end.
func (s *Scanner) must() error {
	more, err := s.fill()
	if err == nil && !more {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (s *Scanner) malformed(want string) error {
	return &SyntaxError{Offset: s.Offset(), Want: want}
}
