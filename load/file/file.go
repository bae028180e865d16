// SPDX-License-Identifier: Apache-2.0

// Package file delivers events into a file or a stream, one track call a line.
package file

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Destination is a load.Destination. It is safe for concurrent use.
type Destination struct {
	name string

	mu     sync.Mutex
	stream io.Writer // or else:
	file   *os.File
	size   int64 // of the whole lines in file
}

// NewStream returns a destination that writes to w, under the name that its receipts go by. An event is
// Delivered once w took it.
func NewStream(name string, w io.Writer) *Destination { return &Destination{name: name, stream: w} }

// Name returns the name that the receipts of a file go by: its absolute path, hashed since a path may hold a
// name. The same file is not filled twice, and another one gets everything.
func Name(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the folder of the destination: %w", err)
	}
	sum := sha256.Sum256([]byte(absolute))
	return "file-" + hex.EncodeToString(sum[:4]), nil
}

// Open returns a destination that appends to the file at path and creates it when it is not there. An event
// is Delivered once it is on the disk. A last line that a crash cut short is removed: its event has no
// receipt and comes again.
func Open(path string) (*Destination, error) {
	name, err := Name(path)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open destination: folder of the file is missing: create it: %w", fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("open destination: %w", pathless(err))
	}
	d := &Destination{name: name, file: file}
	if err := d.repair(); err != nil {
		return nil, errors.Join(fmt.Errorf("open destination: %w", pathless(err)), file.Close())
	}
	return d, nil
}

// repair cuts off a last line that is not whole, and makes sure that the file itself outlives a crash.
func (d *Destination) repair() error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file: use stdout for streams")
	}
	torn, err := d.lastLine(info.Size())
	if err != nil {
		return err
	}
	if len(torn) > 0 && torn[0] != '{' {
		return errors.New("its last line is not a track call: give a file of its own")
	}
	d.size = info.Size() - int64(len(torn))
	if err := d.cut(); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(d.file.Name()))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// lastLine returns what follows the last line break of the file.
func (d *Destination) lastLine(size int64) ([]byte, error) {
	const maxLine = 1 << 20
	start := max(size-maxLine, 0)
	tail := make([]byte, size-start)
	if _, err := d.file.ReadAt(tail, start); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	end := bytes.LastIndexByte(tail, '\n') + 1
	if end == 0 && start > 0 {
		return nil, errors.New("its last line is not a track call: give a file of its own")
	}
	return tail[end:], nil
}

// cut cuts the file to its whole lines.
func (d *Destination) cut() error {
	return errors.Join(d.file.Truncate(d.size), d.file.Sync())
}

// pathless returns err without the path, which may hold a name.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	return err
}

// Name implements load.Destination.
func (d *Destination) Name() string { return d.name }

// Deliver implements load.Destination. After an error nothing of these events is left in a file.
func (d *Destination) Deliver(ctx context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	verdicts := make([]telemetry.Verdict, len(events))
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return verdicts, err
	}
	size, err := d.write(events)
	if err != nil {
		if d.file != nil {
			_ = d.cut() // or else the next Open does it
		}
		return verdicts, fmt.Errorf("write events: %w", pathless(err))
	}
	d.size += size
	for i, e := range events {
		verdicts[i] = telemetry.Verdict{Status: telemetry.Delivered}
		if !oneLine(e.Payload) {
			verdicts[i] = telemetry.Verdict{Status: telemetry.Rejected, Reason: "not a track call on one line"}
		}
	}
	return verdicts, nil
}

func (d *Destination) write(events []telemetry.Track) (size int64, err error) {
	out := d.stream
	if d.file != nil {
		out = io.NewOffsetWriter(d.file, d.size)
	}
	w := bufio.NewWriterSize(out, 64<<10)
	for _, e := range events {
		if !oneLine(e.Payload) {
			continue
		}
		_, _ = w.Write(e.Payload) // Flush returns the error
		_ = w.WriteByte('\n')
		size += int64(len(e.Payload)) + 1
	}
	if err := w.Flush(); err != nil || d.file == nil {
		return size, err
	}
	return size, d.file.Sync()
}

func oneLine(payload []byte) bool {
	return len(payload) > 0 && payload[0] == '{' && bytes.IndexByte(payload, '\n') < 0
}

// Close implements load.Destination. A stream stays open.
func (d *Destination) Close() error {
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}
