// SPDX-License-Identifier: Apache-2.0

// Package stage keeps events in a bucket, where they can be audited, and from
// where they are loaded. The bucket is the ledger: what is there has happened.
//
// Its words:
//
//   - A batch is the events of one run of one cluster: an immutable Parquet file,
//     named after the end of its window and the hash of its content.
//   - A manifest is the commit mark of a batch. Data goes first, the manifest
//     last; a file that no manifest names does not exist.
//   - A checkpoint is how far a source has been read; it lives in the manifest, so
//     that data and checkpoint move in one write.
//   - A receipt says what became of a batch at one destination.
//
// docs/format.md specifies the layout.
package stage

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// A Bucket is a flat store of objects: a folder, an S3 bucket, memory. Keys are
// slash-separated and relative. It is safe for concurrent use. Every method may
// be retried by the caller.
type Bucket interface {
	// Open opens an object for reading; the error is [io/fs.ErrNotExist] when it is
	// not there.
	Open(ctx context.Context, key string) (Object, error)
	// Put writes a whole object, or nothing of it, and returns its entity tag.
	// The condition decides whether an object of that key is replaced: it is
	// [io/fs.ErrExist] when the key is taken and the condition says IfAbsent, and
	// [ErrChanged] when the tag is not IfMatch. After any other error the object
	// may or may not have been written.
	Put(ctx context.Context, key string, body io.ReadSeeker, condition Condition) (tag string, err error)
	// List yields the objects whose key starts with prefix and sorts after the key
	// after ("" for all), in ascending order of their keys.
	List(ctx context.Context, prefix, after string) iter.Seq2[ObjectInfo, error]
	// Delete removes an object. It is no error when it is not there.
	Delete(ctx context.Context, key string) error
}

// An Object is an object opened for reading.
type Object interface {
	io.ReaderAt
	io.Closer
	// Size is the number of bytes, Tag the entity tag.
	Size() int64
	Tag() string
}

// ObjectInfo is an entry of a listing.
type ObjectInfo struct {
	Key      string
	Size     int64
	Modified time.Time
}

// A Condition guards a Put. The zero Condition replaces whatever is there.
type Condition struct {
	// IfAbsent creates and never replaces.
	IfAbsent bool
	// IfMatch replaces only the object with this entity tag.
	IfMatch string
}

// ErrChanged says that an object is no longer the one that the condition named.
var ErrChanged = errors.New("object has changed")
