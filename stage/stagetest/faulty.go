// SPDX-License-Identifier: Apache-2.0

package stagetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/segment-bridge/segment-bridge/stage"
)

// ErrFault is the error of a faulty bucket.
var ErrFault = errors.New("fault")

// A Fault is what goes wrong with one operation on a bucket.
type Fault int

// The faults. Before and After are a crash, or a connection that breaks: the
// operation has taken place, or has not. Lost is a write whose response was lost
// and which the client repeated by itself.
const (
	None Fault = iota
	Before
	After
	Lost
)

// A Faulty is a bucket of which operations fail.
type Faulty struct {
	stage.Bucket
	// Fault is asked before each operation ("open", "put", "list" or "delete") on a
	// key or prefix.
	Fault func(op, key string) Fault
}

// FailNth returns a Fault that hits the nth operation, counted from 0, and a
// function that tells whether it came to that.
func FailNth(n int, fault Fault) (decide func(op, key string) Fault, reached func() bool) {
	return func(string, string) Fault {
		if n--; n == -1 {
			return fault
		}
		return None
	}, func() bool { return n < 0 }
}

// Open implements [stage.Bucket].
func (f *Faulty) Open(ctx context.Context, key string) (stage.Object, error) {
	if fault := f.Fault("open", key); fault == Before || fault == After {
		return nil, ErrFault
	}
	return f.Bucket.Open(ctx, key)
}

// Put implements [stage.Bucket].
func (f *Faulty) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	fault := f.Fault("put", key)
	if fault == Before {
		return "", ErrFault
	}
	tag, err := f.Bucket.Put(ctx, key, body, condition)
	switch {
	case fault == After:
		return "", ErrFault
	case fault == Lost && err == nil && condition.IfAbsent:
		return "", fs.ErrExist
	case fault == Lost && err == nil && condition.IfMatch != "":
		return "", stage.ErrChanged
	}
	return tag, err
}

// Delete implements [stage.Bucket].
func (f *Faulty) Delete(ctx context.Context, key string) error {
	fault := f.Fault("delete", key)
	if fault == Before {
		return ErrFault
	}
	return errors.Join(f.Bucket.Delete(ctx, key), map[bool]error{true: ErrFault}[fault == After])
}

// List implements [stage.Bucket]. A fault breaks the list off after its first
// object.
func (f *Faulty) List(ctx context.Context, prefix, after string) iter.Seq2[stage.ObjectInfo, error] {
	return func(yield func(stage.ObjectInfo, error) bool) {
		fault := f.Fault("list", prefix)
		if fault == Before {
			yield(stage.ObjectInfo{}, ErrFault)
			return
		}
		for info, err := range f.Bucket.List(ctx, prefix, after) {
			if !yield(info, err) {
				return
			}
			if fault == After {
				yield(stage.ObjectInfo{}, ErrFault)
				return
			}
		}
	}
}

// Keys returns the keys of a bucket that begin with prefix.
func Keys(ctx context.Context, b stage.Bucket, prefix string) ([]string, error) {
	var keys []string
	for info, err := range b.List(ctx, prefix, "") {
		if err != nil {
			return nil, err
		}
		keys = append(keys, info.Key)
	}
	return keys, nil
}

// Tamper replaces an object.
func Tamper(ctx context.Context, b stage.Bucket, key, text string) error {
	_, err := b.Put(ctx, key, strings.NewReader(text), stage.Condition{})
	return err
}
