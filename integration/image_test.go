// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
)

// What an image may have at most, as it is pulled and as it lies on a node.
const (
	packedLimit   = 20_000_000
	unpackedLimit = 50_000_000
)

// The image holds the program and CA certificates, and nothing else; it runs as nobody, without network, rights or a
// file system to write to; and it trusts the certificates in it, and no others.
func TestImage(t *testing.T) {
	image := fmt.Sprintf("segment-bridge-test:%d", os.Getpid())
	container := fmt.Sprintf("segment-bridge-test-%d", os.Getpid())
	makeImage(t, image)
	inspected := inspect(t, image)
	if c := inspected.Config; c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/segment-bridge"}) || c.Cmd != nil {
		t.Errorf("the image runs %q %q as %q", c.Entrypoint, c.Cmd, c.User)
	}
	packed := packedSize(t, image)
	if packed > packedLimit || inspected.Size > unpackedLimit {
		t.Errorf("the image has %d bytes packed and %d unpacked, want at most %d and %d", packed, inspected.Size, packedLimit, unpackedLimit)
	}
	t.Logf("the image has %d bytes packed and %d unpacked", packed, inspected.Size)

	version, err := docker(t, "run", "--rm", "--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges", image, "version")
	label := inspected.Config.Labels
	want := fmt.Sprintf("segment-bridge %s (commit %s)\n", label["org.opencontainers.image.version"], label["org.opencontainers.image.revision"])
	if err != nil || string(version) != want {
		t.Errorf("version is %q, error %v, want %q", version, err, want)
	}
	if files := filesOf(t, image); !slices.Equal(files, []string{"etc/ssl/certs/ca-certificates.crt", "segment-bridge"}) {
		t.Errorf("the image holds %q", files)
	}

	t.Run("certificates", func(t *testing.T) {
		receiver := newReceiver(t)
		server := httptest.NewUnstartedServer(receiver)
		refused := make(refusals, 1)
		server.Config.ErrorLog = log.New(refused, "", 0)
		server.StartTLS()
		t.Cleanup(server.Close)
		ca := filepath.Join(t.TempDir(), "ca.crt")
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		objects := t.TempDir()
		err := errors.Join(os.WriteFile(ca, text, 0o644), os.Chmod(objects, 0o755),
			samplecluster.New(samplecluster.Config{Seed: 8, Runs: 5, Now: time.Now()}).WriteDir(objects))
		if err != nil {
			t.Fatal(err)
		}
		run := func(image string) ([]byte, error) {
			return docker(t, "run", "--rm", "--name="+container, "--read-only", "--network=host", "--tmpfs=/tmp", "--volume="+objects+":/objects:ro", "--env=SEGMENT_WRITE_KEY="+writeKey,
				image, "run", "--source=dir:/objects", "--cluster-id=image", "--since=24h", "--stage=file:///tmp/stage", "--segment-url="+server.URL)
		}
		// A server that is not trusted is tried again for minutes: once is enough to see it.
		go func() {
			<-refused
			if _, err := docker(t, "kill", container); err != nil {
				t.Errorf("stop the container: %v", err)
			}
		}()
		if out, err := run(image); err == nil || len(receiver.Events()) > 0 {
			t.Errorf("an image sent something to a server that it does not trust:\n%s", out)
		}
		trusting := image + "-trusting"
		makeImage(t, trusting, "CA_CERTS="+ca)
		if out, err := run(trusting); err != nil || len(receiver.Events()) == 0 {
			t.Errorf("an image did not send to a server whose certificate is in it: %v\n%s", err, out)
		}
	})
}

// refusals hears of each connection that did not come about; the first is remembered.
type refusals chan struct{}

// Write implements [io.Writer].
func (r refusals) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("bad certificate")) {
		select {
		case r <- struct{}{}:
		default:
		}
	}
	return len(line), nil
}

// makeImage builds an image as an administrator does. It goes with the test.
func makeImage(t *testing.T, image string, arguments ...string) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "make", append([]string{"-C", "..", "image", "IMAGE=" + image}, arguments...)...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make image: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "docker", "image", "rm", "--force", image).CombinedOutput(); err != nil {
			t.Errorf("remove the image: %v: %s", err, out)
		}
	})
}

func docker(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	return exec.CommandContext(t.Context(), "docker", args...).Output()
}

type imageInfo struct {
	Size   int64
	Config struct {
		User            string
		Entrypoint, Cmd []string
		Labels          map[string]string
	}
}

func inspect(t *testing.T, image string) imageInfo {
	t.Helper()
	text, err := docker(t, "image", "inspect", image)
	var all []imageInfo
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil || len(all) != 1 {
		t.Fatalf("inspect the image: %v: %s", err, text)
	}
	return all[0]
}

// packedSize returns the bytes of an image as registries keep it.
func packedSize(t *testing.T, image string) int {
	t.Helper()
	saved, err := docker(t, "save", image)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(saved)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Len()
}

// filesOf returns the files in an image that have content, in order.
func filesOf(t *testing.T, image string) []string {
	t.Helper()
	id, err := docker(t, "create", image)
	if err != nil {
		t.Fatal(err)
	}
	container := strings.TrimSpace(string(id))
	defer func() {
		if _, err := docker(t, "rm", container); err != nil {
			t.Error(err)
		}
	}()
	archive, err := docker(t, "export", container)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg && header.Size > 0 {
			files = append(files, header.Name)
		}
	}
	slices.Sort(files)
	return files
}
