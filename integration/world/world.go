// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Main runs a package's tests, then stops the servers they shared and removes their files. Use it as the whole of TestMain.
func Main(m *testing.M) {
	code := m.Run()
	shared.close()
	os.Exit(code)
}

// shared holds what outlives a test: it ends in Main. Should the process die before, the kernel ends its servers and the
// next process removes its files and containers.
var shared = &closer{}

type closer struct {
	mu    sync.Mutex
	funcs []func()
}

func (c *closer) add(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.funcs = append(c.funcs, f)
}

// close calls the functions added, last first.
func (c *closer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range slices.Backward(c.funcs) {
		f()
	}
	c.funcs = nil
}

const folderPrefix = "segment-bridge-world-"

// folder is the folder of this process, which all servers' files are in. It is made once; folders that dead processes
// left behind are removed on the way.
var folder = sync.OnceValues(func() (string, error) {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	if err != nil {
		return "", fmt.Errorf("list old test folders: %w", err)
	}
	for _, dir := range left {
		if !alive(strings.TrimPrefix(filepath.Base(dir), folderPrefix)) {
			os.RemoveAll(dir) //nolint:errcheck // another user's leftovers are theirs to remove
		}
	}
	// Others may pass through: PostgreSQL refuses to run as root and keeps its files in here.
	dir := filepath.Join(os.TempDir(), folderPrefix+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for the servers: %w", err)
	}
	shared.add(func() { os.RemoveAll(dir) }) //nolint:errcheck // the next process tries again
	return dir, nil
})

// newFolder makes an empty folder for one server.
func newFolder(name string) (string, error) {
	dir, err := folder()
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp(dir, name+"-"); err != nil {
		return "", fmt.Errorf("make a folder for %s: %w", name, err)
	}
	return dir, nil
}

// alive says whether the process with the given id, in decimal, runs.
func alive(pid string) bool {
	id, err := strconv.Atoi(pid)
	return err == nil && !errors.Is(syscall.Kill(id, 0), syscall.ESRCH)
}

// eventually calls try until it returns nil, and returns its last error when that has not happened within limit.
func eventually(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// concurrently calls do for 0 to n-1 from a few goroutines, and returns the first error.
func concurrently(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}
