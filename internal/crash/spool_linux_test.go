// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"encoding/binary"
	"slices"
	"syscall"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// What a spool does to its files, as the kernel tells it. The points within create
// and commit stand for exactly these moments: who changes this list changes those.
func TestFileOperations(t *testing.T) {
	dir := t.TempDir()
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_CREATE|syscall.IN_MODIFY|syscall.IN_MOVE|syscall.IN_DELETE); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, first := range []bool{true, false} {
		w, err := record.Create(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&record.Namespace{}); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(record.Report{}); err != nil {
			t.Fatal(err)
		}
		if first {
			want = append(want, "create records.ndjson.gz")
		} else {
			want = append(want, "delete report.json", "modify records.ndjson.gz")
		}
		want = append(want, "modify records.ndjson.gz",
			"create report.json.tmp", "modify report.json.tmp", "move report.json.tmp", "move report.json")
	}
	if got := operations(t, fd); !slices.Equal(got, slices.Compact(want)) {
		t.Errorf("a spool does to its files:\n%q\nwant\n%q", got, slices.Compact(want))
	}
}

// operations returns what happened, without repetitions.
func operations(t *testing.T, fd int) []string {
	t.Helper()
	buf := make([]byte, 1<<16)
	n, err := syscall.Read(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for buf = buf[:n]; len(buf) > 0; {
		mask, length := binary.NativeEndian.Uint32(buf[4:]), binary.NativeEndian.Uint32(buf[12:])
		name := string(bytes.TrimRight(buf[syscall.SizeofInotifyEvent:][:length], "\x00"))
		buf = buf[syscall.SizeofInotifyEvent+length:]
		for bit, verb := range map[uint32]string{
			syscall.IN_CREATE: "create", syscall.IN_MODIFY: "modify", syscall.IN_DELETE: "delete",
			syscall.IN_MOVED_FROM: "move", syscall.IN_MOVED_TO: "move",
		} {
			if mask&bit != 0 {
				all = append(all, verb+" "+name)
			}
		}
	}
	return slices.Compact(all)
}
