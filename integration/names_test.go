// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
)

// checkNoNames searches every byte that the processes left: the folders given,
// the bucket if there is one, what came to the receiver, and standard output and error. Compressed
// files are searched as they are and unpacked.
func (s *site) checkNoNames(dirs ...string) {
	s.t.Helper()
	names := s.sample.Names()
	places := map[string][]byte{"standard output and error": s.output.Bytes(), "receiver": s.received()}
	for _, dir := range dirs {
		maps.Copy(places, readFolder(s.t, dir))
	}
	if s.bucket != nil {
		maps.Copy(places, s.readBucket())
	}
	var bytesSearched int
	for place, content := range places {
		bytesSearched += len(content)
		if found := firstName(content, names); found != "" {
			s.t.Errorf("name %q is in %s", found, place)
		}
	}
	s.t.Logf("searched %d bytes in %d places for %d names", bytesSearched, len(places), len(names))
	// The search itself must be able to find something.
	for _, object := range s.objects {
		if bytes.Contains(object, []byte(`"kind":"PipelineRun"`)) && firstName(object, names) == "" {
			s.t.Fatalf("a run of the sample holds no name: %.200s", object)
		}
	}
}

// firstName returns a name that is in content, in whatever case.
func firstName(content []byte, names []string) string {
	content = bytes.ToLower(content)
	if bytes.Contains(content, []byte(samplecluster.Marker)) {
		return samplecluster.Marker
	}
	for _, name := range names {
		// Most names contain the marker, and were searched for by it.
		if !strings.Contains(name, samplecluster.Marker) && bytes.Contains(content, []byte(strings.ToLower(name))) {
			return name
		}
	}
	return ""
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
