// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/servers/binaries"
)

// process is a server that runs as a child of the test process and dies with it.
type process struct {
	name string
	log  string // file that has its output
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// server returns a command that runs a server of ours.
func server(name string, args ...string) (*exec.Cmd, error) {
	path, _, err := binaries.Path(name)
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(context.Background(), path, args...), nil
}

// start runs cmd, with its output appended to name.log in dir.
func start(dir, name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), cmd: cmd, done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // the child has a copy of its own
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		// The kernel sends the death signal when the thread that made the child ends: keep it for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() //nolint:errcheck // how it ended is in its log
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// await returns when probe returns nil. It gives up after a minute, or when the process has ended.
func (p *process) await(probe func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case <-p.done:
			cancel(errors.New("it ended"))
		case <-ctx.Done():
		}
	}()
	if err := eventually(ctx, time.Minute, probe); err != nil {
		return fmt.Errorf("wait for %s: %w; its log ends with:\n%s", p.name, errors.Join(context.Cause(ctx), err), tail(p.log))
	}
	return nil
}

// stop ends the process with sig, or by force when that has not worked within ten seconds.
func (p *process) stop(sig syscall.Signal) {
	p.cmd.Process.Signal(sig) //nolint:errcheck // it may have ended
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-p.done
	}
}

// report shows the ends of the servers' logs when the test fails, and keeps the whole logs among its artifacts.
func report(t testing.TB, logs ...string) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, log := range logs {
			t.Logf("%s ends with:\n%s", log, tail(log))
			if data, err := os.ReadFile(log); err == nil {
				name := filepath.Base(filepath.Dir(log)) + "-" + filepath.Base(log)
				os.WriteFile(filepath.Join(t.ArtifactDir(), name), data, 0o644) //nolint:errcheck // the end is printed above
			}
		}
	})
}

// tail returns the last 40 lines of a file, of each no more than 400 bytes.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(string(data), "\n")
	lines = lines[max(0, len(lines)-40):]
	for i, line := range lines {
		if len(line) > 400 {
			lines[i] = line[:400] + "...\n"
		}
	}
	return strings.Join(lines, "")
}

// freePort returns a port of 127.0.0.1 that nobody listens on. It lies below the range that the kernel hands to outgoing
// connections, so that none takes it before its server does.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(10000)
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		return port, nil
	}
	return 0, errors.New("find a free port: 100 ports between 20000 and 30000 were taken")
}
