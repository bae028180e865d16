// SPDX-License-Identifier: Apache-2.0

package file_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

func TestBucket(t *testing.T) {
	stagetest.Bucket(t, func(t *testing.T) stage.Bucket { return file.New(filepath.Join(t.TempDir(), "not/yet/there")) })
}

func TestListPassesOverWhatIsNoObject(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{".tmp-123", ".lock", "v1/.tmp-9", "v1/object", ".git/config"} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("object", filepath.Join(root, "v1/link")); err != nil {
		t.Fatal(err)
	}
	n := 0
	for info, err := range file.New(root).List(t.Context(), "", "") {
		if n++; err != nil || info.Key != "v1/object" {
			t.Errorf("list: %+v, %v", info, err)
		}
	}
	if n != 1 {
		t.Errorf("list has %d objects, want one", n)
	}
}

// An interrupted write leaves a temporary file at most, never half an object.
func TestFailedPutLeavesNothing(t *testing.T) {
	root := t.TempDir()
	b := file.New(root)
	if _, err := b.Put(t.Context(), "a/b", failing{}, stage.Condition{IfAbsent: true}); err == nil {
		t.Fatal("put: no error")
	}
	if _, err := b.Open(t.Context(), "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	entries, err := os.ReadDir(filepath.Join(root, "a"))
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

type failing struct{}

func (failing) Read(b []byte) (int, error)     { return copy(b, "half"), errors.New("broken") }
func (failing) Seek(int64, int) (int64, error) { return 0, nil }

func TestErrorsNameTheKeyAndNoPath(t *testing.T) {
	root := filepath.Join(t.TempDir(), "secret-folder")
	b := file.New(root)
	if _, err := b.Put(t.Context(), "a", strings.NewReader("x"), stage.Condition{}); err != nil {
		t.Fatal(err)
	}
	_, openErr := b.Open(t.Context(), "v1/none")
	_, putErr := b.Put(t.Context(), "a", strings.NewReader("x"), stage.Condition{IfAbsent: true})
	_, belowErr := b.Put(t.Context(), "a/b", strings.NewReader("x"), stage.Condition{})
	for _, err := range []error{openErr, putErr, belowErr} {
		if err == nil || strings.Contains(err.Error(), "secret-folder") {
			t.Errorf("error: %v", err)
		}
	}
}
