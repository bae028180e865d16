// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// ways are the ways in which a document can reach a scanner.
var ways = map[string]func(document string) *Scanner{
	"bytes":        func(d string) *Scanner { return NewBytes([]byte(d)) },
	"reader":       func(d string) *Scanner { return New(strings.NewReader(d)) },
	"one byte":     func(d string) *Scanner { return New(iotest.OneByteReader(strings.NewReader(d))) },
	"early end":    func(d string) *Scanner { return New(iotest.DataErrReader(strings.NewReader(d))) },
	"small buffer": func(d string) *Scanner { return small(blockBytes, d) },
	"again": func(d string) *Scanner {
		s := New(strings.NewReader(`{"a`))
		_ = s.Skip() // fails in the middle of a value
		s.Reset(strings.NewReader(d))
		return s
	},
}

// small returns a scanner with a buffer that is smaller than usual.
func small(size int, document string) *Scanner {
	s := &Scanner{mem: make([]byte, size)}
	s.Reset(strings.NewReader(document))
	return s
}

func eachWay(t *testing.T, document string, check func(t *testing.T, s *Scanner)) {
	t.Helper()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) { check(t, way(document)) })
	}
}

// value reads the next value as encoding/json would, except that it does not look at
// numbers.
func value(s *Scanner) (any, error) {
	kind, err := s.Next()
	if err != nil {
		return nil, err
	}
	switch kind {
	case Object:
		object := map[string]any{}
		err := s.Object(func(key []byte) error {
			name := string(key)
			v, err := value(s)
			object[name] = v
			return err
		})
		return object, err
	case Array:
		array := []any{}
		err := s.Array(func() error {
			v, err := value(s)
			array = append(array, v)
			return err
		})
		return array, err
	case String:
		text, long, err := s.Text()
		if long {
			return nil, errors.Join(errors.New("string is long"), err)
		}
		return string(text), err
	case Number:
		return json.Number(""), s.Skip()
	case Bool:
		return true, s.Skip()
	case Null:
		return nil, s.Skip()
	}
	return nil, fmt.Errorf("kind %d", kind)
}

// reference reads a document with encoding/json, and reports whether it is one.
func reference(document []byte) (any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return nil, false
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, false
	}
	return blank(v), true
}

// blank replaces the values that the scanner does not capture, and reports too long
// texts as the scanner does.
func blank(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			v[key] = blank(member)
		}
	case []any:
		for i := range v {
			v[i] = blank(v[i])
		}
	case json.Number:
		return json.Number("")
	case bool:
		return true
	}
	return v
}

func TestValues(t *testing.T) {
	tests := map[string]string{
		"empty object":        `{}`,
		"empty array":         ` [ ] `,
		"nested":              `{"a":{"b":[{"c":"d"},[],{}]},"e":null,"f":true,"g":false,"h":-1.5e+10}`,
		"white space":         " \t\r\n{ \"a\" \n:\t[ \"b\"\r, null , 1 ] , \"c\" : { } }\n",
		"duplicate keys":      `{"a":"1","a":{"x":"2"},"a":"3"}`,
		"escapes":             `["\"\\\/\b\f\n\r\t","\u0041\u00e9\u4E2D"]`,
		"escaped key":         `{"a\"b\\":"c","\u0061":"d"}`,
		"surrogates":          `["\ud83d\ude00","a\ud83d","\ude00b","\ud83d\ud83d\ude00","\ud83dx","\ud83d\n","\ud83d\u0041"]`,
		"brackets in strings": `{"a":"}]{[","b]":["[\"}"]}`,
		"UTF-8":               `{"größe":"日本","😀":"ß"}`,
		"sharp behind quotes": `{"a":["#"]}`,
		"not UTF-8, longer":   "[\"aaaaaaaa\xff\",\"aaaaaaaa\x80aaaaaaaaaa\",\"aaaa\xe2\x82aaaa\"]",
		"not UTF-8":           "[\"a\xffb\",\"\xe2\x82\",\"\xed\xa0\x80\",\"\xe2\\u0041\"]",
		"string":              `"a"`,
		"null":                `null`,
		"number":              `0`,
		"long":                `{"` + strings.Repeat("k", 300) + `":"` + strings.Repeat("v", 3000) + `\n","b":1}`,
		"as long as may be":   `["` + strings.Repeat("v", MaxText) + `"]`,
		"deep":                strings.Repeat(`[{"a":`, 200) + `"b"` + strings.Repeat(`}]`, 200),
	}
	for name, document := range tests {
		t.Run(name, func(t *testing.T) {
			want, ok := reference([]byte(document))
			if !ok {
				t.Fatal("encoding/json refuses the document")
			}
			eachWay(t, document, func(t *testing.T, s *Scanner) {
				got, err := value(s)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("got %#v, %v, want %#v", got, err, want)
				}
				if err := s.End(); err != nil {
					t.Errorf("end: %v", err)
				}
			})
			eachWay(t, `[`+document+`,"mark"]`, func(t *testing.T, s *Scanner) { checkSecond(t, s, nil) })
		})
	}
}

