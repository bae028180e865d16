// SPDX-License-Identifier: Apache-2.0

// Package image writes container images from files, without a registry, an engine or a Dockerfile: what a cluster on this
// machine runs is built on this machine.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
)

// An Image is one layer of files and what to run in it.
type Image struct {
	Name       string // with a tag: "localhost/minio:dev"
	Files      []File
	Entrypoint []string
	Env        []string // such as "PATH=/bin"
	User       string   // such as "65532:65532"; empty is root
}

// A File is copied from a path, or is a link when To is set. All files are executable and belong to root.
type File struct {
	Path string // in the image: "/bin/sh"
	From string // on this machine
	To   string // what a symbolic link leads to
}

// Program is an image of one static binary, which is at a path there and runs as nobody in particular.
func Program(name, path, binary string) Image {
	return Image{Name: name, Files: []File{{Path: path, From: binary}}, Entrypoint: []string{path}, User: "65532:65532"}
}

// Write writes an OCI archive that holds the images. The same images are the same bytes.
func Write(w io.Writer, images ...Image) error {
	archive := tar.NewWriter(w)
	index := document{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}
	var manifests []document
	for _, image := range images {
		manifest, err := image.write(archive)
		if err != nil {
			return fmt.Errorf("write the image %s: %w", image.Name, err)
		}
		manifest["annotations"] = document{"io.containerd.image.name": image.Name, "org.opencontainers.image.ref.name": image.Name}
		manifests = append(manifests, manifest)
	}
	index["manifests"] = manifests
	for _, file := range []struct {
		name    string
		content document
	}{{"index.json", index}, {"oci-layout", document{"imageLayoutVersion": "1.0.0"}}} {
		data, err := json.Marshal(file.content)
		if err != nil {
			return fmt.Errorf("write an image: %w", err)
		}
		if err := add(archive, file.name, int64(len(data)), bytes.NewReader(data)); err != nil {
			return fmt.Errorf("write an image: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write an image: %w", err)
	}
	return nil
}

// document is a JSON object. Its keys are written in order.
type document map[string]any

// write adds the image's layer, configuration and manifest to an archive, and returns the manifest's descriptor.
func (i Image) write(archive *tar.Writer) (document, error) {
	// A blob's name is its digest and comes before it, so the layer is made twice: to know it, and to write it.
	sum, size := sha256.New(), counter(0)
	if err := i.layer(io.MultiWriter(sum, &size)); err != nil {
		return nil, err
	}
	digest := fmt.Sprintf("sha256:%x", sum.Sum(nil))
	content, layer := io.Pipe()
	go func() { layer.CloseWithError(i.layer(layer)) }()
	err := add(archive, blob(digest), int64(size), content)
	content.CloseWithError(err)
	if err != nil {
		return nil, err
	}
	config, err := addDocument(archive, "application/vnd.oci.image.config.v1+json", document{
		"os": "linux", "architecture": runtime.GOARCH,
		"config": document{"Entrypoint": i.Entrypoint, "Env": i.Env, "User": i.User},
		"rootfs": document{"type": "layers", "diff_ids": []string{digest}},
	})
	if err != nil {
		return nil, err
	}
	return addDocument(archive, "application/vnd.oci.image.manifest.v1+json", document{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
		"layers": []document{{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": int64(size)}},
	})
}

// layer writes the image's files, after the folders that they are in, and a /tmp that all may write to.
func (i Image) layer(w io.Writer) error {
	layer := tar.NewWriter(w)
	folders := map[string]int64{"tmp": 0o1777}
	for _, f := range i.Files {
		for dir := path.Dir(f.Path); dir != "/"; dir = path.Dir(dir) {
			folders[dir[1:]] = 0o755
		}
	}
	names := make([]string, 0, len(folders))
	for name := range folders {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := layer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: folders[name], ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
	}
	for _, f := range i.Files {
		if f.To != "" {
			if err := layer.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: f.Path[1:], Linkname: f.To, Mode: 0o777, ModTime: time.Unix(0, 0)}); err != nil {
				return err
			}
			continue
		}
		if err := copyFile(layer, f); err != nil {
			return err
		}
	}
	return layer.Close()
}

func copyFile(layer *tar.Writer, f File) error {
	from, err := os.Open(f.From)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	return add(layer, f.Path[1:], info.Size(), from)
}

func add(archive *tar.Writer, name string, size int64, content io.Reader) error {
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o755, ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	_, err := io.Copy(archive, content)
	return err
}

// addDocument adds a blob of JSON and returns its descriptor.
func addDocument(archive *tar.Writer, mediaType string, content document) (document, error) {
	data, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	return document{"mediaType": mediaType, "digest": digest, "size": len(data)},
		add(archive, blob(digest), int64(len(data)), bytes.NewReader(data))
}

func blob(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }

// counter counts what is written.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
