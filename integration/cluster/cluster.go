// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/cluster/image"
	"github.com/segment-bridge/segment-bridge/integration/servers/binaries"
	"github.com/segment-bridge/segment-bridge/integration/world"
)

// Main runs a package's tests. Use it as the whole of TestMain.
func Main(m *testing.M) { world.Main(m) }

// Cluster is a cluster of one node. The embedded value applies and reads objects and makes accounts, as in tests against
// a control plane alone.
type Cluster struct {
	*world.Cluster

	dir  string // the cluster's folder
	node string // the program node
}

// New brings a cluster up and waits until pods run and find each other by name. It goes down with the test.
func New(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{node: goBuild(t, "node", "./integration/cluster/node")}
	c.removeDead(t)
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid())) //nolint:usetesting // see removeDead
	if err != nil {
		t.Fatal(err)
	}
	c.dir = dir
	// The node ends when nobody holds this end of the pipe any more, which is also so when the test is killed.
	held, leash, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		leash.Close() //nolint:errcheck // nothing is written
		held.Close()  //nolint:errcheck // nothing is read
		c.Down(t)
	})
	t.Cleanup(func() { c.report(t) })
	up := exec.CommandContext(t.Context(), c.node, "up", "-leash", c.dir)
	up.ExtraFiles = []*os.File{held}
	if out, err := up.CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	} else {
		t.Logf("%s", bytes.TrimSpace(out))
	}
	c.Cluster = world.Connect(t, filepath.Join(c.dir, "kubeconfig"))
	return c
}

const folderPrefix = "segment-bridge-cluster-"

// removeDead removes what is left of clusters whose test was killed.
func (c *Cluster) removeDead(t testing.TB) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		if _, err := os.Stat(filepath.Join("/proc", pid)); err == nil {
			continue
		}
		if out, err := exec.CommandContext(t.Context(), c.node, "down", dir).CombinedOutput(); err != nil {
			t.Errorf("%s", out)
		}
	}
}

// Down takes the cluster down before the test ends. Nothing of it is left.
func (c *Cluster) Down(t testing.TB) {
	t.Helper()
	if out, err := exec.CommandContext(context.Background(), c.node, "down", c.dir).CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
}

// RestartNode ends the kubelet and containerd without warning, as a crash would, and returns when both are back and the
// node takes pods. Containers run on meanwhile.
func (c *Cluster) RestartNode(t testing.TB) {
	t.Helper()
	pid := c.read(t, "pid")
	before := c.read(t, "var/log/node.log")
	if out, err := exec.CommandContext(t.Context(), "kill", "-HUP", pid).CombinedOutput(); err != nil {
		t.Fatalf("restart the node: %v: %s", err, out)
	}
	Eventually(t, time.Minute, func() error {
		since := strings.TrimPrefix(c.read(t, "var/log/node.log"), before)
		for _, name := range []string{"kubelet", "containerd"} {
			if !strings.Contains(since, name+" ended") {
				return fmt.Errorf("%s has not ended", name)
			}
		}
		// The API server asks the new kubelet, and that asks containerd.
		_, err := c.kubectl(t.Context(), "", "get", "--raw", "/api/v1/nodes/node/proxy/pods")
		if err == nil {
			_, err = c.ctr(t.Context(), nil, "version")
		}
		return err
	})
	c.Kubectl(t, "wait", "--for=condition=Ready", "--timeout=60s", "node/node")
}

