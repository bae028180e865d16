// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLongText(t *testing.T) {
	for name, text := range map[string]string{
		"plain":                  strings.Repeat("x", MaxText+1),
		"escaped":                `\n` + strings.Repeat("x", MaxText),
		"larger than the buffer": strings.Repeat("x", 2*bufferBytes),
		"large and escaped":      strings.Repeat(`\u0041`, bufferBytes),
	} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, `{"`+text+`":"`+text+`","b":"c"}`, func(t *testing.T, s *Scanner) {
				n := 0
				err := s.Object(func(key []byte) error {
					if n++; n == 2 {
						if string(key) != "b" {
							t.Errorf("second key is %q", key)
						}
						return s.Skip()
					}
					if len(key) != MaxText {
						t.Errorf("key is cut to %d bytes", len(key))
					}
					got, long, err := s.Text()
					if !long || len(got) != MaxText {
						t.Errorf("text is cut to %d bytes, long %v", len(got), long)
					}
					return err
				})
				if err != nil || n != 2 {
					t.Errorf("read %d members, %v", n, err)
				}
			})
		})
	}
}

func TestDepth(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"a":[`, n/2) + strings.Repeat(`]}`, n/2) }
	eachWay(t, nested(1_000_000)+`"next"`, func(t *testing.T, s *Scanner) {
		if err := s.Skip(); err != nil {
			t.Errorf("got %v", err)
		}
		if text, _, err := s.Text(); string(text) != "next" || err != nil {
			t.Errorf("got %q behind it, %v", text, err)
		}
	})
}

func TestReaderErrors(t *testing.T) {
	broken := errors.New("connection reset")
	s := New(io.MultiReader(strings.NewReader(`{"a":"b`), iotest.ErrReader(broken)))
	if _, err := value(s); !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of the reader", err)
	}
	s.Reset(idle{})
	if err := s.Skip(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v of a reader that never brings anything", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestOffset(t *testing.T) {
	document := `{"a":"` + strings.Repeat("x", 3*bufferBytes) + `"} [1]`
	eachWay(t, document, func(t *testing.T, s *Scanner) {
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
		start := s.Offset()
		if err := s.Skip(); err != nil {
			t.Fatal(err)
		}
		if got, want := s.Offset()-start, int64(len(document)-len(" [1]")); got != want {
			t.Errorf("offset is %d, want %d", got, want)
		}
	})
}

// TestMemory skips an object that is far larger than the memory it may take.
func TestMemory(t *testing.T) {
	const size = 16 << 20
	text := `kubectl apply -f {\"a\":[\"b\"]}\n`
	s := New(io.MultiReader(
		strings.NewReader(`{"annotations":{"a":"`),
		io.LimitReader(&repeater{text: strings.Repeat(text, 1000)}, size/int64(len(text))*int64(len(text))),
		strings.NewReader(`"},"name":"b"}`)))
	var name string
	read := func() {
		err := s.Object(func(key []byte) error {
			if string(key) != "name" {
				return s.Skip()
			}
			text, _, err := s.Text()
			name = string(text)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	if name != "b" {
		t.Errorf("name is %q", name)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 16<<10 {
		t.Errorf("reading %d MiB allocates %d bytes", size>>20, allocated)
	}
}

// A repeater is a reader that never ends.
type repeater struct {
	text string
	pos  int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.pos:])
	r.pos = (r.pos + n) % len(r.text)
	return n, nil
}
