// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/load/otlp/otlptest"
)

// An embedder is a program that embeds the library, running.
type embedder struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when err is there
	err   error

	mu     sync.Mutex
	stderr bytes.Buffer
}

// startExample starts an example in an environment that has only env. It is killed at the end of the test.
func startExample(t *testing.T, path string, env []string, args ...string) *embedder {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(env, "HOME=/nonexistent")
	output, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	e := &embedder{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(e.ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			e.mu.Lock()
			fmt.Fprintln(&e.stderr, lines.Text())
			e.mu.Unlock()
		}
		e.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-e.ended
		if t.Failed() {
			t.Logf("%s %s said:\n%s", filepath.Base(path), strings.Join(args, " "), e.log())
		}
	})
	return e
}

func (e *embedder) log() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stderr.String()
}

// stop asks the program to end, and expects that it does so in good order.
func (e *embedder) stop(t *testing.T) {
	t.Helper()
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-e.ended:
	case <-time.After(time.Minute):
		t.Fatal("it does not end within a minute of SIGTERM")
	}
	if e.err != nil {
		t.Errorf("it ended with %v after SIGTERM", e.err)
	}
}

// example builds an example.
func example(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", "timetzdata,grpcnotrace", "-o", path, "../examples/"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// until waits for a condition that others bring about.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a minute has passed without %s", what)
		}
	}
}

// setting writes what the administrator of the cluster decides.
func setting(t *testing.T, cluster *world.Cluster, namespace, name, decision string) {
	t.Helper()
	cluster.ApplyObjects(t, having(thing("v1", "ConfigMap", namespace, name), "data", map[string]any{"telemetry": decision}))
}

// TestMinimalExample reports over OTLP once the administrator agrees, and ends at SIGTERM.
func TestMinimalExample(t *testing.T) {
	cluster := world.ControlPlane(t)
	cluster.ServiceAccount(t, "acme", "controller")
	cluster.Bind(t, "cluster-admin", "acme", "controller")
	receiver := otlptest.New()
	address, stop, err := receiver.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	env := []string{
		"KUBECONFIG=" + cluster.Kubeconfig(t, cluster.Token(t, "acme", "controller", time.Hour)),
		"ACME_TELEMETRY_URL=" + address + "/v1/logs", "ACME_TELEMETRY_TOKEN=" + strings.TrimPrefix(otlptest.Token, "Bearer "),
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=of-the-user", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1",
	}
	path := example(t, "minimal")
	for decision, want := range map[string]int{"off": 0, "on": 1} {
		setting(t, cluster, "acme", "acme-settings", decision)
		controller := startExample(t, path, env)
		until(t, "the controller's start", func() bool {
			return strings.Contains(controller.log(), "Starting workers") && strings.Contains(controller.log(), "telemetry is "+decision)
		})
		until(t, "the report", func() bool { return len(receiver.Records()) >= want })
		controller.stop(t)
	}
	records := receiver.Records()
	if len(records) != 1 || receiver.Requests() != 1 {
		t.Fatalf("%d records in %d requests", len(records), receiver.Requests())
	}
	if r := records[0]; r.EventName != "Cluster Inventory" || r.Attributes["signal"] != `{"stringValue":"start"}` || r.Attributes["podCount"] == "" || r.Scope != "acme-controller 1.0.0" {
		t.Errorf("%+v", r)
	}
}
