// SPDX-License-Identifier: Apache-2.0

package parquetfile_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

func TestReadingRefusesOtherFormats(t *testing.T) {
	data := write(t, catalogue.Plan(), runs(3))
	newer := bytes.Replace(data, []byte(parquetfile.MetadataFormat+"\x18\x011"), []byte(parquetfile.MetadataFormat+"\x18\x012"), 1)
	if bytes.Equal(newer, data) {
		t.Fatal("the format is not where the test looks for it")
	}
	var other bytes.Buffer
	w := parquet.NewGenericWriter[struct{ A int }](&other, parquet.KeyValueMetadata(parquetfile.MetadataFormat, parquetfile.Format))
	if _, err := w.Write(make([]struct{ A int }, 3)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte("PAR1 and so on PAR1"), "half": data[:len(data)/2], "a newer format": newer, "other columns": other.Bytes(),
	} {
		var last error
		for _, err := range parquetfile.Tracks(bytes.NewReader(data), int64(len(data))) {
			last = err
		}
		if !errors.Is(last, parquetfile.ErrMalformed) {
			t.Errorf("%s: %v", name, last)
		}
	}
}

// A flipped bit in a page is found by the checksum of the page.
func TestDamageIsFound(t *testing.T) {
	data := write(t, catalogue.Plan(), runs(500))
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		damaged := bytes.Clone(data)
		at := 4 + random.IntN(len(data)*8/10)
		damaged[at] ^= 1 << random.IntN(8)
		_ = slices.Collect(func(yield func(string) bool) {
			for _, err := range parquetfile.Tracks(bytes.NewReader(damaged), int64(len(damaged))) {
				if err != nil && !errors.Is(err, parquetfile.ErrMalformed) {
					t.Errorf("byte %d: %v", at, err)
				}
			}
		})
	}
}

func TestErrorsOfTheReaderStay(t *testing.T) {
	data := write(t, catalogue.Plan(), runs(8_000))
	for _, limit := range []int{0, 1, 3} {
		broken := errors.New("broken")
		var last error
		for _, err := range parquetfile.MessageIDs(&breaking{bytes.NewReader(data), limit, broken}, int64(len(data))) {
			last = err
		}
		if !errors.Is(last, broken) || errors.Is(last, parquetfile.ErrMalformed) {
			t.Errorf("after %d reads: %v", limit, last)
		}
	}
}

type breaking struct {
	io.ReaderAt
	left int
	err  error
}

func (b *breaking) ReadAt(p []byte, offset int64) (int, error) {
	if b.left--; b.left < 0 {
		return 0, b.err
	}
	return b.ReaderAt.ReadAt(p, offset)
}

// Reading the message IDs of a large file fetches a part of it, in few requests.
func TestMessageIDsReadOneColumn(t *testing.T) {
	data := write(t, catalogue.Plan(), runs(10_000))
	c := &counting{ReaderAt: bytes.NewReader(data)}
	n := 0
	for _, err := range parquetfile.MessageIDs(c, int64(len(data))) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 20_000 || c.bytes > int64(len(data))*6/10 || c.calls > 30 {
		t.Errorf("%d IDs: %d bytes of %d in %d reads", n, c.bytes, len(data), c.calls)
	}
	t.Logf("%d bytes of %d in %d reads", c.bytes, len(data), c.calls)
}

type counting struct {
	io.ReaderAt
	bytes int64
	calls int
}

func (c *counting) ReadAt(p []byte, offset int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, offset)
	c.calls++
	c.bytes += int64(n)
	return n, err
}

func FuzzRead(f *testing.F) {
	f.Add(write(f, catalogue.Plan(), runs(2)))
	f.Add(write(f, oldPlan(f), []*telemetry.Event{stagetest.Heartbeat(stagetest.Noon)}))
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var errs []error
		for _, err := range parquetfile.Tracks(bytes.NewReader(data), int64(len(data))) {
			errs = append(errs, err)
		}
		for _, err := range parquetfile.MessageIDs(bytes.NewReader(data), int64(len(data))) {
			errs = append(errs, err)
		}
		_, err := parquetfile.CopyRejected(io.Discard, bytes.NewReader(data), int64(len(data)), func(string) (string, bool) { return "x", true })
		for _, err := range append(errs, err) {
			if err != nil && !errors.Is(err, parquetfile.ErrMalformed) {
				t.Errorf("error is not ErrMalformed: %v", err)
			}
		}
	})
}
