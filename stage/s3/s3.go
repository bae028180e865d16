// SPDX-License-Identifier: Apache-2.0

// Package s3 is a bucket in an S3 store.
//
// Conditions are If-None-Match and If-Match headers, which AWS and the larger
// self-hosted stores honour. A store that ignores them still keeps batches
// correct, since those are named after their content, but cannot keep two loaders
// apart.
package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/segment-bridge/segment-bridge/stage"
)

var _ stage.Bucket = (*Bucket)(nil)

// Config says where a bucket is. Credentials come from the environment
// (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), from the shared credentials file
// of AWS, or from the role of the machine or of the service account.
type Config struct {
	// Endpoint is the URL of the store; empty means AWS.
	Endpoint string
	// Bucket is the name of the bucket. It is never created.
	Bucket string
	// Prefix, if not empty, stands before all keys, with a slash between.
	Prefix string
	// Region of the bucket; empty means us-east-1, which is what most stores other
	// than AWS expect.
	Region string
	// PathStyle puts the bucket into the path and not into the host name. It is
	// meant for stores other than AWS and is the default for them.
	PathStyle bool
	// Encryption at rest: "" for what the bucket does by itself, "AES256", or
	// "aws:kms" with the key KMSKey, or with the bucket's if that is empty.
	Encryption string
	KMSKey     string
}

// DefaultEndpoint is the endpoint of AWS.
const DefaultEndpoint = "https://s3.amazonaws.com"

// A Bucket is a bucket in an S3 store, or what lies under a prefix in it.
type Bucket struct {
	client   minio.Core
	endpoint string
	bucket   string
	prefix   string // empty, or ending in a slash
	sse      encrypt.ServerSide
}

const (
	// maxTries bounds the requests for one call, with pauses up to a second.
	maxTries = 6
	// credentialTimeout bounds a request for credentials: on a machine without a
	// role nothing answers.
	credentialTimeout = 5 * time.Second
)

// New returns the bucket. It sends nothing yet.
func New(c Config) (*Bucket, error) { return newBucket(c, silence) }

func newBucket(c Config, silence time.Duration) (*Bucket, error) {
	if c.Endpoint == "" {
		c.Endpoint = DefaultEndpoint
	}
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" || strings.Trim(endpoint.Path, "/") != "" {
		return nil, errors.New("S3 endpoint is not like http://host:9000 or https://host")
	}
	if s3utils.CheckValidBucketNameStrict(c.Bucket) != nil {
		return nil, errors.New("S3 bucket has a name that no bucket can have: 3 to 63 lower-case letters, digits, dots and dashes")
	}
	transport, err := newTransport(endpoint.Scheme == "https", silence)
	if err != nil {
		return nil, errors.New("S3 certificates: the file that SSL_CERT_FILE names cannot be read")
	}
	lookup := minio.BucketLookupAuto // by host name for AWS, by path for others
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{},
			&credentials.IAM{Client: &http.Client{Timeout: credentialTimeout}},
		}),
		Secure: endpoint.Scheme == "https", Transport: transport, BucketLookup: lookup, MaxRetries: maxTries,
		Region: cmp.Or(c.Region, "us-east-1"),
	})
	if err != nil {
		return nil, errors.New("S3 endpoint is not like http://host:9000 or https://host")
	}
	client.SetAppInfo("segment-bridge", "stage-"+strconv.Itoa(stage.Format))
	b := &Bucket{client: *client, endpoint: endpoint.Scheme + "://" + endpoint.Host, bucket: c.Bucket}
	if prefix := strings.Trim(c.Prefix, "/"); prefix != "" {
		if err := stage.CheckKey(prefix); err != nil {
			return nil, fmt.Errorf("S3 prefix: %w", err)
		}
		b.prefix = prefix + "/"
	}
	if b.sse, err = serverSide(c); err != nil {
		return nil, err
	}
	return b, nil
}

