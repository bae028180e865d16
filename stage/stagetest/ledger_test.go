// SPDX-License-Identifier: Apache-2.0

package stagetest_test

import (
	"testing"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

func TestLedgerInMemory(t *testing.T) {
	stagetest.Ledger(t, func(*testing.T) stage.Bucket { return new(mem.Bucket) })
}

func TestDamage(t *testing.T) {
	stagetest.Damage(t, func(*testing.T) stage.Bucket { return new(mem.Bucket) })
}

func TestLedgerInAFolder(t *testing.T) {
	stagetest.Ledger(t, func(t *testing.T) stage.Bucket { return file.New(t.TempDir()) })
}

// The whole ledger is correct in a store that does not keep conditions.
func TestLedgerWithoutConditions(t *testing.T) {
	for name, looks := range map[string]bool{"none": false, "some": true} {
		t.Run(name, func(t *testing.T) {
			stagetest.Ledger(t, func(*testing.T) stage.Bucket { return &stagetest.Careless{Bucket: new(mem.Bucket), Looks: looks} })
		})
	}
}
