// SPDX-License-Identifier: Apache-2.0

package stagetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
)

func list(t *testing.T, b stage.Bucket) {
	before := time.Now().Add(-time.Minute)
	// In the order of keys, which is not that of folders: "-" < "." < "/" < "0".
	keys := []string{
		"m/a-b", "m/a.json", "m/a/1", "m/a/1.json", "m/a/2/x", "m/a0", "m/b", "m/cluster=1/x", "m/cluster=2/x", "n/a",
	}
	for _, key := range slices.Backward(keys) {
		put(t, b, key, key, always)
	}
	for _, test := range []struct{ prefix, after string }{
		{"", ""},
		{"m/", ""},
		{"m/a", ""},
		{"m/a/", ""},
		{"m/a/1", ""},
		{"m/a/1.json", ""},
		{"m/c", ""},
		{"m/", "m/a"},
		{"m/", "m/a-b"},
		{"m/", "m/a/"},
		{"m/", "m/a/1"},
		{"m/", "m/a/1zzz"},
		{"m/", "m/a/zzz"},
		{"m/", "m/cluster=1/x"},
		{"m/a/", "a"},
		{"m/a/", "z"},
		{"m/", "m/b0"},
		{"n", ""},
		{"x", ""},
	} {
		var want []string
		for _, key := range keys {
			if strings.HasPrefix(key, test.prefix) && key > test.after {
				want = append(want, key)
			}
		}
		if got := names(t, b, test.prefix, test.after); !slices.Equal(got, want) {
			t.Errorf("list %q after %q:\ngot  %q\nwant %q", test.prefix, test.after, got, want)
		}
	}
	for info, err := range b.List(t.Context(), "m/cluster=1/", "") {
		if err != nil || info.Size != int64(len(info.Key)) || info.Modified.Before(before) || info.Modified.After(time.Now().Add(time.Minute)) {
			t.Errorf("list: %+v, %v", info, err)
		}
	}
	for _, err := range b.List(t.Context(), "", "") { // stopping early is allowed
		if err != nil {
			t.Error(err)
		}
		break
	}
}

func longList(t *testing.T, b stage.Bucket) {
	const n = 1050 // a page of S3 has 1,000
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				if _, err := b.Put(t.Context(), fmt.Sprintf("long/%05d", i), strings.NewReader("x"), ifAbsent); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := names(t, b, "long/", "long/00009")
	if len(got) != n-10 || !slices.IsSorted(got) || got[0] != "long/00010" {
		t.Errorf("list: %d keys, first %q", len(got), got[:1])
	}
}

func keys(t *testing.T, b stage.Bucket) {
	for _, key := range []string{
		"x", "v1/manifests/cluster=0123456789ab/20261122T170000Z-0123456789abcdef.json", "a+b", "a@b", "a,b", "a:b", "a!b", "UPPER_lower-0.9", strings.Repeat("k", 200),
	} {
		put(t, b, key, "x", ifAbsent)
		if got := names(t, b, key, ""); !slices.Contains(got, key) {
			t.Errorf("key %q: list has %q", key, got)
		}
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", ".hidden", "a/.b", "a b", "a\\b", "a\x00b", "a\nb", "ä", "a%2fb", "a?b", "a*", "a\xff",
		strings.Repeat("k", 201), strings.Repeat("k/", 501),
	} {
		if _, err := b.Put(t.Context(), key, strings.NewReader("x"), always); err == nil {
			t.Errorf("key %q: put took it", key)
		}
		if _, err := b.Open(t.Context(), key); err == nil {
			t.Errorf("key %q: open took it", key)
		}
		if err := b.Delete(t.Context(), key); err == nil {
			t.Errorf("key %q: delete took it", key)
		}
	}
}
