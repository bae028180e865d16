// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// PeakMemory watches the high-water mark of a process, in bytes and with the mapped program, until ctx is done. What the
// kernel tells in the end counts the memory of the parent too, as it was at the start.
func PeakMemory(ctx context.Context, pid int) (peak int64) {
	for ctx.Err() == nil {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // not there any more once it has ended
		_, after, _ := bytes.Cut(status, []byte("VmHWM:"))
		if fields := bytes.Fields(after); len(fields) > 0 {
			if kib, err := strconv.ParseInt(string(fields[0]), 10, 64); err == nil {
				peak = max(peak, kib<<10)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	return peak
}