func serverSide(c Config) (encrypt.ServerSide, error) {
	switch {
	case c.Encryption == "" && c.KMSKey == "":
		return nil, nil
	case c.Encryption == "AES256" && c.KMSKey == "":
		return encrypt.NewSSE(), nil
	case c.Encryption == "aws:kms":
		sse, err := encrypt.NewSSEKMS(c.KMSKey, nil)
		if err != nil {
			return nil, errors.New("S3 encryption: the KMS key cannot be used")
		}
		return sse, nil
	default:
		return nil, errors.New(`S3 encryption is "AES256", or "aws:kms" with or without a key`)
	}
}

// name returns the key in the store.
func (b *Bucket) name(ctx context.Context, key string) (string, error) {
	if err := errors.Join(ctx.Err(), stage.CheckKey(key)); err != nil {
		return "", err
	}
	return b.prefix + key, nil
}

// Put implements [stage.Bucket]. The object goes in one request with a checksum:
// either it is there, or nothing is.
func (b *Bucket) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	name, err := b.name(ctx, key)
	if err != nil {
		return "", err
	}
	content, err := section(body)
	if err != nil {
		return "", fmt.Errorf("put object %s: %w", key, err)
	}
	options := minio.PutObjectOptions{
		ContentType: contentType(key), DisableMultipart: true, SendContentMd5: true, ServerSideEncryption: b.sse,
	}
	switch {
	case condition.IfAbsent:
		options.SetMatchETagExcept("*")
	case condition.IfMatch != "":
		options.SetMatchETag(condition.IfMatch)
	}
	for try := 1; ; try++ {
		info, err := b.client.Client.PutObject(ctx, b.bucket, name, io.NewSectionReader(content, 0, content.Size()), content.Size(), options)
		if err == nil {
			return info.ETag, nil
		}
		// The store was working on the same key for somebody else. Who won shows when
		// asked again.
		if statusOf(err) == http.StatusConflict && try < maxTries && pause(ctx, try) == nil {
			continue
		}
		return "", b.failed(ctx, "put", key, putError(err, condition))
	}
}

// section returns what is left of body.
func section(body io.ReadSeeker) (*io.SectionReader, error) {
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	end, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if at, ok := body.(io.ReaderAt); ok {
		return io.NewSectionReader(at, start, end-start), nil
	}
	return io.NewSectionReader(&seekingReaderAt{body: body}, start, end-start), nil
}

// A seekingReaderAt reads at offsets, one after the other.
type seekingReaderAt struct{ body io.ReadSeeker }

// ReadAt implements io.ReaderAt, for one goroutine.
func (s *seekingReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if _, err := s.body.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.body, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

func contentType(key string) string {
	switch {
	case strings.HasSuffix(key, ".json"):
		return "application/json"
	case strings.HasSuffix(key, ".parquet"):
		return "application/vnd.apache.parquet"
	default:
		return "application/octet-stream"
	}
}

// pause waits longer each time, with jitter, so that rivals do not meet again.
func pause(ctx context.Context, try int) error {
	limit := min(50*time.Millisecond<<try, time.Second)
	timer := time.NewTimer(limit/2 + rand.N(limit/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Delete implements [stage.Bucket].
func (b *Bucket) Delete(ctx context.Context, key string) error {
	name, err := b.name(ctx, key)
	if err != nil {
		return err
	}
	err = b.client.RemoveObject(ctx, b.bucket, name, minio.RemoveObjectOptions{})
	if err = b.failed(ctx, "delete", key, err); isMissing(err) {
		return nil
	}
	return err
}

// List implements [stage.Bucket].
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[stage.ObjectInfo, error] {
	return func(yield func(stage.ObjectInfo, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(stage.ObjectInfo{}, err)
			return
		}
		owner := false
		options := minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true, FetchOwner: &owner}
		if after != "" {
			options.StartAfter = b.prefix + after
		}
		for o := range b.client.ListObjectsIter(ctx, b.bucket, options) {
			if o.Err != nil {
				yield(stage.ObjectInfo{}, b.failed(ctx, "list", prefix, o.Err))
				return
			}
			info := stage.ObjectInfo{Key: strings.TrimPrefix(o.Key, b.prefix), Size: o.Size, Modified: o.LastModified}
			if !yield(info, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(stage.ObjectInfo{}, err)
		}
	}
}
