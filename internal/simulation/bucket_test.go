// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
)

// A ledgerBucket dates objects by the clock of the model, and notes who commits.
type ledgerBucket struct {
	*mem.Bucket
	world *world
}

// Put implements [stage.Bucket].
func (b *ledgerBucket) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	// A request on its way arrives even when the client is gone.
	tag, err := b.Bucket.Put(context.WithoutCancel(ctx), key, body, condition)
	if err == nil {
		b.world.written[key] = b.world.now
		if strings.HasPrefix(key, "v1/manifests/") {
			b.world.commits(key)
		}
	}
	return tag, err
}

// List implements [stage.Bucket].
func (b *ledgerBucket) List(ctx context.Context, prefix, after string) iter.Seq2[stage.ObjectInfo, error] {
	return func(yield func(stage.ObjectInfo, error) bool) {
		for info, err := range b.Bucket.List(ctx, prefix, after) {
			info.Modified = b.world.written[info.Key].Truncate(time.Second)
			if !yield(info, err) {
				return
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

var _ load.Destination = (*receiver)(nil)
