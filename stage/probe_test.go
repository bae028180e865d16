// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

// A late store answers a read with what was there before the last write.
type late struct{ stage.Bucket }

func (l late) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	before := ""
	if o, err := l.Open(ctx, key); err == nil {
		old, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
		if err != nil {
			return "", err
		}
		before = string(old)
	}
	tag, err := l.Bucket.Put(ctx, key, strings.NewReader(string(text)), condition)
	if err != nil || condition != (stage.Condition{}) {
		return tag, err
	}
	return l.Bucket.Put(ctx, key, strings.NewReader(before), stage.Condition{})
}

// An unordered store lists the last key first.
type unordered struct{ stage.Bucket }

func (u unordered) List(ctx context.Context, prefix, after string) iter.Seq2[stage.ObjectInfo, error] {
	return func(yield func(stage.ObjectInfo, error) bool) {
		var all []stage.ObjectInfo
		for info, err := range u.Bucket.List(ctx, prefix, after) {
			if err != nil {
				yield(info, err)
				return
			}
			all = append(all, info)
		}
		for _, info := range slices.Backward(all) {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// In a keeping store nothing can be deleted.
type keeping struct{ stage.Bucket }

func (keeping) Delete(context.Context, string) error { return stagetest.ErrFault }

func TestProbe(t *testing.T) {
	whole := stage.Semantics{CreateOnly: true, IfMatch: true, ReadAfterWrite: true, ListOrder: true, Delete: true}
	but := func(change func(*stage.Semantics)) stage.Semantics {
		s := whole
		change(&s)
		return s
	}
	for _, test := range []struct {
		name string
		open func(t *testing.T, base *mem.Bucket) stage.Bucket
		want stage.Semantics
	}{
		{"memory", func(_ *testing.T, b *mem.Bucket) stage.Bucket { return b }, whole},
		{"a folder", func(t *testing.T, _ *mem.Bucket) stage.Bucket { return file.New(t.TempDir()) }, whole},
		{
			"no conditions", func(_ *testing.T, b *mem.Bucket) stage.Bucket { return &stagetest.Careless{Bucket: b} },
			but(func(s *stage.Semantics) { s.CreateOnly, s.IfMatch = false, false }),
		},
		{
			"conditions that race", func(_ *testing.T, b *mem.Bucket) stage.Bucket { return &stagetest.Careless{Bucket: b, Looks: true} },
			but(func(s *stage.Semantics) { s.CreateOnly, s.IfMatch = false, false }),
		},
		{
			"late reads", func(_ *testing.T, b *mem.Bucket) stage.Bucket { return late{b} },
			but(func(s *stage.Semantics) { s.ReadAfterWrite = false }),
		},
		{
			"lists in another order", func(_ *testing.T, b *mem.Bucket) stage.Bucket { return unordered{b} },
			but(func(s *stage.Semantics) { s.ListOrder = false }),
		},
		{
			"no deletes", func(_ *testing.T, b *mem.Bucket) stage.Bucket { return keeping{b} },
			but(func(s *stage.Semantics) { s.Delete = false }),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // all writers of a contest have looked before the first writes
				base := new(mem.Bucket)
				b := test.open(t, base)
				got, err := stage.Probe(t.Context(), b)
				if err != nil || got != test.want {
					t.Errorf("probe: %+v, %v, want %+v", got, err, test.want)
				}
				if keys, err := stagetest.Keys(t.Context(), b, ""); err != nil || test.want.Delete && len(keys) > 0 {
					t.Errorf("left: %q, %v", keys, err)
				}
			})
		})
	}
}

// Whatever fails, a probe says so and leaves nothing behind.
func TestProbeFails(t *testing.T) {
	for n := 0; ; n++ {
		base := new(mem.Bucket)
		decide, reached := stagetest.FailNth(n, stagetest.Before)
		_, err := stage.Probe(t.Context(), &stagetest.Faulty{Bucket: base, Fault: func(op, key string) stagetest.Fault {
			if op == "delete" || strings.Contains(key, "/contested-") && op == "put" {
				return stagetest.None // concurrent
			}
			return decide(op, key)
		}})
		if !reached() {
			break
		}
		if keys, listErr := stagetest.Keys(t.Context(), base, ""); listErr != nil || len(keys) > 0 {
			t.Errorf("operation %d: left %q, %v", n, keys, listErr)
		}
		if err != nil && !errors.Is(err, stagetest.ErrFault) || err == nil && n < 13 {
			t.Errorf("operation %d: %v", n, err)
		}
	}
}

// The first use is recorded, once, and nothing that goes wrong with it matters.
func TestFirstUse(t *testing.T) {
	const key = "v1/store.json"
	b := new(mem.Bucket)
	stagetest.NewLedger(t, b).FirstUse(t.Context())
	o, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	const want = `{
  "format": 1,
  "producer": {
    "name": "segment-bridge",
    "version": "1.2.3"
  },
  "semantics": {
    "createOnly": true,
    "ifMatch": true,
    "readAfterWrite": true,
    "listOrder": true,
    "delete": true
  }
}
`
	if err != nil || string(text) != want {
		t.Errorf("record: %v\n%s", err, text)
	}
	puts := 0
	stagetest.NewLedger(t, &stagetest.Faulty{Bucket: b, Fault: func(op, _ string) stagetest.Fault {
		if op == "put" {
			puts++
		}
		return stagetest.None
	}}).FirstUse(t.Context())
	if puts > 0 {
		t.Errorf("the second use wrote %d objects", puts)
	}

	broken := new(mem.Bucket)
	l := stagetest.NewLedger(t, &stagetest.Faulty{Bucket: broken, Fault: func(_, key string) stagetest.Fault {
		if strings.HasPrefix(key, "v1/probe/") {
			return stagetest.Before
		}
		return stagetest.None
	}})
	l.FirstUse(t.Context())
	if keys, err := stagetest.Keys(t.Context(), broken, ""); err != nil || len(keys) > 0 {
		t.Errorf("a store that could not be probed has %q, %v", keys, err)
	}
}