// Kubectl runs kubectl as an administrator and returns what it prints.
func (c *Cluster) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := c.kubectl(t.Context(), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ApplyText applies (server-side) objects written in YAML.
func (c *Cluster) ApplyText(t testing.TB, text string) {
	t.Helper()
	if _, err := c.kubectl(t.Context(), text, "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// Await waits until the named deployments of a namespace are available.
func (c *Cluster) Await(t testing.TB, namespace string, deployments ...string) {
	t.Helper()
	for _, name := range deployments {
		c.Kubectl(t, "rollout", "status", "--timeout=120s", "-n", namespace, "deployment/"+name)
	}
}

// Logs returns what all containers of a pod have written.
func (c *Cluster) Logs(t testing.TB, namespace, pod string) string {
	t.Helper()
	return c.Kubectl(t, "logs", "-n", namespace, "--all-containers", "--prefix", pod)
}

// Dir is the cluster's folder: see node.
func (c *Cluster) Dir() string { return c.dir }

// LoadImage makes an image known to the node under a name with a tag. Pods that use it never pull.
func (c *Cluster) LoadImage(t testing.TB, images ...image.Image) {
	t.Helper()
	content, archive := io.Pipe()
	go func() { archive.CloseWithError(image.Write(archive, images...)) }()
	defer content.Close()
	if _, err := c.ctr(t.Context(), content, "images", "import", "-"); err != nil {
		t.Fatal(err)
	}
}

// Names of images that Load functions and installations make.
const (
	BridgeImage   = "localhost/segment-bridge:dev"
	OperatorImage = "localhost/segment-bridge-operator:dev"
	BusyboxImage  = "localhost/busybox:dev" // Debian's, with a shell and what belongs to it; what looks up names crashes
)

// LoadBridge builds our program, and loads it as the image that users have. It returns the program's path.
func (c *Cluster) LoadBridge(t testing.TB) (program string) {
	t.Helper()
	return c.loadProgram(t, BridgeImage, "segment-bridge")
}

// LoadOperator does the same for our operator.
func (c *Cluster) LoadOperator(t testing.TB) (program string) {
	t.Helper()
	return c.loadProgram(t, OperatorImage, "segment-bridge-operator")
}

// loadProgram builds a program as the Makefile does, and loads it as deploy/Dockerfile makes its image.
func (c *Cluster) loadProgram(t testing.TB, name, program string) (path string) {
	t.Helper()
	path = goBuild(t, program, "./cmd/"+program, "-tags=timetzdata,grpcnotrace")
	made := image.Program(name, "/"+program, path)
	made.Files = append(made.Files, image.File{Path: "/etc/ssl/certs/ca-certificates.crt", From: "/etc/ssl/certs/ca-certificates.crt"})
	c.LoadImage(t, made)
	return path
}

// LoadBusybox loads an image with a shell.
func (c *Cluster) LoadBusybox(t testing.TB) {
	t.Helper()
	busybox := image.Image{
		Name: BusyboxImage, Env: []string{"PATH=/bin"},
		Files: []image.File{{Path: "/bin/busybox", From: "/bin/busybox"}},
	}
	out, err := exec.CommandContext(t.Context(), "/bin/busybox", "--list").Output()
	if err != nil {
		t.Fatalf("ask busybox what it can do: run integration/install.sh: %v", err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		if name != "busybox" {
			busybox.Files = append(busybox.Files, image.File{Path: "/bin/" + name, To: "busybox"})
		}
	}
	c.LoadImage(t, busybox)
}

// server returns the image of one of the servers, and its name.
func server(t testing.TB, name, path string) image.Image {
	t.Helper()
	binary, _, err := binaries.Path(name)
	if err != nil {
		t.Fatal(err)
	}
	return image.Program("localhost/"+name+":dev", path, binary)
}

func (c *Cluster) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return c.tool(ctx, strings.NewReader(stdin), "kubectl", append([]string{"--kubeconfig", filepath.Join(c.dir, "kubeconfig")}, args...)...)
}

func (c *Cluster) ctr(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	socket := filepath.Join(c.dir, "run/containerd/containerd.sock")
	return c.tool(ctx, stdin, "ctr", append([]string{"--address", socket, "--namespace", "k8s.io"}, args...)...)
}

// tool runs one of the programs that a cluster comes with.
func (c *Cluster) tool(ctx context.Context, stdin io.Reader, name string, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(c.dir, "var/lib/kubernetes/bin", name), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = stdin, &out, &complaint, time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("run %s %s: %w: %s", name, strings.Join(args, " "), err, complaint.Bytes())
	}
	return out.String(), nil
}

func (c *Cluster) read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// report tells how the job's pods were when the test failed, in few lines, so that what failed is still to be seen above
// them; and keeps all else that can be known among the artifacts.
func (c *Cluster) report(t testing.TB) {
	if !t.Failed() {
		return
	}
	keep := func(name string, data []byte) {
		os.WriteFile(filepath.Join(t.ArtifactDir(), strings.ReplaceAll(name, "/", "_")), data, 0o644) //nolint:errcheck // what can be kept is kept
	}
	ask := func(args ...string) string {
		out, err := c.kubectl(context.Background(), "", append(args, "--request-timeout=5s")...)
		if err != nil {
			return err.Error()
		}
		return out
	}
	keep("objects.txt", []byte(ask("get", "pods,jobs,pipelineruns", "-A", "-o", "wide")))
	keep("events.txt", []byte(ask("get", "events", "-A", "--sort-by=.lastTimestamp")))
	t.Logf("warnings:\n%s", lastLines(ask("get", "events", "-A", "--field-selector=type=Warning", "--sort-by=.lastTimestamp"), 10))
	t.Logf("pods of segment-bridge:\n%s", ask("get", "pods", "-n", "segment-bridge"))
	for pod := range strings.FieldsSeq(ask("get", "pods", "-n", "segment-bridge", "-o", "name", "--sort-by=.metadata.creationTimestamp")) {
		logs := ask("logs", "-n", "segment-bridge", pod, "--all-containers", "--prefix")
		keep(pod+".log", []byte(logs))
		t.Logf("%s:\n%s", pod, lastLines(logs, 8))
	}
	for _, pattern := range []string{"var/log/*.log", "var/log/pods/*/*/*.log"} {
		logs, err := filepath.Glob(filepath.Join(c.dir, pattern))
		if err != nil {
			t.Log(err)
		}
		for _, log := range logs {
			name, err := filepath.Rel(filepath.Join(c.dir, "var/log"), log)
			if err != nil {
				continue
			}
			if data, err := os.ReadFile(log); err == nil {
				keep(name, data)
			}
		}
	}
	t.Logf("go test -artifacts -outputdir FOLDER keeps the logs")
}

// lastLines returns at most n lines of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// goBuild builds a static program of this module.
func goBuild(t testing.TB, name, pkg string, flags ...string) string {
	t.Helper()
	root, err := binaries.Root()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), name)
	cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-trimpath", "-buildvcs=false", "-o", out}, flags...), pkg)...)
	cmd.Dir = filepath.Join(root, "..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, text)
	}
	return out
}

// Eventually returns when try returns nil, and ends the test when that has not happened within limit.
func Eventually(t testing.TB, limit time.Duration, try func() error) {
	t.Helper()
	for began := time.Now(); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Since(began) > limit {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
