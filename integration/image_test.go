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
	unpackedLimit = 40_000_000
)

// The images hold their program and CA certificates, and nothing else; they run as nobody, without network, rights or a
// file system to write to; and they trust the certificates in them, and no others.
func TestImage(t *testing.T) {
	image := fmt.Sprintf("segment-bridge-test:%d", os.Getpid())
	container := fmt.Sprintf("segment-bridge-test-%d", os.Getpid())
	makeImages(t, image)
	checkImage(t, image, "segment-bridge")
	checkImage(t, operatorImage(image), "segment-bridge-operator")

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
		makeImages(t, trusting, "CA_CERTS="+ca)
		if out, err := run(trusting); err != nil || len(receiver.Events()) == 0 {
			t.Errorf("an image did not send to a server whose certificate is in it: %v\n%s", err, out)
		}
	})
}

// checkImage checks what is in an image and how it is run.
func checkImage(t *testing.T, image, program string) {
	t.Helper()
	inspected := inspect(t, image)
	if c := inspected.Config; c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/" + program}) || c.Cmd != nil {
		t.Errorf("%s: the image runs %q %q as %q", program, c.Entrypoint, c.Cmd, c.User)
	}
	packed := packedSize(t, image)
	if packed > packedLimit || inspected.Size > unpackedLimit {
		t.Errorf("%s: the image has %d bytes packed and %d unpacked, want at most %d and %d", program, packed, inspected.Size, packedLimit, unpackedLimit)
	}
	t.Logf("%s: the image has %d bytes packed and %d unpacked", program, packed, inspected.Size)

	version, err := docker(t, "run", "--rm", "--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges", image, "version")
	label := inspected.Config.Labels
	want := fmt.Sprintf("%s %s (commit %s)\n", label["org.opencontainers.image.title"], label["org.opencontainers.image.version"], label["org.opencontainers.image.revision"])
	if err != nil || string(version) != want || !strings.HasPrefix(want, program+" ") {
		t.Errorf("%s: version is %q, error %v, want %q", program, version, err, want)
	}
	if files := filesOf(t, image); !slices.Equal(files, []string{"etc/ssl/certs/ca-certificates.crt", program}) {
		t.Errorf("%s: the image holds %q", program, files)
	}
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

// makeImages builds the images as an administrator does: that of the job, and that of the operator. They go with the test.
func makeImages(t *testing.T, image string, arguments ...string) {
	t.Helper()
	made := []string{"IMAGE=" + image, "OPERATOR_IMAGE=" + operatorImage(image)}
	build := exec.CommandContext(t.Context(), "make", slices.Concat([]string{"-C", "..", "image"}, made, arguments)...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make image: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		remove := exec.CommandContext(context.WithoutCancel(t.Context()), "docker", "image", "rm", "--force", image, operatorImage(image))
		if out, err := remove.CombinedOutput(); err != nil {
			t.Errorf("remove the images: %v: %s", err, out)
		}
	})
}

// operatorImage is the operator's that is made along with the job's.
func operatorImage(image string) string { return "operator-of-" + image }

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
