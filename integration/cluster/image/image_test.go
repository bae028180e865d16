// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The archive is read back as an engine reads it: from its index, every blob under its digest.
func TestWrite(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(binary, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	shell := Image{
		Name: "localhost/shell:dev", Env: []string{"PATH=/usr/bin"}, Entrypoint: []string{"/usr/bin/sh"},
		Files: []File{{Path: "/usr/bin/busybox", From: binary}, {Path: "/usr/bin/sh", To: "busybox"}},
	}
	var out, again bytes.Buffer
	if err := Write(&out, Program("localhost/program:dev", "/program", binary), shell); err != nil {
		t.Fatal(err)
	}
	if err := Write(&again, Program("localhost/program:dev", "/program", binary), shell); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Errorf("the same images are other bytes: %v", err)
	}
	files := map[string]string{}
	for _, entry := range entries(t, &out) {
		files[entry.name] = entry.content
	}
	for name, content := range files {
		if digest, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && digest != fmt.Sprintf("%x", sha256.Sum256([]byte(content))) {
			t.Errorf("%s is not its digest", name)
		}
	}
	type descriptor struct {
		Digest      string
		Size        int
		Annotations map[string]string
	}
	var index struct{ Manifests []descriptor }
	parse(t, files["index.json"], &index)
	if len(index.Manifests) != 2 {
		t.Fatalf("the index has %d manifests", len(index.Manifests))
	}
	get := func(d descriptor) string {
		content := files[blob(d.Digest)]
		if len(content) != d.Size || d.Size == 0 {
			t.Errorf("%s has %d bytes and is said to have %d", d.Digest, len(content), d.Size)
		}
		return content
	}
	for i, want := range []struct {
		name, user string
		env        []string
		layer      []string
	}{
		{"localhost/program:dev", "65532:65532", nil, []string{"tmp/ 1777", "program 755 a program"}},
		{"localhost/shell:dev", "", []string{"PATH=/usr/bin"}, []string{"tmp/ 1777", "usr/ 755", "usr/bin/ 755", "usr/bin/busybox 755 a program", "usr/bin/sh 777 -> busybox"}},
	} {
		var manifest struct {
			Config descriptor
			Layers []descriptor
		}
		parse(t, get(index.Manifests[i]), &manifest)
		var config struct {
			Config struct {
				User string
				Env  []string
			}
			RootFS struct {
				DiffIDs []string `json:"diff_ids"`
			}
		}
		parse(t, get(manifest.Config), &config)
		var layer []string
		for _, entry := range entries(t, strings.NewReader(get(manifest.Layers[0]))) {
			layer = append(layer, entry.String())
		}
		if name := index.Manifests[i].Annotations["io.containerd.image.name"]; name != want.name {
			t.Errorf("the image is named %q, want %q", name, want.name)
		}
		if config.Config.User != want.user || !reflect.DeepEqual(config.Config.Env, want.env) {
			t.Errorf("%s runs as %q with %v", want.name, config.Config.User, config.Config.Env)
		}
		if !reflect.DeepEqual(config.RootFS.DiffIDs, []string{manifest.Layers[0].Digest}) {
			t.Errorf("%s: the configuration names the layers %v", want.name, config.RootFS.DiffIDs)
		}
		if !reflect.DeepEqual(layer, want.layer) {
			t.Errorf("%s holds\n%q, want\n%q", want.name, layer, want.layer)
		}
	}
}

func TestWriteSaysWhatIsMissing(t *testing.T) {
	err := Write(io.Discard, Program("localhost/program:dev", "/program", filepath.Join(t.TempDir(), "nothing")))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "localhost/program:dev") {
		t.Errorf("%v, want a missing file and the image's name", err)
	}
}

type entry struct {
	name, link, content string
	mode                int64
}

func (e entry) String() string {
	text := fmt.Sprintf("%s %o", e.name, e.mode)
	if e.link != "" {
		return text + " -> " + e.link
	}
	return strings.TrimSpace(text + " " + e.content)
}

func entries(t *testing.T, r io.Reader) (all []entry) {
	t.Helper()
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{name: header.Name, link: header.Linkname, content: string(content), mode: header.Mode})
	}
}

func parse(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("read %q: %v", text, err)
	}
}
