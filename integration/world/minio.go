// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/segment-bridge/segment-bridge/integration/servers/binaries"
)

// Bucket is an empty bucket of one test, on an S3 store that all tests of the package share.
type Bucket struct {
	Name      string
	Endpoint  string // host:port, plain HTTP
	Region    string
	AccessKey string
	SecretKey string
	Client    *minio.Client
}

// URL returns the stage URL of a prefix in the bucket: s3://bucket/prefix?endpoint=http://host:port&region=r.
func (b *Bucket) URL(prefix string) string {
	query := url.Values{"endpoint": {"http://" + b.Endpoint}, "region": {b.Region}}
	return (&url.URL{Scheme: "s3", Host: b.Name, Path: "/" + prefix, RawQuery: query.Encode()}).String()
}

// MinIO returns a bucket of its own for this test, on a MinIO server.
func MinIO(t testing.TB) *Bucket {
	t.Helper()
	s, err := sharedMinIO()
	if err != nil {
		t.Fatal(err)
	}
	report(t, s.log)
	return s.newBucket(t)
}

// An s3Server is one of the stores that all tests share.
type s3Server struct {
	endpoint string
	log      string
}

// newBucket makes a bucket.
func (s *s3Server) newBucket(t testing.TB) *Bucket {
	t.Helper()
	b := &Bucket{
		Name:     fmt.Sprintf("test-%d", time.Now().UnixNano()),
		Endpoint: s.endpoint, Region: "us-east-1", AccessKey: accessKey, SecretKey: secretKey,
	}
	var err error
	b.Client, err = minio.New(b.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(b.AccessKey, b.SecretKey, ""), Region: b.Region})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	if err := b.Client.MakeBucket(t.Context(), b.Name, minio.MakeBucketOptions{Region: b.Region}); err != nil {
		t.Fatalf("make a bucket: %v", err)
	}
	return b
}

const (
	accessKey = "world-access-key"
	secretKey = "world-secret-key"
	// ownerLabel tells which process a container belongs to.
	ownerLabel = "segment-bridge.world.pid"
)

var sharedMinIO = sync.OnceValues(func() (*s3Server, error) {
	s, err := startMinIO(context.Background())
	if err != nil {
		return nil, fmt.Errorf("start MinIO: is a Docker engine running? integration/install.sh starts one: %w", err)
	}
	return s, nil
})

func startMinIO(ctx context.Context) (*s3Server, error) {
	// The reaper is an image that cannot be built here; containers are removed in Main and by the next process. Their ports
	// are always on this machine, whatever the address testcontainers would guess inside a sandbox.
	for key, value := range map[string]string{"TESTCONTAINERS_RYUK_DISABLED": "true", "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1"} {
		if _, set := os.LookupEnv(key); set {
			continue
		}
		if err := os.Setenv(key, value); err != nil {
			return nil, fmt.Errorf("set %s: %w", key, err)
		}
	}
	dir, err := newFolder("minio")
	if err != nil {
		return nil, err
	}
	output, err := os.Create(filepath.Join(dir, "minio.log"))
	if err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	shared.add(func() { output.Close() }) //nolint:errcheck // the process ends
	log.SetDefault(log.NewNoopLogger())
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return nil, err
	}
	defer provider.Close() //nolint:errcheck // nothing is lost
	if err := removeOrphans(ctx, provider.Client()); err != nil {
		return nil, err
	}
	image, err := minioImage(ctx, provider)
	if err != nil {
		return nil, err
	}
	container, err := testcontainers.Run(ctx, image,
		testcontainers.WithCmd("server", "/data", "--address", ":9000"),
		testcontainers.WithEnv(map[string]string{"MINIO_ROOT_USER": accessKey, "MINIO_ROOT_PASSWORD": secretKey}),
		testcontainers.WithExposedPorts("9000/tcp"),
		testcontainers.WithTmpfs(map[string]string{"/data": "rw"}),
		testcontainers.WithLabels(map[string]string{ownerLabel: strconv.Itoa(os.Getpid())}),
		testcontainers.WithLogConsumers(logFile{output}),
		testcontainers.WithWaitStrategy(wait.ForHTTP("/minio/health/ready").WithPort("9000/tcp").WithStartupTimeout(time.Minute)),
	)
	if container != nil {
		shared.add(func() { container.Terminate(context.Background()) }) //nolint:errcheck // the next process tries again
	}
	if err != nil {
		return nil, err
	}
	endpoint, err := container.PortEndpoint(ctx, "9000/tcp", "")
	if err != nil {
		return nil, err
	}
	return &s3Server{endpoint: endpoint, log: output.Name()}, nil
}

// minioImage returns the name of an image that holds MinIO's binary and nothing else. It is built once for a binary.
func minioImage(ctx context.Context, provider *testcontainers.DockerProvider) (string, error) {
	path, key, err := binaries.Path("minio")
	if err != nil {
		return "", err
	}
	const repo = "segment-bridge-world-minio"
	image := repo + ":" + key
	images, err := provider.ListImages(ctx)
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(images, func(i testcontainers.ImageInfo) bool { return i.Name == image }) {
		return image, nil
	}
	archive, err := minioContext(path)
	if err != nil {
		return "", err
	}
	return provider.BuildImage(ctx, &testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		ContextArchive: archive, Repo: repo, Tag: key, KeepImage: true,
	}})
}

// minioContext returns the build context: the binary and a Dockerfile around it.
func minioContext(path string) (io.ReadSeeker, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read MinIO: %w", err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, file := range []struct {
		name string
		mode int64
		data []byte
	}{
		{"Dockerfile", 0o644, []byte("FROM scratch\nCOPY minio /minio\nENTRYPOINT [\"/minio\"]\n")},
		{"minio", 0o755, binary},
	} {
		err1 := w.WriteHeader(&tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(file.data))})
		_, err2 := w.Write(file.data)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("pack MinIO: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack MinIO: %w", err)
	}
	return bytes.NewReader(archive.Bytes()), nil
}

// removeOrphans removes containers that test processes have left which are no more.
func removeOrphans(ctx context.Context, docker client.APIClient) error {
	found, err := docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", ownerLabel)})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, c := range found.Items {
		if alive(c.Labels[ownerLabel]) {
			continue
		}
		_, err := docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !strings.Contains(err.Error(), "already in progress") {
			return fmt.Errorf("remove the container of a dead process: %w", err)
		}
	}
	return nil
}

// logFile writes a container's output to a file.
type logFile struct{ io.Writer }

// Accept is called for each piece of output.
func (f logFile) Accept(l testcontainers.Log) { f.Write(l.Content) } //nolint:errcheck // a log
