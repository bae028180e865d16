// SPDX-License-Identifier: Apache-2.0

package s3_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fakeStore is as much of S3 as a bucket needs, with conditions that are atomic.
// A fault, if set, may answer a request in its place: before it is carried out,
// or after, so that the answer is lost.
type fakeStore struct {
	mu      sync.Mutex
	objects map[string]fakeObject

	before func(w http.ResponseWriter, r *http.Request) (answered bool)
	after  func(w http.ResponseWriter, r *http.Request) (answered bool)
}

type fakeObject struct {
	body []byte
	etag string
}

func (f *fakeStore) start(t *testing.T) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "access")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	f.objects = map[string]fakeObject{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL
}

func (f *fakeStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.before != nil && f.before(w, r) {
		return
	}
	answer := httptest.NewRecorder()
	f.serve(answer, r)
	if f.after != nil && f.after(w, r) {
		return
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>words of the server</Message></Error>", code)
}

func (f *fakeStore) serve(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != "bucket" {
		fail(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	body, err := readBody(r)
	if err != nil {
		fail(w, http.StatusBadRequest, "BadDigest")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	o, exists := f.objects[key]
	switch {
	case key == "":
		f.list(w, r)
	case r.Method == http.MethodPut:
		match := strings.Trim(r.Header.Get("If-Match"), `"`)
		switch {
		case r.Header.Get("If-None-Match") == "*" && exists, match != "" && exists && match != o.etag:
			fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		case match != "" && !exists:
			fail(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		sum := md5.Sum(body)
		o = fakeObject{body, hex.EncodeToString(sum[:])}
		f.objects[key] = o
		w.Header().Set("ETag", `"`+o.etag+`"`)
	case r.Method == http.MethodDelete:
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case !exists:
		fail(w, http.StatusNotFound, "NoSuchKey")
	default:
		if len(o.body) == 0 && r.Header.Get("Range") != "" {
			fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		w.Header().Set("ETag", `"`+o.etag+`"`)
		http.ServeContent(w, r, "", time.Now(), bytes.NewReader(o.body))
	}
}

func (f *fakeStore) list(w http.ResponseWriter, r *http.Request) {
	type contents struct {
		Key, LastModified, ETag string
		Size                    int
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []contents
	}
	q := r.URL.Query()
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key <= after {
			continue
		}
		if len(page.Contents) == 1000 {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[999].Key
			break
		}
		page.Contents = append(page.Contents, contents{key, time.Now().UTC().Format(time.RFC3339), f.objects[key].etag, len(f.objects[key].body)})
	}
	_ = xml.NewEncoder(w).Encode(page)
}

// readBody undoes the chunks that carry signatures and checks the checksum.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		chunks := bufio.NewReader(bytes.NewReader(body))
		body = nil
		for {
			line, err := chunks.ReadString('\n')
			if err != nil {
				return nil, err
			}
			size, _, _ := strings.Cut(line, ";")
			n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
			if err != nil || n == 0 {
				break
			}
			chunk := make([]byte, n+2)
			if _, err := io.ReadFull(chunks, chunk); err != nil {
				return nil, err
			}
			body = append(body, chunk[:n]...)
		}
	}
	sum := md5.Sum(body)
	if want := r.Header.Get("Content-Md5"); r.Method == http.MethodPut && want != base64.StdEncoding.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("checksum %q is missing or wrong", want)
	}
	return body, nil
}
