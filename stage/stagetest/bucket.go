// SPDX-License-Identifier: Apache-2.0

// Package stagetest has the one suite of tests that every bucket has to pass.
package stagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/segment-bridge/segment-bridge/stage"
)

// Bucket tests a kind of bucket; open returns a new and empty one.
func Bucket(t *testing.T, open func(t *testing.T) stage.Bucket) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, stage.Bucket)
	}{
		{"an object comes back", roundTrip},
		{"what is missing does not exist", missing},
		{"creating never replaces", create},
		{"of many creators one wins", race},
		{"replacing without a condition", overwrite},
		{"replacing only what was read", match},
		{"of many replacers of one version one wins", matchRace},
		{"deleting", remove},
		{"lists are in order of keys", list},
		{"lists are longer than a page", longList},
		{"keys", keys},
		{"a large object", large},
		{"a reader in the middle of its body", offset},
		{"cancellation", cancel},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

var (
	always   = stage.Condition{}
	ifAbsent = stage.Condition{IfAbsent: true}
)

func put(t *testing.T, b stage.Bucket, key, text string, condition stage.Condition) string {
	t.Helper()
	tag, err := b.Put(t.Context(), key, strings.NewReader(text), condition)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return tag
}

func get(t *testing.T, b stage.Bucket, key string) (text, tag string) {
	t.Helper()
	o, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("open %s: %v", key, err)
	}
	defer o.Close()
	all, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	if int64(len(all)) != o.Size() {
		t.Fatalf("%s has %d bytes and says %d", key, len(all), o.Size())
	}
	return string(all), o.Tag()
}

func names(t *testing.T, b stage.Bucket, prefix, after string) []string {
	t.Helper()
	var keys []string
	for info, err := range b.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("list %q after %q: %v", prefix, after, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func roundTrip(t *testing.T, b stage.Bucket) {
	for _, text := range []string{"hello", ""} {
		tag := put(t, b, "a/b/c.json", text, always)
		got, gotTag := get(t, b, "a/b/c.json")
		if got != text || tag == "" || gotTag != tag {
			t.Errorf("got %q with tag %q, want %q with tag %q", got, gotTag, text, tag)
		}
	}
	put(t, b, "a/b/c.json", "0123456789", always)
	o, err := b.Open(t.Context(), "a/b/c.json")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for _, test := range []struct {
		offset int64
		length int
		want   string
		err    error
	}{
		{0, 4, "0123", nil}, {3, 4, "3456", nil}, {8, 2, "89", nil}, {8, 4, "89", io.EOF}, {10, 1, "", io.EOF}, {5, 0, "", nil},
	} {
		buf := make([]byte, test.length)
		n, err := o.ReadAt(buf, test.offset)
		if string(buf[:n]) != test.want || test.err != nil && !errors.Is(err, test.err) ||
			test.err == nil && err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt(%d bytes, %d) = %q, %v, want %q, %v", test.length, test.offset, buf[:n], err, test.want, test.err)
		}
	}
}

func missing(t *testing.T, b stage.Bucket) {
	if _, err := b.Open(t.Context(), "no/such/object"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v, want fs.ErrNotExist", err)
	}
	put(t, b, "folder/object", "x", always)
	if _, err := b.Open(t.Context(), "folder"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open a folder: %v, want fs.ErrNotExist", err)
	}
	if _, err := b.Open(t.Context(), "folder/object/below"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open below an object: %v, want fs.ErrNotExist", err)
	}
	if err := b.Delete(t.Context(), "no/such/object"); err != nil {
		t.Errorf("delete: %v, want nil", err)
	}
	if got := names(t, b, "no/such/", ""); got != nil {
		t.Errorf("list: %q, want nothing", got)
	}
}

func create(t *testing.T, b stage.Bucket) {
	put(t, b, "k", "first", ifAbsent)
	if _, err := b.Put(t.Context(), "k", strings.NewReader("second"), ifAbsent); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second create: %v, want fs.ErrExist", err)
	}
	if got, _ := get(t, b, "k"); got != "first" {
		t.Errorf("got %q, want the first", got)
	}
}

// concurrently runs n functions at once and returns how many had no error; the
// others must have failed with want.
func concurrently(t *testing.T, n int, want error, run func(i int) error) (winners int) {
	t.Helper()
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = run(i)
		})
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		switch {
		case err == nil:
			winners++
		case !errors.Is(err, want):
			t.Errorf("loser: %v, want %v", err, want)
		}
	}
	return winners
}

const racers = 32

func race(t *testing.T, b stage.Bucket) {
	for round := range 10 {
		key := fmt.Sprintf("race/%d", round)
		var mu sync.Mutex
		var won string
		winners := concurrently(t, racers, fs.ErrExist, func(i int) error {
			text := fmt.Sprint("writer ", i)
			_, err := b.Put(context.WithoutCancel(t.Context()), key, strings.NewReader(text), ifAbsent)
			if err == nil {
				mu.Lock()
				won = text
				mu.Unlock()
			}
			return err
		})
		if winners != 1 {
			t.Fatalf("round %d: %d creators won", round, winners)
		}
		if got, _ := get(t, b, key); got != won {
			t.Fatalf("round %d: %q is there and %q won", round, got, won)
		}
	}
}

