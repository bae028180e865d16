// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/segment-bridge/segment-bridge/stage"
)

// headBytes is how much of an object comes with the request that opens it: all of
// a manifest, a receipt or the data of an ordinary hour.
const headBytes = 256 << 10

// readTries is how often a range is read whose body breaks off.
const readTries = 3

// An object reads ranges of one version of an object.
type object struct {
	bucket *Bucket
	ctx    context.Context //nolint:containedctx // io.ReaderAt has no room for it
	key    string
	name   string
	head   []byte // the first bytes, or all
	size   int64
	tag    string
}

// Open implements [stage.Bucket].
func (b *Bucket) Open(ctx context.Context, key string) (stage.Object, error) {
	name, err := b.name(ctx, key)
	if err != nil {
		return nil, err
	}
	o := &object{bucket: b, ctx: ctx, key: key, name: name, head: make([]byte, headBytes)}
	n, err := o.read(o.head, 0)
	if err != nil {
		return nil, b.failed(ctx, "open", key, err)
	}
	o.head = append([]byte(nil), o.head[:n]...)
	return o, nil
}

// ReadAt implements [io.ReaderAt].
func (o *object) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, errors.New("read object: negative offset")
	}
	if offset >= o.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), o.size-offset)]
	n := 0
	if offset < int64(len(o.head)) {
		n = copy(want, o.head[offset:])
	}
	if n < len(want) {
		more, err := o.read(want[n:], offset+int64(n))
		if n += more; err != nil {
			return n, o.bucket.failed(o.ctx, "read", o.key, err)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// read reads a range, again from the start when the body breaks off.
func (o *object) read(p []byte, offset int64) (n int, err error) {
	for range readTries {
		var broken bool
		if n, broken, err = o.readOnce(p, offset); !broken {
			return n, err
		}
	}
	return n, err
}

// readOnce sends one request. The first one learns size and tag; those that follow
// insist on the same tag.
func (o *object) readOnce(p []byte, offset int64) (n int, broken bool, err error) {
	var options minio.GetObjectOptions
	if err := options.SetRange(offset, offset+int64(len(p))-1); err != nil {
		return 0, false, err
	}
	if o.tag != "" {
		if err := options.SetMatchETag(o.tag); err != nil {
			return 0, false, err
		}
	}
	body, info, header, err := o.bucket.client.GetObject(o.ctx, o.bucket.bucket, o.name, options)
	if statusOf(err) == http.StatusRequestedRangeNotSatisfiable && offset == 0 {
		return o.empty()
	}
	if statusOf(err) == http.StatusPreconditionFailed {
		return 0, false, stage.ErrChanged
	}
	if err != nil {
		return 0, false, err
	}
	defer body.Close()
	size, ok := total(header.Get("Content-Range"), offset)
	if !ok && header.Get("Content-Range") == "" && offset == 0 {
		size, ok = info.Size, true // a store that sends all
	}
	if !ok || size < 0 || info.ETag == "" || o.tag != "" && (size != o.size || info.ETag != o.tag) {
		return 0, false, errRange
	}
	if o.tag == "" { // while it is being opened; later reads may be concurrent
		o.size, o.tag = size, info.ETag
	}
	p = p[:min(int64(len(p)), size-offset)]
	n, err = io.ReadFull(body, p)
	return n, err != nil, err
}

// empty asks for an object of which not even the first byte can be read.
func (o *object) empty() (n int, broken bool, err error) {
	info, err := o.bucket.client.StatObject(o.ctx, o.bucket.bucket, o.name, minio.StatObjectOptions{})
	if err != nil {
		return 0, false, err
	}
	if info.Size != 0 {
		return 0, false, errRange
	}
	o.tag = info.ETag
	return 0, false, nil
}

var errRange = errors.New("the store does not answer requests for a part of an object as S3 does")

// total reads "bytes 0-9/100" and returns 100, if the range begins at offset.
func total(contentRange string, offset int64) (int64, bool) {
	rest, ok := strings.CutPrefix(contentRange, "bytes "+strconv.FormatInt(offset, 10)+"-")
	if !ok {
		return 0, false
	}
	_, digits, _ := strings.Cut(rest, "/")
	size, err := strconv.ParseInt(digits, 10, 64)
	return size, err == nil && size > offset
}

// Size implements [stage.Object].
func (o *object) Size() int64 { return o.size }

// Tag implements [stage.Object].
func (o *object) Tag() string { return o.tag }

// Close implements [stage.Object].
func (o *object) Close() error { return nil }
