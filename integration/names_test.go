// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/integration/canary"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// checkNoNames searches every byte that the processes left: the folders given,
// the bucket if there is one, what came to the receiver, and standard output and error. Compressed
// files are searched as they are and unpacked.
func (s *site) checkNoNames(dirs ...string) {
	s.t.Helper()
	names := append(s.sample.Names(), samplecluster.Marker, segmenttest.Canary)
	places := map[string][]byte{"standard output and error": s.output.Bytes(), "receiver": s.received()}
	for _, dir := range dirs {
		maps.Copy(places, readFolder(s.t, dir))
	}
	if s.bucket != nil {
		maps.Copy(places, s.readBucket())
	}
	search := newSearch(s.t, names)
	expectNone(s.t, search, places)
	// The search itself must be able to find something.
	for _, object := range s.objects {
		if bytes.Contains(object, []byte(`"kind":"PipelineRun"`)) && len(search.In(object)) == 0 {
			s.t.Fatalf("a run of the sample holds no name: %.200s", object)
		}
	}
}

func newSearch(t *testing.T, names []string) *canary.Search {
	t.Helper()
	search, err := canary.New(names)
	if err != nil {
		t.Fatal(err)
	}
	return search
}

// expectNone searches all places, and what they are called.
func expectNone(t *testing.T, search *canary.Search, places map[string][]byte) {
	t.Helper()
	searched := 0
	for place, content := range places {
		searched += len(content)
		for i, hit := range search.In(content) {
			if i == 10 {
				t.Errorf("and more in %s", place)
				break
			}
			t.Errorf("name %q is in %s, %s", hit.Name, place, hit.Encoding)
		}
	}
	t.Logf("searched %d bytes in %d places", searched, len(places))
}

// The search looks into what is compressed: where it finds nothing in the bytes, it finds the name in what they hold.
func TestUnpack(t *testing.T) {
	const name = "numbat-in-a-box"
	var packed, table bytes.Buffer
	w := gzip.NewWriter(&packed)
	rows := []struct{ Payload string }{{"a"}, {"~"}} // the bounds of the pages, which are not compressed
	for i := range 1000 {                            // enough for the letters to be coded
		rows = append(rows, struct{ Payload string }{fmt.Sprintf(`{"number":%d,"namespace":"%s"}`, i*i, name)})
	}
	_, err := w.Write([]byte(rows[7].Payload + strings.Repeat(rows[8].Payload, 100)))
	p := parquet.NewGenericWriter[struct{ Payload string }](&table, parquet.Compression(&parquet.Zstd), parquet.SkipPageBounds("Payload"))
	_, err2 := p.Write(rows)
	if err := errors.Join(err, err2, w.Close(), p.Close()); err != nil {
		t.Fatal(err)
	}
	search := newSearch(t, []string{name})
	for file, content := range map[string][]byte{"records.gz": packed.Bytes(), "events.parquet": table.Bytes()} {
		if hits := search.In(content); len(hits) > 0 {
			t.Errorf("%s is not compressed: %v", file, hits)
		}
		if hits := search.In(unpack(t, file, bytes.Clone(content))); len(hits) != 1 {
			t.Errorf("%s holds a name, and the search found %v", file, hits)
		}
	}
}

func (s *site) received() []byte {
	var all []byte
	for _, e := range s.receiver.Events() {
		all = append(append(all, e.Raw...), '\n')
	}
	return all
}

// keys returns the keys of all objects in the bucket.
func (s *site) keys() []string {
	s.t.Helper()
	var keys []string
	for info := range s.bucket.Client.ListObjects(s.t.Context(), s.bucket.Name, minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			s.t.Error(info.Err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// readBucket returns every object, and its key.
func (s *site) readBucket() map[string][]byte {
	s.t.Helper()
	contents := map[string][]byte{}
	for _, key := range s.keys() {
		object, err := s.bucket.Client.GetObject(s.t.Context(), s.bucket.Name, key, minio.GetObjectOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		content, err := io.ReadAll(object)
		if err := errors.Join(err, object.Close()); err != nil {
			s.t.Fatal(err)
		}
		contents[key] = append([]byte(key+"\n"), unpack(s.t, key, content)...)
	}
	if len(contents) == 0 {
		s.t.Error("the bucket is empty")
	}
	return contents
}

func readFolder(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	contents := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		contents[path] = unpack(t, path, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

// unpack returns the content, followed by what it holds when it is compressed.
func unpack(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	switch filepath.Ext(name) {
	case ".gz":
		r, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return append(content, plain...)
	case ".parquet":
		file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range file.RowGroups() {
			rows := group.Rows()
			buffer := make([]parquet.Row, 100)
			for {
				n, err := rows.ReadRows(buffer)
				for _, row := range buffer[:n] {
					for _, value := range row {
						content = append(append(content, value.String()...), '\n')
					}
				}
				if errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return content
}