// checkSecond reads the first element of an array with read, or skips it, and wants
// "mark" behind it.
func checkSecond(t *testing.T, s *Scanner, read func() error) {
	t.Helper()
	n, mark := 0, ""
	err := s.Array(func() error {
		if n++; n == 1 && read != nil {
			return read()
		} else if n == 1 {
			return s.Skip()
		}
		text, _, err := s.Text()
		mark = string(text)
		return err
	})
	if err != nil || n != 2 || mark != "mark" {
		t.Errorf("after the first element came %d and %q, %v", n-1, mark, err)
	}
}

// TestEveryEdge has the buffer end at each byte of a document.
func TestEveryEdge(t *testing.T) {
	document := `{"a\u00e9":"b\ud83d\ude00\n" , "c" : [true,null,-1.5e3,{"d":"\\"}], "e":{"f":"g\"}]","h":[[],{}]},"i":"` +
		strings.Repeat("j", 40) + `ü"}`
	want, _ := reference([]byte(document))
	for size := blockBytes; size < blockBytes+len(document); size++ {
		if got, err := value(small(size, document)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("buffer of %d bytes: got %v, %v", size, got, err)
		}
		checkSecond(t, small(size, `[`+document+`,"mark"]`), nil)
	}
}

func TestMalformed(t *testing.T) {
	syntax := new(SyntaxError)
	tests := map[string]struct {
		document string
		want     any // for errors.As, or an error
	}{
		"nothing":                 {``, io.EOF},
		"white space":             {" \n", io.EOF},
		"object":                  {`{`, io.ErrUnexpectedEOF},
		"key":                     {`{"a`, io.ErrUnexpectedEOF},
		"no colon":                {`{"a"`, io.ErrUnexpectedEOF},
		"no value":                {`{"a":`, io.ErrUnexpectedEOF},
		"no end":                  {`{"a":1`, io.ErrUnexpectedEOF},
		"array":                   {`["a",`, io.ErrUnexpectedEOF},
		"text":                    {`"abc`, io.ErrUnexpectedEOF},
		"escape":                  {`"abc\`, io.ErrUnexpectedEOF},
		"half an escape":          {`"abc\u12`, io.ErrUnexpectedEOF},
		"half a surrogate":        {`"\ud83d`, io.ErrUnexpectedEOF},
		"word":                    {`nul`, io.ErrUnexpectedEOF},
		"other word":              {`nuls`, syntax},
		"other end":               {`["a"}`, syntax},
		"comma before the end":    {`["a",]`, syntax},
		"comma before a brace":    {`{"a":1,}`, syntax},
		"no comma":                {`["a" "b"]`, syntax},
		"no colon but more":       {`{"a" "b"}`, syntax},
		"key without quotes":      {`{a:1}`, syntax},
		"unknown escape":          {`"\x"`, syntax},
		"unknown digit":           {`"\u00g0"`, syntax},
		"control character":       {"\"a\nb\"", syntax},
		"control character later": {"\"äaaaaaaaaaaaaaaa\x00b\"", syntax},
		"comment":                 {`/* */ {}`, syntax},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			eachWay(t, test.document, func(t *testing.T, s *Scanner) {
				_, err := value(s)
				if sentinel, ok := test.want.(error); ok && !errors.As(sentinel, new(*SyntaxError)) {
					if !errors.Is(err, sentinel) {
						t.Errorf("got error %v, want %v", err, sentinel)
					}
				} else if !errors.As(err, new(*SyntaxError)) {
					t.Errorf("got error %v, want one of syntax", err)
				}
			})
		})
	}
}

