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
//   - Coverage is the spans of time that each source has been read for; it lives in
//     the manifest, so that data and coverage move in one write.
//   - A receipt says what became of a batch at one destination.
//
// docs/format.md specifies the layout.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
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
	// [ErrChanged] when the tag is not IfMatch; it is [errors.ErrUnsupported] when the
	// store refuses such conditions. After any other error the object may or may not
	// have been written.
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

// CheckKey returns an error unless key is one that every bucket can hold: 1 to
// 1,000 bytes of letters, digits and "-_.=+@,:!" in parts joined by single
// slashes, no part beginning with a dot or longer than 200 bytes.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > 1000 {
		return errors.New("key has no or too many bytes")
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || len(part) > 200 || part[0] == '.' || strings.ContainsFunc(part, isOdd) {
			return fmt.Errorf("key %q has a part that is empty or too long, begins with a dot or has an odd character", key)
		}
	}
	return nil
}

func isOdd(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.=+@,:!", c)
}
