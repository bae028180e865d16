// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"testing"
)

// referenceDepth is how deeply encoding/json lets values be nested.
const referenceDepth = 10_000

// FuzzScan wants of each document that encoding/json accepts what encoding/json makes
// of it, and of each other document an error.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"a":["b\u00e9\\",null,true,-1.5e3],"c":{"d":"\ud83d\ude00"}}`), byte(3))
	f.Add([]byte("[\"\xff\xe2\x82\",{\"a\":{},\"a\":[]}] "), byte(1))
	f.Fuzz(func(t *testing.T, document []byte, chunk byte) {
		got, err := value(NewBytes(document))
		again, againErr := value(New(&chunks{document, int(chunk) + 1}))
		if !reflect.DeepEqual(again, got) || (againErr == nil) != (err == nil) {
			t.Fatalf("bytes make %#v, %v\na reader makes %#v, %v", got, err, again, againErr)
		}
		_ = NewBytes(document).Base64(func(r io.Reader) { _, _ = io.Copy(io.Discard, r) })

		want, ok := reference(document)
		switch {
		case ok && len(document) <= MaxText && (err != nil || !reflect.DeepEqual(got, want)):
			t.Fatalf("got %#v, %v\nwant %#v", got, err, want)
		case !ok:
			s := NewBytes(document)
			_, err := value(s)
			// Numbers are not looked at.
			if err == nil && s.End() == nil && len(document) < referenceDepth && !bytes.ContainsAny(document, "-0123456789") {
				t.Fatal("the document is accepted")
			}
			return
		}
		s := New(&chunks{slices.Concat([]byte("["), document, []byte(`,"mark"]`)), int(chunk) + 1})
		checkSecond(t, s, nil)
	})
}

// chunks is a reader that brings a few bytes at a time.
type chunks struct {
	rest []byte
	size int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:min(c.size, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}
