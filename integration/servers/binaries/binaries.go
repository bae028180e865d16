// SPDX-License-Identifier: Apache-2.0

// Package binaries knows the servers that integration tests run, builds them from their Go modules, and finds them again.
//
// Each server is pinned by the go.mod and go.sum of a nested module under integration/servers, so nothing a server depends
// on reaches the product's own go.mod. Where the main package is ours, it is in the same folder. A built server is kept under a name that holds a key of everything its bytes depend
// on; a changed version, flag or toolchain is a new name, and an old file is never wrong, only unused.
package binaries

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Server is one program that tests run.
type Server struct {
	Name    string // of the program
	Folder  string // its nested module, under integration/servers
	Module  string // Go module the program is part of
	Package string // main package to build
	Stamp   string // package whose gitVersion, gitMajor and gitMinor variables get the module's version; may be empty
}

// Servers are the programs that `make test` runs.
var Servers = []Server{
	{Name: "etcd", Folder: "etcd", Module: "go.etcd.io/etcd/server/v3", Package: "go.etcd.io/etcd/server/v3"},
	kubernetes("kube-apiserver"),
	{Name: "results-api", Folder: "results", Module: results, Package: results + "/cmd/api"},
	{Name: "minio", Folder: "minio", Module: "github.com/minio/minio", Package: "github.com/minio/minio"},
	{Name: "versitygw", Folder: "versitygw", Module: "github.com/versity/versitygw", Package: "github.com/versity/versitygw/cmd/versitygw"},
	{Name: "splunkhec", Folder: "splunkhec", Module: splunkhec, Package: splunkhec},
	{Name: "otlp", Folder: "otlp", Module: otlp, Package: otlp},
}

// ClusterServers are those that a whole cluster takes beside them.
var ClusterServers = []Server{
	kubernetes("kube-controller-manager"),
	kubernetes("kube-scheduler"),
	kubernetes("kube-proxy"),
	kubernetes("kubelet"),
	kubernetes("kubectl"),
	{Name: "containerd", Folder: "containerd", Module: containerd, Package: containerd + "/cmd/containerd"},
	{Name: "containerd-shim-runc-v2", Folder: "containerd", Module: containerd, Package: containerd + "/cmd/containerd-shim-runc-v2"},
	{Name: "ctr", Folder: "containerd", Module: containerd, Package: containerd + "/cmd/ctr"},
	{Name: "coredns", Folder: "coredns", Module: coredns, Package: coredns},
	{Name: "results-watcher", Folder: "results", Module: results, Package: results + "/cmd/watcher"},
	{Name: "tekton-controller", Folder: "tekton", Module: tekton, Package: tekton + "/cmd/controller"},
	{Name: "tekton-webhook", Folder: "tekton", Module: tekton, Package: tekton + "/cmd/webhook"},
	{Name: "tekton-entrypoint", Folder: "tekton", Module: tekton, Package: tekton + "/cmd/entrypoint"},
	{Name: "tekton-nop", Folder: "tekton", Module: tekton, Package: tekton + "/cmd/nop"},
	{Name: "tekton-workingdirinit", Folder: "tekton", Module: tekton, Package: tekton + "/cmd/workingdirinit"},
}

const (
	containerd = "github.com/containerd/containerd/v2"
	gatewayAPI = "sigs.k8s.io/gateway-api"
	results    = "github.com/tektoncd/results"
	tekton     = "github.com/tektoncd/pipeline"
	coredns    = "github.com/segment-bridge/segment-bridge/integration/servers/coredns"   // a main of ours: see there
	splunkhec  = "github.com/segment-bridge/segment-bridge/integration/servers/splunkhec" // likewise
	otlp       = "github.com/segment-bridge/segment-bridge/integration/servers/otlp"      // likewise
)

// kubernetes is one of Kubernetes' programs: without the stamp its clients would see v0.0.0-master.
func kubernetes(name string) Server {
	const module = "k8s.io/kubernetes"
	return Server{Name: name, Folder: "kubernetes", Module: module, Package: module + "/cmd/" + name, Stamp: "k8s.io/component-base/version"}
}

// buildFlags and buildEnv hold for every server: small, static (MinIO's image is FROM scratch) and the same on any machine.
var (
	buildFlags = []string{"-trimpath", "-buildvcs=false"}
	buildEnv   = []string{"CGO_ENABLED=0"}
)

const stripped = "-s -w"

// Path returns where the named server is, built or not, in the work tree that holds the current folder, and its key:
// 16 hexadecimal digits that change with its version, build flags or Go toolchain. An error wraps [fs.ErrNotExist] when
// the server has not been built.
func Path(name string) (path, key string, err error) {
	root, err := Root()
	if err != nil {
		return "", "", err
	}
	for _, s := range slices.Concat(Servers, ClusterServers) {
		if s.Name != name {
			continue
		}
		if path, key, err = s.path(root); err != nil {
			return "", "", err
		}
		if _, err := os.Stat(path); err != nil {
			return path, key, fmt.Errorf("find the server %s: run `make servers`: %w", name, err)
		}
		return path, key, nil
	}
	return "", "", fmt.Errorf("find the server %s: no such server", name)
}

