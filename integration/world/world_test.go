// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world_test

import (
	"context"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

func TestMain(m *testing.M) { world.Main(m) }

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
