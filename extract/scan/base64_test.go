// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBase64(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 2, 3, 4, 5, 6, 100, 1000, bufferBytes + 1} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(random.Uint32())
		}
		plain := base64.StdEncoding.EncodeToString(want)
		for name, text := range map[string]string{
			"plain":      plain,
			"no padding": strings.TrimRight(plain, "="),
			"slashes":    strings.ReplaceAll(plain, "/", `\/`),
			"escaped":    strings.ReplaceAll(strings.ReplaceAll(plain, "+", `\u002b`), "A", `\u0041`),
		} {
			if size > 1000 && name != "slashes" {
				continue
			}
			document := `["` + text + `","mark"]`
			for read, wrap := range map[string]func(io.Reader) io.Reader{
				"whole":     func(r io.Reader) io.Reader { return r },
				"byte-wise": iotest.OneByteReader,
				"half-wise": iotest.HalfReader,
				"unevenly":  func(r io.Reader) io.Reader { return &uneven{r: r} },
			} {
				eachWay(t, document, func(t *testing.T, s *Scanner) {
					var got []byte
					var err error
					checkSecond(t, s, func() error {
						return s.Base64(func(r io.Reader) { got, err = io.ReadAll(wrap(r)) })
					})
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%d bytes, %s, %s: got %d bytes, %v", size, name, read, len(got), err)
					}
				})
			}
		}
	}
}

// An uneven reader asks for one byte and for many in turn.
type uneven struct {
	r     io.Reader
	reads int
}

func (u *uneven) Read(p []byte) (int, error) {
	if u.reads++; u.reads%2 == 1 {
		p = p[:1]
	}
	return u.r.Read(p)
}

func TestBase64Reader(t *testing.T) {
	content := []byte("the reader does what readers do")
	s := NewBytes([]byte(`"` + base64.StdEncoding.EncodeToString(content) + `"`))
	if err := s.Base64(func(r io.Reader) {
		if err := iotest.TestReader(r, content); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Error(err)
	}
}

// TestNotBase64 wants the scanner to go on behind a string that is not base64.
func TestNotBase64(t *testing.T) {
	for _, text := range []string{`A`, `AAAAA`, `====`, `AA=A`, `AAAA!AAA`, `AAAA\n`, `\u00e9AAA`, `AA\"A`, `{\"a\":1}`} {
		eachWay(t, `["`+text+`","mark"]`, func(t *testing.T, s *Scanner) {
			var err error
			checkSecond(t, s, func() error {
				return s.Base64(func(r io.Reader) { _, err = io.ReadAll(r) })
			})
			if !errors.Is(err, ErrBase64) {
				t.Errorf("%s: got %v, want ErrBase64", text, err)
			}
		})
	}
}

// TestBase64Left wants the scanner behind the string, however little of it was read.
func TestBase64Left(t *testing.T) {
	text := base64.StdEncoding.EncodeToString(make([]byte, 3*bufferBytes))
	for _, n := range []int64{0, 1, 2, 3, 1000, bufferBytes} {
		eachWay(t, `["`+text+`","mark"]`, func(t *testing.T, s *Scanner) {
			checkSecond(t, s, func() error {
				return s.Base64(func(r io.Reader) { _, _ = io.CopyN(io.Discard, r, n) })
			})
		})
	}
}

func TestBase64Truncated(t *testing.T) {
	for _, document := range []string{`"`, `"AAA`, `"AAAA`, `"AAAAA`, `"AAAA\`, `"AAAA\u00`} {
		eachWay(t, document, func(t *testing.T, s *Scanner) {
			var inner error
			outer := s.Base64(func(r io.Reader) { _, inner = io.ReadAll(r) })
			if !errors.Is(inner, io.ErrUnexpectedEOF) || !errors.Is(outer, io.ErrUnexpectedEOF) {
				t.Errorf("%s: got %v from the reader and %v from the scanner", document, inner, outer)
			}
		})
	}
}

func TestMalformedBase64(t *testing.T) {
	eachWay(t, `"AAAA\xAAA"`, func(t *testing.T, s *Scanner) {
		err := s.Base64(func(r io.Reader) { _, _ = io.ReadAll(r) })
		if !errors.As(err, new(*SyntaxError)) {
			t.Errorf("got %v, want an error of syntax", err)
		}
	})
}

// TestDocumentInBase64 reads JSON within base64 within JSON.
func TestDocumentInBase64(t *testing.T) {
	document := `{"a":"` + strings.Repeat("x", 100_000) + `","b":["c"]}`
	text := base64.StdEncoding.EncodeToString([]byte(document))
	inner := new(Scanner)
	eachWay(t, `["`+text+`","mark"]`, func(t *testing.T, s *Scanner) {
		checkSecond(t, s, func() error {
			return s.Base64(func(r io.Reader) {
				inner.Reset(r)
				if err := errors.Join(inner.Skip(), inner.End()); err != nil || inner.Offset() != int64(len(document)) {
					t.Errorf("read %d bytes, %v", inner.Offset(), err)
				}
			})
		})
	})
}
