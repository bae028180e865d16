// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

// A run that hangs commits while a later one is about to: neither has seen the batch
// of the other, so the head does not hand on what the first one staged.
func TestBatchCommittedWhileTheHeadWasMade(t *testing.T) {
	var bucket mem.Bucket
	slow := stagetest.NewLedger(t, &bucket)
	at := func(hours int) time.Time { return stagetest.Noon.Add(time.Duration(hours) * time.Hour) }
	committed := false
	head := stagetest.NewLedger(t, &stagetest.Faulty{Bucket: &bucket, Fault: func(op, key string) stagetest.Fault {
		if op == "put" && strings.HasPrefix(key, "v1/events/") && !committed {
			committed = true
			if _, err := slow.Stage(t.Context(), stagetest.Report(at(-4), at(0)), stagetest.Of(stagetest.Installed("install", at(-1)))); err != nil {
				t.Error(err)
			}
		}
		return stagetest.None
	}})
	if _, err := head.Stage(t.Context(), stagetest.Report(at(-3), at(1)), stagetest.Of(stagetest.Heartbeat(at(1)))); err != nil {
		t.Fatal(err)
	}
	// Days later the window begins just before the end of the head's, and the
	// installation has become ready again.
	later, err := slow.Stage(t.Context(), stagetest.Report(at(1).Add(-15*time.Minute), at(72)), stagetest.Of(stagetest.Installed("install", at(70))))
	if err != nil || later.AlreadyStaged != 1 {
		t.Errorf("what happens once in the life of an installation is staged again: %+v, %v", later, err)
	}
}
