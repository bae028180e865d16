// SPDX-License-Identifier: Apache-2.0

// Package mem is a bucket in memory: for tests, and as a layer over another bucket
// for runs that must not write.
package mem

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
)

var _ stage.Bucket = (*Bucket)(nil)

// A Bucket keeps objects in memory. The zero Bucket is empty and ready.
type Bucket struct {
	base stage.Bucket // nil unless this is a layer

	mu      sync.RWMutex
	objects map[string]*content // nil for one of the base that was deleted
}

type content struct {
	bytes    []byte
	tag      string
	modified time.Time
}

// Over returns a bucket that shows what base has, and keeps in memory what is
// written or deleted. It never changes base.
func Over(base stage.Bucket) *Bucket { return &Bucket{base: base} }

// Open implements [stage.Bucket].
func (b *Bucket) Open(ctx context.Context, key string) (stage.Object, error) {
	if err := errors.Join(ctx.Err(), stage.CheckKey(key)); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.open(ctx, key)
}

func (b *Bucket) open(ctx context.Context, key string) (stage.Object, error) {
	c, ours := b.objects[key]
	switch {
	case c != nil:
		return &object{bytes.NewReader(c.bytes), c.tag}, nil
	case ours || b.base == nil:
		return nil, fmt.Errorf("open object %s: %w", key, fs.ErrNotExist)
	default:
		return b.base.Open(ctx, key)
	}
}

// tag returns the tag of an object, and whether it is there.
func (b *Bucket) tag(ctx context.Context, key string) (tag string, exists bool, err error) {
	o, err := b.open(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	} else if err != nil {
		return "", false, err
	}
	return o.Tag(), true, o.Close()
}

// Put implements [stage.Bucket].
func (b *Bucket) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	if err := errors.Join(ctx.Err(), stage.CheckKey(key)); err != nil {
		return "", err
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return "", fmt.Errorf("put object %s: %w", key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	tag, exists, err := b.tag(ctx, key)
	switch {
	case err != nil:
		return "", err
	case condition.IfAbsent && exists:
		return "", fmt.Errorf("put object %s: %w", key, fs.ErrExist)
	case condition.IfMatch != "" && (!exists || tag != condition.IfMatch):
		return "", fmt.Errorf("put object %s: %w", key, stage.ErrChanged)
	}
	if b.objects == nil {
		b.objects = map[string]*content{}
	}
	sum := sha256.Sum256(text)
	tag = hex.EncodeToString(sum[:])
	b.objects[key] = &content{text, tag, time.Now()}
	return tag, nil
}

// Delete implements [stage.Bucket].
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := errors.Join(ctx.Err(), stage.CheckKey(key)); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, key)
	if b.base != nil {
		if b.objects == nil {
			b.objects = map[string]*content{}
		}
		b.objects[key] = nil
	}
	return nil
}

// List implements [stage.Bucket]. It lists what is there when it begins.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[stage.ObjectInfo, error] {
	return func(yield func(stage.ObjectInfo, error) bool) {
		b.mu.RLock()
		ours := maps.Clone(b.objects)
		b.mu.RUnlock()
		var keys []string
		for _, key := range slices.Sorted(maps.Keys(ours)) {
			if strings.HasPrefix(key, prefix) && key > after {
				keys = append(keys, key)
			}
		}
		// emit yields our objects whose keys sort before the limit.
		emit := func(limit string, all bool) bool {
			for len(keys) > 0 && (all || keys[0] < limit) {
				key := keys[0]
				keys = keys[1:]
				if err := ctx.Err(); err != nil {
					yield(stage.ObjectInfo{}, err)
					return false
				}
				if c := ours[key]; c != nil && !yield(stage.ObjectInfo{Key: key, Size: int64(len(c.bytes)), Modified: c.modified}, nil) {
					return false
				}
			}
			return true
		}
		if b.base != nil {
			for info, err := range b.base.List(ctx, prefix, after) {
				if err != nil {
					yield(stage.ObjectInfo{}, err)
					return
				}
				if !emit(info.Key, false) {
					return
				}
				if _, hidden := ours[info.Key]; !hidden && !yield(info, nil) {
					return
				}
			}
		}
		if err := ctx.Err(); err != nil {
			yield(stage.ObjectInfo{}, err)
			return
		}
		emit("", true)
	}
}

type object struct {
	*bytes.Reader
	tag string
}

func (o *object) Tag() string  { return o.tag }
func (o *object) Close() error { return nil }
