// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"bytes"
	"context"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// TestCheckerCatches breaks the promises on purpose: a simulation that finds nothing
// wrong then would prove nothing.
func TestCheckerCatches(t *testing.T) {
	for _, test := range []struct {
		name, complaint string
		sabotage        func(stage.Bucket) stage.Bucket
		lie             bool
	}{
		{"a manifest that is written before its data", "a manifest names it", func(b stage.Bucket) stage.Bucket { return &hasty{Bucket: b} }, false},
		{"a ledger that forgets its history", "is staged twice", func(b stage.Bucket) stage.Bucket { return forgetful{b} }, false},
		{"a receipt that is written and lost", "has no receipt", func(b stage.Bucket) stage.Bucket { return careless{b} }, false},
		{"leases that anyone may replace", "nothing had gone wrong", func(b stage.Bucket) stage.Bucket { return lawless{b} }, false},
		{"a source that fails and does not say so", "is lost", func(b stage.Bucket) stage.Bucket { return b }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := workDir(t)
			for seed := uint64(1); seed < 400; seed++ {
				w := newWorld(seed, dir)
				w.sabotage, w.wire = test.sabotage, nil
				if test.lie {
					w.source = func(s extract.Source) extract.Source { return liar{s} }
				}
				w.run(t)
				if _, wrong := w.check(); strings.Contains(strings.Join(wrong, "\n"), test.complaint) {
					t.Logf("caught by seed %d: %s", seed, wrong[0])
					return
				}
			}
			t.Errorf("no seed complains that something %s", test.complaint)
		})
	}
}

// A hasty bucket holds data back until its manifest is written.
type hasty struct {
	stage.Bucket
	key  string
	data []byte
}

func (h *hasty) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	switch {
	case strings.HasPrefix(key, "v1/events/"):
		text, err := io.ReadAll(body)
		h.key, h.data = key, text
		return "", err
	case strings.HasPrefix(key, "v1/manifests/"):
		tag, err := h.Bucket.Put(ctx, key, body, condition)
		if err == nil {
			_, err = h.Bucket.Put(ctx, h.key, bytes.NewReader(h.data), stage.Condition{IfAbsent: true})
		}
		return tag, err
	default:
		return h.Bucket.Put(ctx, key, body, condition)
	}
}

func (h *hasty) Open(ctx context.Context, key string) (stage.Object, error) {
	if key == h.key {
		return held{bytes.NewReader(h.data)}, nil
	}
	return h.Bucket.Open(ctx, key)
}

type held struct{ *bytes.Reader }

func (held) Tag() string  { return "held" }
func (held) Close() error { return nil }

// A forgetful bucket lists only the last manifest of a cluster.
type forgetful struct{ stage.Bucket }

func (f forgetful) List(ctx context.Context, prefix, after string) iter.Seq2[stage.ObjectInfo, error] {
	if !strings.HasPrefix(prefix, "v1/manifests/cluster=") {
		return f.Bucket.List(ctx, prefix, after)
	}
	return func(yield func(stage.ObjectInfo, error) bool) {
		var last stage.ObjectInfo
		for info, err := range f.Bucket.List(ctx, prefix, after) {
			if err != nil {
				yield(info, err)
				return
			}
			last = info
		}
		if last.Key != "" {
			yield(last, nil)
		}
	}
}

// A careless bucket loses every third receipt.
type careless struct{ stage.Bucket }

func (c careless) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	if strings.HasPrefix(key, "v1/receipts/") && len(key) > 0 && key[len(key)-6]%3 == 0 {
		return "", nil
	}
	return c.Bucket.Put(ctx, key, body, condition)
}

// A lawless bucket keeps no conditions on leases.
type lawless struct{ stage.Bucket }

func (l lawless) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	if strings.HasPrefix(key, "v1/leases/") {
		condition = stage.Condition{}
	}
	return l.Bucket.Put(ctx, key, body, condition)
}

// A liar takes a failure for the end.
type liar struct{ extract.Source }

func (l liar) Extract(ctx context.Context, window record.Window, stats *extract.Stats, emit func(record.Record) error) error {
	if err := l.Source.Extract(ctx, window, stats, emit); err != nil && ctx.Err() != nil {
		return err
	}
	return nil
}