func TestSyntaxErrorTellsWhereAndNothingElse(t *testing.T) {
	s := New(strings.NewReader(`{"a":1, "secret" secret}`))
	_, err := value(s)
	if want := "JSON is malformed at byte 17: expected a colon"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTruncatedSkip(t *testing.T) {
	document := `{"a":["\"b\\",{"c":"d\u0041"}],"e":[1,null,true,"` + strings.Repeat(`\\`, 40) + `"]}`
	for n := 1; n < len(document); n++ {
		for name, way := range ways {
			if err := way(document[:n]).Skip(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s: %d bytes: got %v", name, n, err)
			}
		}
	}
}

// TestSkipAlignment has escapes and ends at each place of the blocks that are skipped
// at once, and cuts the document at each byte.
func TestSkipAlignment(t *testing.T) {
	reader := new(Scanner)
	for before := range blockBytes + 2 {
		for _, behind := range []int{0, 1, 2, 7, 8, blockBytes - 2, blockBytes - 1, blockBytes} {
			text := `"` + strings.Repeat("a", before) + `\"` + strings.Repeat("]", behind) + `\\"`
			for _, document := range []string{text, "[" + text + "]"} {
				for n := range document {
					s := NewBytes([]byte(document[:n]))
					if err := s.Skip(); n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Fatalf("%s: got %v", document[:n], err)
					}
				}
				checkSecond(t, NewBytes([]byte("["+document+`,"mark"]`)), nil)
				reader.Reset(&chunks{[]byte("[" + document + `,"mark"]`), 1 + before})
				checkSecond(t, reader, nil)
			}
		}
	}
}

func TestManyDocuments(t *testing.T) {
	eachWay(t, "{\"a\":1}\n\"b\" [2]3 4\nnull", func(t *testing.T, s *Scanner) {
		var kinds []Kind
		for {
			kind, err := s.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err := errors.Join(err, s.Skip()); err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, kind)
		}
		if want := []Kind{Object, String, Array, Number, Number, Null}; !reflect.DeepEqual(kinds, want) {
			t.Errorf("got %v, want %v", kinds, want)
		}
	})
}

func TestEnd(t *testing.T) {
	eachWay(t, `{} x`, func(t *testing.T, s *Scanner) {
		if err := s.Skip(); err != nil {
			t.Fatal(err)
		}
		if err := s.End(); !errors.As(err, new(*SyntaxError)) {
			t.Errorf("got %v for what follows the document", err)
		}
	})
}

func TestOtherKind(t *testing.T) {
	eachWay(t, `[1,1,1,1,"x"]`, func(t *testing.T, s *Scanner) {
		wrong := []func() error{
			func() error { return s.Object(func([]byte) error { return nil }) },
			func() error { return s.Array(func() error { return nil }) },
			func() error { _, _, err := s.Text(); return err },
			func() error { return s.Base64(func(io.Reader) {}) },
		}
		n := 0
		err := s.Array(func() error {
			if n < len(wrong) {
				if err := wrong[n](); !errors.Is(err, ErrKind) {
					t.Errorf("%d: got %v, want ErrKind", n, err)
				}
			}
			n++
			return s.Skip()
		})
		if err != nil || n != 5 {
			t.Errorf("read %d elements, %v", n, err)
		}
	})
}

func TestNullIsEmpty(t *testing.T) {
	eachWay(t, `[null,null,null]`, func(t *testing.T, s *Scanner) {
		read := []func() error{
			func() error { return s.Object(func([]byte) error { return errors.New("null has a member") }) },
			func() error { return s.Array(func() error { return errors.New("null has an element") }) },
			func() error {
				text, _, err := s.Text()
				if text != nil {
					t.Errorf("null is %q", text)
				}
				return err
			},
		}
		n := 0
		if err := s.Array(func() error { n++; return read[n-1]() }); err != nil || n != 3 {
			t.Errorf("read %d elements, %v", n, err)
		}
	})
}
