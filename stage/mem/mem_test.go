// SPDX-License-Identifier: Apache-2.0

package mem_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

func TestBucket(t *testing.T) {
	stagetest.Bucket(t, func(*testing.T) stage.Bucket { return new(mem.Bucket) })
}

func TestLayerIsABucket(t *testing.T) {
	stagetest.Bucket(t, func(*testing.T) stage.Bucket { return mem.Over(new(mem.Bucket)) })
}

func TestLayerShowsItsBaseAndLeavesItAlone(t *testing.T) {
	base := new(mem.Bucket)
	write := func(b stage.Bucket, key, text string, c stage.Condition) error {
		_, err := b.Put(t.Context(), key, strings.NewReader(text), c)
		return err
	}
	for _, key := range []string{"a", "c", "e"} {
		if err := write(base, key, "base", stage.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	layer := mem.Over(base)
	if err := write(layer, "a", "layer", stage.Condition{IfAbsent: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create what the base has: %v", err)
	}
	o, err := layer.Open(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if err := write(layer, "c", "layer", stage.Condition{IfMatch: o.Tag()}); err != nil {
		t.Errorf("replace what the base has: %v", err)
	}
	if err := errors.Join(write(layer, "b", "layer", stage.Condition{}), write(layer, "z", "layer", stage.Condition{}), layer.Delete(t.Context(), "e")); err != nil {
		t.Fatal(err)
	}
	if _, err := layer.Open(t.Context(), "e"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what the layer deleted: %v", err)
	}
	for _, test := range []struct {
		name   string
		bucket stage.Bucket
		want   []string
	}{
		{"layer", layer, []string{"a 4", "b 5", "c 5", "z 5"}},
		{"base", base, []string{"a 4", "c 4", "e 4"}},
	} {
		var got []string
		for info, err := range test.bucket.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, info.Key+" "+string(rune('0'+info.Size)))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s has %q, want %q", test.name, got, test.want)
		}
	}
}
