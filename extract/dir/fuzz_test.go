// SPDX-License-Identifier: Apache-2.0

package dir

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// FuzzRead wants of whatever a file may hold that reading it ends, and that the error
// is in this package's own words.
func FuzzRead(f *testing.F) {
	f.Add([]byte(tenant("a") + "\n" + `{"kind":"List","items":[` + tenant("b") + `]}`))
	f.Add([]byte("---\n" + tenantYAML("a") + "---\n" + tenantYAML("b")))
	r := newReader(testNames(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, read := range []func(each) error{r.json, r.yaml} {
			r.buffer.Reset(bytes.NewReader(text))
			err := read(func(record.Record, error) error { return nil })
			if err != nil && !strings.HasPrefix(err.Error(), "is not ") &&
				!strings.HasPrefix(err.Error(), "ends too early, ") && !strings.HasPrefix(err.Error(), "cannot be ") {
				t.Errorf("error is %v", err)
			}
		}
	})
}

// FuzzSplit wants the documents of a stream to make up the stream again, but for the
// lines that end a document.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("%YAML 1.1\n---\na: b\n--- c\n...\nd: |\n ---\n---\n---"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var want, got []byte
		for line := range bytes.Lines(stream) {
			if !isMarker(line, "...") {
				want = append(want, line...)
			}
		}
		s := splitter{from: bufio.NewReaderSize(bytes.NewReader(stream), 16)}
		lines := 0
		for {
			text, line, err := s.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if line < lines {
				t.Errorf("line %d comes behind line %d", line, lines)
			}
			lines = line
			got = append(got, text...)
			markers := 0
			for i := range bytes.Lines(text) {
				if isMarker(i, "---") {
					markers++
				}
			}
			if markers > 1 {
				t.Errorf("%q is more than one document", text)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}
