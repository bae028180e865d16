// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
)

// ErrBase64 says that the text of a string is not standard base64.
var ErrBase64 = errors.New("text is not base64")

// Base64 reads a string of base64 and calls read with what it stands for, of any
// length, decoded as read asks for it. The reader is valid during the call; what read
// leaves is skipped. The reader fails with ErrBase64 when the text is not base64,
// which is no failure of Base64: the scanner stands behind the string all the same.
func (s *Scanner) Base64(read func(io.Reader)) error {
	kind, err := s.Next()
	if err != nil {
		return err
	}
	if kind != String {
		return ErrKind
	}
	s.pos++
	r := &s.base64
	*r = base64Reader{s: s}
	read(r)
	switch {
	case r.broken != nil:
		return r.broken
	case r.closed:
		return nil
	default:
		return s.skipText()
	}
}

// A base64Reader decodes the string that the scanner is in.
type base64Reader struct {
	s      *Scanner
	quad   [4]byte // the last bytes, decoded one group at a time
	left   []byte  // what is unread of quad
	closed bool    // the closing quote was read
	broken error   // the scanner failed
	err    error   // what Read returns when nothing is left
}

// Read implements io.Reader.
func (r *base64Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if n := r.bulk(p); n > 0 {
		return n, nil
	}
	if len(r.left) == 0 && r.err == nil {
		r.group()
	}
	if len(r.left) == 0 {
		return 0, r.err
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// bulk decodes what lies in the buffer as whole groups without an escape.
func (r *base64Reader) bulk(p []byte) int {
	if len(r.left) > 0 || r.err != nil {
		return 0
	}
	text := r.s.data[r.s.pos:]
	text = text[:min(len(text), len(p)/3*4)]
	if end := bytes.IndexByte(text, '"'); end >= 0 {
		text = text[:end]
	}
	if end := bytes.IndexByte(text, '\\'); end >= 0 {
		text = text[:end]
	}
	text = text[:len(text)&^3]
	n, err := base64.StdEncoding.Decode(p, text)
	r.s.pos += len(text)
	if err != nil {
		r.err = ErrBase64
	}
	return n
}

// group decodes the next four characters, or the two or three before the end.
func (r *base64Reader) group() {
	var group [4]byte
	n := 0
	for n < len(group) && !r.closed {
		c, err := r.character()
		if err != nil {
			r.err, r.broken = err, err
			return
		}
		if !r.closed {
			group[n] = c
			n++
		}
	}
	if n == 0 {
		r.err = io.EOF
		return
	}
	encoding := base64.StdEncoding
	if n < len(group) {
		encoding = base64.RawStdEncoding
	}
	n, err := encoding.Decode(r.quad[:], group[:n])
	if err != nil || n == 0 {
		r.err = ErrBase64
		return
	}
	r.left = r.quad[:n]
}

// character reads one character of the string, or its closing quote.
func (r *base64Reader) character() (byte, error) {
	s := r.s
	if s.pos == len(s.data) {
		if err := s.must(); err != nil {
			return 0, err
		}
	}
	c := s.data[s.pos]
	s.pos++
	switch c {
	case '"':
		r.closed = true
	case '\\':
		s.text = s.text[:0]
		if err := s.escape(); err != nil {
			return 0, err
		}
		c = s.text[0] // of a longer one, the first byte is not base64 either
	}
	return c, nil
}
