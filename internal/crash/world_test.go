// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
)

// A world is what outlives a process. It is never changed: a process gets layers
// and copies.
type world struct {
	bucket stage.Bucket
	folder map[string][]byte
	// phase, step and attempt say what is to be done next; last is the attempt at the
	// phase before that came to its end.
	phase, step, attempt, last int
	// begun says that a process was killed in this phase.
	begun bool
	// sent counts how often the receiver took an event, by its message ID. again
	// counts how often it may do so once more: a kill fell between that and the receipt.
	sent, again map[string]int
	// orphans are the objects that belong to no batch that counts, and that a kill
	// accounts for.
	orphans map[string]bool
}

// send counts events that the receiver took.
func (w *world) send(events []segmenttest.Event) {
	taken := map[string]int{}
	for _, e := range events {
		taken[e.MessageID]++
	}
	w.sent = plus(w.sent, taken)
}

func plus(a, b map[string]int) map[string]int {
	if len(b) == 0 {
		return a
	}
	sum := maps.Clone(a)
	if sum == nil {
		sum = map[string]int{}
	}
	for id, n := range b {
		sum[id] += n
	}
	return sum
}

const (
	eventFolder    = "v1/events/"
	manifestFolder = "v1/manifests/"
	receiptFolder  = "v1/receipts/" + destination + "/"
	leaseFolder    = "v1/leases/" + destination + "/"
)

// volatile are the values in documents that differ from one run to the next.
var volatile = regexp.MustCompile(`"(seconds|started|finished|holder|epoch)": [^,\n]*`)

type digest = [sha256.Size]byte

// state is the part of the world that a process sees.
func (w *world) state() world {
	return world{bucket: w.bucket, folder: w.folder, phase: w.phase, step: w.step, attempt: w.attempt}
}

// digest identifies what the future of the world depends on.
func (w *world) digest(bucket digest) digest {
	h := sha256.New()
	fmt.Fprintln(h, w.phase, w.step, w.attempt, w.last, w.begun)
	h.Write(bucket[:])
	for _, name := range slices.Sorted(maps.Keys(w.folder)) {
		fmt.Fprintf(h, "%s %x\n", name, sha256.Sum256(volatile.ReplaceAll(w.folder[name], nil)))
	}
	for _, counts := range []map[string]int{w.sent, w.again} {
		for _, id := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintln(h, id, counts[id])
		}
		fmt.Fprintln(h)
	}
	for _, key := range slices.Sorted(maps.Keys(w.orphans)) {
		fmt.Fprintln(h, key)
	}
	return digest(h.Sum(nil))
}

// sum is the digest of a bucket. Of times it keeps the order in which manifests
// were written.
func sum(t *testing.T, b stage.Bucket) digest {
	t.Helper()
	h := sha256.New()
	var manifests []stage.ObjectInfo
	for info, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		text, err := read(t.Context(), b, info.Key)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(info.Key, manifestFolder) {
			manifests = append(manifests, info)
		}
		if strings.HasSuffix(info.Key, ".json") {
			text = volatile.ReplaceAll(text, nil)
		}
		fmt.Fprintf(h, "%s %x\n", info.Key, sha256.Sum256(text))
	}
	slices.SortStableFunc(manifests, func(a, b stage.ObjectInfo) int { return a.Modified.Compare(b.Modified) })
	for _, m := range manifests {
		fmt.Fprintln(h, m.Key)
	}
	return digest(h.Sum(nil))
}

func read(ctx context.Context, b stage.Bucket, key string) ([]byte, error) {
	object, err := b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return io.ReadAll(io.NewSectionReader(object, 0, object.Size()))
}

// namedFiles returns the data files that manifests name.
func namedFiles(ctx context.Context, b stage.Bucket) (map[string]bool, error) {
	named := map[string]bool{}
	ledger := stage.NewLedger(b, stage.Options{})
	for batch, err := range ledger.Batches(ctx, stage.Range{}) {
		if err != nil {
			return nil, err
		}
		m, err := ledger.Manifest(ctx, batch)
		if err != nil {
			return nil, err
		}
		for _, f := range m.Files {
			named[f.Key] = true
		}
	}
	return named, nil
}

// A batch is a committed batch.
type batch struct {
	manifest *stage.Manifest
	ids      []string
	receipt  *stage.Receipt // or nil
}

// content is what a reader of the bucket sees.
type content struct {
	batches []batch
	// ids says how many committed batches hold an event.
	ids map[string]int
	// rejected are the events of the files that receipts name.
	rejected map[string]bool
	orphans  map[string]bool
	faults   []string
}

// look reads the whole bucket and checks that what is committed is whole.
func look(t *testing.T, b stage.Bucket) *content {
	t.Helper()
	ctx := t.Context()
	c := &content{ids: map[string]int{}, rejected: map[string]bool{}, orphans: map[string]bool{}}
	for info, err := range b.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		c.orphans[info.Key] = true
	}
	ledger := stage.NewLedger(b, stage.Options{})
	for id, err := range ledger.Batches(ctx, stage.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := c.add(ctx, b, ledger, id); err != nil {
			c.faults = append(c.faults, fmt.Sprintf("a batch is committed and not whole: %v", err))
		}
	}
	for id, n := range c.ids {
		if n > 1 {
			c.faults = append(c.faults, fmt.Sprintf("event %s is in %d batches", id, n))
		}
	}
	return c
}

func (c *content) add(ctx context.Context, b stage.Bucket, ledger *stage.Ledger, id stage.Batch) error {
	m, err := ledger.Manifest(ctx, id)
	if err != nil {
		return err
	}
	committed := batch{manifest: m}
	delete(c.orphans, manifestFolder+id.String()+".json")
	delete(c.orphans, leaseFolder+id.String()+".json")
	for _, f := range m.Files {
		delete(c.orphans, f.Key)
	}
	for track, err := range ledger.Tracks(ctx, m) {
		if err != nil {
			return err
		}
		committed.ids = append(committed.ids, track.MessageID)
		c.ids[track.MessageID]++
	}
	committed.receipt, err = ledger.Receipt(ctx, destination, id)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	delete(c.orphans, receiptFolder+id.String()+".json")
	c.batches = append(c.batches, committed)
	if committed.receipt == nil || committed.receipt.Rejections == nil {
		return nil
	}
	f := committed.receipt.Rejections
	delete(c.orphans, f.Key)
	text, err := read(ctx, b, f.Key)
	if err != nil {
		return err
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(text)); sum != f.SHA256 {
		return fmt.Errorf("%s is not what its receipt says", f.Key)
	}
	for rejected, err := range parquetfile.MessageIDs(bytes.NewReader(text), f.Size) {
		if err != nil {
			return err
		}
		c.rejected[string(rejected)] = true
	}
	return nil
}

// destination is the name of the destination.
const destination = "segment"
