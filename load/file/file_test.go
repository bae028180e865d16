// SPDX-License-Identifier: Apache-2.0

package file_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/file"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

var _ load.Destination = (*file.Destination)(nil)

func events(from, to int) (tracks []telemetry.Track) {
	for i := from; i < to; i++ {
		id := fmt.Sprintf("event-%03d", i)
		tracks = append(tracks, telemetry.Track{MessageID: id, Payload: fmt.Appendf(nil, `{"type":"track","messageId":%q}`, id)})
	}
	return tracks
}

func lines(tracks []telemetry.Track) string {
	var b strings.Builder
	for _, t := range tracks {
		b.Write(t.Payload)
		b.WriteByte('\n')
	}
	return b.String()
}

func open(t *testing.T, path string) *file.Destination {
	t.Helper()
	d, err := file.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestOpenRepairsATornLine cuts a delivery short at every byte, as a crash may.
func TestOpenRepairsATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.ndjson")
	whole, torn := lines(events(0, 2)), lines(events(2, 3))
	for cut := range len(torn) {
		if err := os.WriteFile(path, []byte(whole+torn[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		d := open(t, path)
		if got := read(t, path); got != whole {
			t.Fatalf("after a crash at byte %d the file is %q", cut, got)
		}
		verdicts, err := d.Deliver(t.Context(), events(2, 4))
		if err != nil || slices.ContainsFunc(verdicts, func(v telemetry.Verdict) bool { return v.Status != telemetry.Delivered }) {
			t.Fatalf("got %v, %v", verdicts, err)
		}
		if got := read(t, path); got != lines(events(0, 4)) {
			t.Fatalf("the file is %q", got)
		}
	}
}

func TestOpenLeavesOtherFilesAlone(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{
		"notes.txt": "first\nsecond", "one line": "a letter", "long": strings.Repeat("{", 2<<20),
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Open(path); err == nil || !strings.Contains(err.Error(), "file of its own") {
			t.Errorf("%s: %v", name, err)
		}
		if read(t, path) != content {
			t.Errorf("%s was changed", name)
		}
	}
	if _, err := file.Open(filepath.Join(folder, "missing", "out.ndjson")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "create it") {
		t.Errorf("a missing folder: %v", err)
	}
	if _, err := file.Open(folder); err == nil || strings.Contains(err.Error(), folder) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := file.Open(os.DevNull); err == nil || !strings.Contains(err.Error(), "stdout") {
		t.Errorf("a device: %v", err)
	}
}

func TestName(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	one, same, other := open(t, "a"), open(t, filepath.Join(folder, "a")), open(t, "b")
	if one.Name() != same.Name() || one.Name() == other.Name() {
		t.Errorf("names %s, %s, %s", one.Name(), same.Name(), other.Name())
	}
	if want := fmt.Sprintf("file-%x", sha256.Sum256([]byte(filepath.Join(folder, "a")))); one.Name() != want[:13] || !regexp.MustCompile(`^file-[0-9a-f]{8}$`).MatchString(one.Name()) {
		t.Errorf("name %s, want the start of %s", one.Name(), want)
	}
}

func TestConcurrentDeliveries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.ndjson")
	d := open(t, path)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if _, err := d.Deliver(t.Context(), events(i*25, (i+1)*25)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got := slices.Sorted(strings.Lines(read(t, path)))
	if want := lines(events(0, 200)); strings.Join(got, "") != want {
		t.Errorf("the file has %d lines", len(got))
	}
}

func TestPayloadsThatAreNotOneLine(t *testing.T) {
	var out bytes.Buffer
	d := file.NewStream("stdout", &out)
	tracks := events(0, 2)
	tracks[0].Payload = []byte("{\n}")
	verdicts, err := d.Deliver(t.Context(), append(tracks, telemetry.Track{}))
	if err != nil || verdicts[0].Status != telemetry.Rejected || verdicts[1].Status != telemetry.Delivered || verdicts[2].Status != telemetry.Rejected {
		t.Errorf("got %v, %v", verdicts, err)
	}
	if out.String() != lines(events(1, 2)) || d.Name() != "stdout" || d.Close() != nil {
		t.Errorf("wrote %q under %s", out.String(), d.Name())
	}
}

func TestErrors(t *testing.T) {
	full := errors.New("full")
	d := file.NewStream("stdout", writer(func(b []byte) (int, error) { return len(b) / 2, full }))
	if verdicts, err := d.Deliver(t.Context(), events(0, 2)); !errors.Is(err, full) || verdicts[0].Status != telemetry.Pending {
		t.Errorf("got %v, %v", verdicts, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if verdicts, err := d.Deliver(ctx, events(0, 2)); !errors.Is(err, context.Canceled) || len(verdicts) != 2 {
		t.Errorf("got %v, %v", verdicts, err)
	}
	closed := open(t, filepath.Join(t.TempDir(), "out.ndjson"))
	_ = closed.Close()
	if verdicts, err := closed.Deliver(t.Context(), events(0, 2)); err == nil || verdicts[0].Status != telemetry.Pending {
		t.Errorf("got %v, %v", verdicts, err)
	}
}

// TestNothingIsLeftOfAFailedDelivery lets the system refuse the rest of a write, as a full disk does.
func TestNothingIsLeftOfAFailedDelivery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.ndjson")
	d := open(t, path)
	if _, err := d.Deliver(t.Context(), events(0, 1)); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	small := limit
	small.Cur = 100 // in the middle of the third event
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	verdicts, err := d.Deliver(t.Context(), events(1, 4))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.EFBIG) || strings.Contains(err.Error(), path) || verdicts[0].Status != telemetry.Pending {
		t.Errorf("got %v, %v", verdicts, err)
	}
	if got := read(t, path); got != lines(events(0, 1)) {
		t.Errorf("the file is %q", got)
	}
	if _, err := d.Deliver(t.Context(), events(1, 4)); err != nil || read(t, path) != lines(events(0, 4)) {
		t.Errorf("afterwards %v, the file is %q", err, read(t, path))
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
