// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

func TestMain(m *testing.M) { world.Main(m) }

func TestMissingServer(t *testing.T) {
	t.Setenv("SEGMENT_BRIDGE_CACHE", t.TempDir())
	inner := &failed{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		world.NewControlPlane(inner)
	}()
	<-done
	if !strings.Contains(inner.message, "run `make servers`") {
		t.Errorf("without servers a test fails with %q, which does not say what to do", inner.message)
	}
}

// failed is a test that may fail without failing the one it runs in.
type failed struct {
	testing.TB

	message string
}

func (f *failed) Fatal(args ...any) {
	f.message = fmt.Sprint(args...)
	runtime.Goexit()
}

// eventually tries for half a minute.
func eventually(t *testing.T, try func() error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}