func overwrite(t *testing.T, b stage.Bucket) {
	first := put(t, b, "k", "first", ifAbsent)
	second := put(t, b, "k", "second, and longer", always)
	if got, tag := get(t, b, "k"); got != "second, and longer" || tag != second || first == second {
		t.Errorf("got %q with tag %q; tags were %q and %q", got, tag, first, second)
	}
	put(t, b, "k", "3", always)
	if got, _ := get(t, b, "k"); got != "3" {
		t.Errorf("got %q, want the third", got)
	}
}

func match(t *testing.T, b stage.Bucket) {
	if _, err := b.Put(t.Context(), "k", strings.NewReader("x"), stage.Condition{IfMatch: "0123"}); !errors.Is(err, stage.ErrChanged) {
		t.Errorf("replace what is not there: %v, want ErrChanged", err)
	}
	first := put(t, b, "k", "first", ifAbsent)
	second := put(t, b, "k", "second", stage.Condition{IfMatch: first})
	if _, err := b.Put(t.Context(), "k", strings.NewReader("third"), stage.Condition{IfMatch: first}); !errors.Is(err, stage.ErrChanged) {
		t.Errorf("replace by an old tag: %v, want ErrChanged", err)
	}
	if got, tag := get(t, b, "k"); got != "second" || tag != second {
		t.Errorf("got %q, want the second", got)
	}
}

func matchRace(t *testing.T, b stage.Bucket) {
	tag := put(t, b, "k", "start", ifAbsent)
	for round := range 5 {
		winners := concurrently(t, racers, stage.ErrChanged, func(i int) error {
			_, err := b.Put(context.WithoutCancel(t.Context()), "k", strings.NewReader(fmt.Sprint(round, i)), stage.Condition{IfMatch: tag})
			return err
		})
		if winners != 1 {
			t.Fatalf("round %d: %d replacers won", round, winners)
		}
		_, tag = get(t, b, "k")
	}
}

func remove(t *testing.T, b stage.Bucket) {
	put(t, b, "a/1", "x", always)
	put(t, b, "a/2", "x", always)
	if err := b.Delete(t.Context(), "a/1"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(t.Context(), "a/1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what was deleted: %v, want fs.ErrNotExist", err)
	}
	if got := names(t, b, "", ""); !slices.Equal(got, []string{"a/2"}) {
		t.Errorf("list: %q", got)
	}
	put(t, b, "a/1", "again", ifAbsent)
	if got, _ := get(t, b, "a/1"); got != "again" {
		t.Errorf("got %q", got)
	}
}

func large(t *testing.T, b stage.Bucket) {
	text := make([]byte, 20<<20+7) // S3 clients like to split what is larger than 16 MiB
	random := rand.NewChaCha8([32]byte{1})
	if _, err := random.Read(text); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "large", bytes.NewReader(text), ifAbsent); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "large", bytes.NewReader(text), ifAbsent); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second create: %v, want fs.ErrExist", err)
	}
	o, err := b.Open(t.Context(), "large")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	sum := sha256.New()
	if n, err := io.CopyBuffer(sum, struct{ io.Reader }{io.NewSectionReader(o, 0, o.Size())}, make([]byte, 1<<20)); err != nil || n != int64(len(text)) {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	if want := sha256.Sum256(text); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("other bytes came back")
	}
	var wg sync.WaitGroup // reading is safe for concurrent use
	for i := range 4 {
		wg.Go(func() {
			buf := make([]byte, 100_000)
			at := int64(i) * 5_000_000
			if _, err := o.ReadAt(buf, at); err != nil || !bytes.Equal(buf, text[at:at+int64(len(buf))]) {
				t.Errorf("range at %d: %v", at, err)
			}
		})
	}
	wg.Wait()
}

// offset: a body counts from where the reader stands, as io.Reader would have it.
func offset(t *testing.T, b stage.Bucket) {
	body := strings.NewReader("skipped,kept")
	if _, err := body.Seek(8, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "k", body, ifAbsent); err != nil {
		t.Fatal(err)
	}
	if got, _ := get(t, b, "k"); got != "kept" {
		t.Errorf("got %q", got)
	}
}

func cancel(t *testing.T, b stage.Bucket) {
	put(t, b, "k", "x", always)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := b.Open(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	if _, err := b.Put(ctx, "new", strings.NewReader("x"), always); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if err := b.Delete(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("delete: %v", err)
	}
	var last error
	for _, err := range b.List(ctx, "", "") {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("list: %v", last)
	}
	if got := names(t, b, "", ""); !slices.Equal(got, []string{"k"}) {
		t.Errorf("a cancelled call changed the bucket: %q", got)
	}
}