// Root returns the integration/servers folder of the work tree that holds the current folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find integration/servers: %w", err)
	}
	for {
		candidate := filepath.Join(dir, "integration", "servers")
		if _, err := os.Stat(candidate); err == nil {
			return candidate, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find integration/servers: not in the project's work tree; run from inside it")
		}
		dir = parent
	}
}

// Build makes sure that s is built: it returns true when it had to build it. Output of the go command goes to log.
func (s Server) Build(ctx context.Context, root string, log io.Writer) (built bool, err error) {
	path, _, err := s.path(root)
	if err != nil {
		return false, err
	}
	if _, err := os.Stat(path); err == nil {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, fmt.Errorf("make the cache folder: %w", err)
	}
	ldflags, err := s.ldflags(ctx, root, log)
	if err != nil {
		return false, err
	}
	tmp := fmt.Sprintf("%s.tmp-%d", path, os.Getpid())
	defer os.Remove(tmp)
	args := append([]string{"build"}, buildFlags...)
	args = append(args, "-ldflags", ldflags, "-o", tmp, s.Package)
	if err := goCommand(ctx, filepath.Join(root, s.Folder), log, log, args...); err != nil {
		return false, fmt.Errorf("build %s: %w", s.Name, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return false, fmt.Errorf("keep %s: %w", s.Name, err)
	}
	return true, nil
}

// path returns where s is kept, and its key.
func (s Server) path(root string) (path, key string, err error) {
	dir, err := cacheFolder()
	if err != nil {
		return "", "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q\n", s, buildFlags, buildEnv, stripped)
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	files := []string{filepath.Join(root, s.Folder, "go.mod"), filepath.Join(root, s.Folder, "go.sum")}
	sources, err := filepath.Glob(filepath.Join(root, s.Folder, "*.go"))
	if err != nil {
		return "", "", fmt.Errorf("read the version of %s: %w", s.Name, err)
	}
	for _, file := range append(files, sources...) {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", "", fmt.Errorf("read the version of %s: %w", s.Name, err)
		}
		fmt.Fprintf(h, "%d %s", len(data), data)
	}
	key = fmt.Sprintf("%x", h.Sum(nil)[:8])
	return filepath.Join(dir, s.Name+"-"+key), key, nil
}

// ldflags strips s and stamps it with the version its module has in go.mod.
func (s Server) ldflags(ctx context.Context, root string, log io.Writer) (string, error) {
	if s.Stamp == "" {
		return stripped, nil
	}
	var out bytes.Buffer
	err := goCommand(ctx, filepath.Join(root, s.Folder), &out, log, "list", "-m", "-f", "{{.Version}}", s.Module)
	if err != nil {
		return "", fmt.Errorf("read the version of %s: %w", s.Name, err)
	}
	version := strings.TrimSpace(out.String())
	numbers := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(numbers) != 3 {
		return "", fmt.Errorf("read the version of %s: %q is not of the form v1.2.3", s.Name, version)
	}
	return fmt.Sprintf("%s -X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s",
		stripped, s.Stamp, version, s.Stamp, numbers[0], s.Stamp, numbers[1]), nil
}

// Module is a Go module of which tests use files, beside the programs that are built from it.
type Module struct{ folder, path string }

// The modules whose manifests are installed.
var (
	TektonModule  = Module{folder: "tekton", path: tekton}
	ResultsModule = Module{folder: "results", path: results}
	// The newest release of the Gateway API, and one from before its routes for TCP, UDP and TLS came to v1.
	GatewayAPIModule       = Module{folder: "gatewayapi", path: gatewayAPI}
	GatewayAPIModuleBefore = Module{folder: "gatewayapi-before", path: gatewayAPI}
)

// Dir returns the folder of m in the Go module cache. It downloads the module when the cache lacks it.
func (m Module) Dir(ctx context.Context, root string) (string, error) {
	dir := filepath.Join(root, m.folder)
	var out bytes.Buffer
	if err := goCommand(ctx, dir, io.Discard, os.Stderr, "mod", "download", m.path); err != nil {
		return "", fmt.Errorf("download %s: %w", m.path, err)
	}
	if err := goCommand(ctx, dir, &out, os.Stderr, "list", "-m", "-f", "{{.Dir}}", m.path); err != nil {
		return "", fmt.Errorf("find %s: %w", m.path, err)
	}
	return strings.TrimSpace(out.String()), nil
}

// TektonCRDs returns the folder of Tekton's custom resource definitions.
func TektonCRDs(ctx context.Context, root string) (string, error) {
	dir, err := TektonModule.Dir(ctx, root)
	return filepath.Join(dir, "config", "300-crds"), err
}

// goCommand runs the go command in a nested module, away from any workspace and any flags meant for the product.
func goCommand(ctx context.Context, dir string, stdout, stderr io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOWORK=off", "GOFLAGS="), buildEnv...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd.Run()
}

// cacheFolder returns ${SEGMENT_BRIDGE_CACHE:-${XDG_CACHE_HOME:-~/.cache}/segment-bridge}/servers.
func cacheFolder() (string, error) {
	if dir := os.Getenv("SEGMENT_BRIDGE_CACHE"); dir != "" {
		return filepath.Join(dir, "servers"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache folder: set SEGMENT_BRIDGE_CACHE: %w", err)
	}
	return filepath.Join(dir, "segment-bridge", "servers"), nil
}
