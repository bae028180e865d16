// SPDX-License-Identifier: Apache-2.0

package s3_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/s3"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

func open(t *testing.T, c s3.Config) *s3.Bucket {
	t.Helper()
	b, err := s3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBucket(t *testing.T) {
	for _, prefix := range []string{"", "a/prefix"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			stagetest.Bucket(t, func(t *testing.T) stage.Bucket {
				store := new(fakeStore)
				b := open(t, s3.Config{Endpoint: store.start(t), Bucket: "bucket", Prefix: prefix})
				t.Cleanup(func() {
					for key := range store.objects {
						if !strings.HasPrefix(key, prefix) {
							t.Errorf("key %q is outside the prefix", key)
						}
					}
				})
				return b
			})
		})
	}
}

// times answers the first n requests of a method with a fault.
func times(n int32, method string, fault http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	var count atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || count.Add(1) > n {
			return false
		}
		fault(w, r)
		return true
	}
}

func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func status(code int, word string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fail(w, code, word) }
}

func TestPutMeetsFaults(t *testing.T) {
	const always = 1000
	for _, test := range []struct {
		name          string
		before, after func(http.ResponseWriter, *http.Request) bool
		condition     stage.Condition
		want          error // nil: it works, unless other is set
		other         bool  // an error that is none of those with a meaning
		stored        bool
	}{
		{name: "busy with the same key", before: times(2, "PUT", status(409, "ConditionalRequestConflict")), condition: stage.Condition{IfAbsent: true}, stored: true},
		{name: "always busy", before: times(always, "PUT", status(409, "ConditionalRequestConflict")), condition: stage.Condition{IfAbsent: true}, other: true},
		{name: "slow down", before: times(1, "PUT", status(503, "SlowDown")), stored: true},
		{name: "the connection breaks before", before: times(1, "PUT", drop), condition: stage.Condition{IfAbsent: true}, stored: true},
		// The client sends again by itself and finds its own object.
		{name: "the answer is lost", after: times(1, "PUT", drop), condition: stage.Condition{IfAbsent: true}, want: fs.ErrExist, stored: true},
		{name: "the answer is lost and any may be replaced", after: times(1, "PUT", drop), stored: true},
		{name: "no conditions", before: times(always, "PUT", status(501, "NotImplemented")), condition: stage.Condition{IfAbsent: true}, want: errors.ErrUnsupported},
		{name: "gone meanwhile", before: times(always, "PUT", status(404, "NoSuchKey")), condition: stage.Condition{IfMatch: "x"}, want: stage.ErrChanged},
		{name: "access denied", before: times(always, "PUT", status(403, "AccessDenied")), other: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := &fakeStore{before: test.before, after: test.after}
			b := open(t, s3.Config{Endpoint: store.start(t), Bucket: "bucket"})
			_, err := b.Put(t.Context(), "k", strings.NewReader("body"), test.condition)
			switch {
			case test.other && (err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, stage.ErrChanged)):
				t.Errorf("put: %v, which says too much", err)
			case !test.other && !errors.Is(err, test.want):
				t.Errorf("put: %v, want %v", err, test.want)
			}
			if o, ok := store.objects["k"]; ok != test.stored || ok && string(o.body) != "body" {
				t.Errorf("the store has %q", o.body)
			}
		})
	}
}

// Errors say what to do, and nothing that the server said.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		code int
		word string
		want string
	}{
		{404, "NoSuchBucket", "create it"},
		{403, "AccessDenied", "s3:ListBucket"},
		{403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"},
		{403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"},
		{403, "RequestTimeTooSkewed", "clock"},
		{400, "AuthorizationHeaderMalformed", "region="},
		{418, "words-of-the-server", "HTTP 418"},
	} {
		t.Run(test.word, func(t *testing.T) {
			store := &fakeStore{before: func(w http.ResponseWriter, _ *http.Request) bool { fail(w, test.code, test.word); return true }}
			b := open(t, s3.Config{Endpoint: store.start(t), Bucket: "bucket"})
			_, openErr := b.Open(t.Context(), "k")
			_, putErr := b.Put(t.Context(), "k", strings.NewReader(""), stage.Condition{})
			var listErr error
			for _, err := range b.List(t.Context(), "", "") {
				listErr = err
			}
			for _, err := range []error{openErr, putErr, listErr, b.Delete(t.Context(), "k")} {
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "words") || errors.Is(err, fs.ErrNotExist) {
					t.Errorf("error: %v, want one about %q", err, test.want)
				}
			}
		})
	}
	b := open(t, s3.Config{Endpoint: "http://127.0.0.1:1", Bucket: "bucket"})
	t.Setenv("AWS_ACCESS_KEY_ID", "access")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	if _, err := b.Open(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:1: connection refused") {
		t.Errorf("no store: %v", err)
	}
}

func TestReadMeetsFaults(t *testing.T) {
	body := strings.Repeat("0123456789", 100_000)
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Header().Set("Content-Range", "bytes 300000-300099/1000000")
		w.Header().Set("ETag", `"other"`)
		w.Header().Set("Last-Modified", "Sun, 22 Nov 2026 17:00:00 GMT")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "0123")
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(err)
		}
		panic(http.ErrAbortHandler)
	}
	start := func(t *testing.T) (*fakeStore, stage.Object) {
		store := new(fakeStore)
		b := open(t, s3.Config{Endpoint: store.start(t), Bucket: "bucket"})
		if _, err := b.Put(t.Context(), "k", strings.NewReader(body), stage.Condition{}); err != nil {
			t.Fatal(err)
		}
		o, err := b.Open(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		return store, o
	}
	buf := make([]byte, 100)
	t.Run("the answer breaks off once", func(t *testing.T) {
		store, o := start(t)
		store.before = times(1, "GET", drop)
		if n, err := o.ReadAt(buf, 300_000); err != nil || string(buf[:n]) != body[:100] {
			t.Errorf("read %q, %v", buf[:n], err)
		}
	})
	t.Run("another version answers", func(t *testing.T) {
		store, o := start(t)
		store.before = times(1, "GET", half)
		if _, err := o.ReadAt(buf, 300_000); err == nil {
			t.Error("read: no error")
		}
	})
	t.Run("it is replaced while it is read", func(t *testing.T) {
		store, o := start(t)
		store.objects["k"] = fakeObject{[]byte(strings.ToUpper(body)), "new"}
		if _, err := o.ReadAt(buf, 300_000); !errors.Is(err, stage.ErrChanged) {
			t.Errorf("read: %v", err)
		}
	})
	t.Run("ranges are not honoured", func(t *testing.T) {
		store, o := start(t)
		store.before = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Range"); return false }
		if _, err := o.ReadAt(buf, 300_000); err == nil {
			t.Error("read: no error")
		}
	})
}

func TestEncryptionIsAskedFor(t *testing.T) {
	var header http.Header
	store := &fakeStore{before: func(_ http.ResponseWriter, r *http.Request) bool { header = r.Header; return false }}
	b := open(t, s3.Config{Endpoint: store.start(t), Bucket: "bucket", Encryption: "aws:kms", KMSKey: "key"})
	if _, err := b.Put(t.Context(), "k.json", strings.NewReader("{}"), stage.Condition{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "key", "Content-Type": "application/json",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(header.Get("User-Agent"), "segment-bridge/") {
		t.Errorf("user agent is %q", header.Get("User-Agent"))
	}
}
