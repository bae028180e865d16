// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
)

// A store that falls silent, at whatever point of a request, ends the call with an
// error that names it, after one silence and not after one for each try.
func TestSilentStore(t *testing.T) {
	const silence = 200 * time.Millisecond
	t.Setenv("AWS_ACCESS_KEY_ID", "access")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	gone := make(chan struct{})
	half := func(w http.ResponseWriter, header map[string]string) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		_, _ = io.WriteString(w, "<ListBucketResult><Name>")
		_ = http.NewResponseController(w).Flush()
		<-gone
	}
	put := func(ctx context.Context, b *Bucket) error {
		_, err := b.Put(ctx, "key", bytes.NewReader(make([]byte, 32<<20)), stage.Condition{})
		return err
	}
	read := func(ctx context.Context, b *Bucket) error {
		_, err := b.Open(ctx, "key")
		return err
	}
	list := func(ctx context.Context, b *Bucket) error {
		for _, err := range b.List(ctx, "", "") {
			return err
		}
		return nil
	}
	for _, test := range []struct {
		name  string
		serve http.HandlerFunc
		call  func(context.Context, *Bucket) error
		most  int32
	}{
		{"before it reads", func(http.ResponseWriter, *http.Request) { <-gone }, put, 1},
		{"before it answers", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-gone
		}, put, 1},
		{"before it answers a read", func(http.ResponseWriter, *http.Request) { <-gone }, read, 1},
		{"before it answers a list", func(http.ResponseWriter, *http.Request) { <-gone }, list, 1},
		{"within a body", func(w http.ResponseWriter, _ *http.Request) {
			half(w, map[string]string{"Content-Length": "5000", "ETag": `"e"`, "Last-Modified": "Sun, 22 Nov 2026 17:00:00 GMT"})
		}, read, readTries},
		{"within a list", func(w http.ResponseWriter, _ *http.Request) { half(w, nil) }, list, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				test.serve(w, r)
			}))
			gone = make(chan struct{})
			defer server.Close()
			defer close(gone)
			b, err := newBucket(Config{Endpoint: server.URL, Bucket: "bucket"}, silence)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			err = test.call(t.Context(), b)
			if err == nil || !strings.Contains(err.Error(), server.URL+": it was silent") {
				t.Errorf("the error is %v", err)
			}
			if took := time.Since(start); requests.Load() > test.most || took < silence || took > 10*time.Second {
				t.Errorf("it took %v and %d requests", took, requests.Load())
			}
		})
	}
}

// The half of a connection that wakes up last, when the other half has found the store silent and closed it, says silence as
// well: minio-go tries again what broke for any other reason.
func TestSilentForBothHalves(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{Conn: dialed, silence: time.Millisecond}
	if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
		t.Fatalf("the reader's error is %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("late")); !isTimeout(err) {
		t.Errorf("the writer's error is %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("the reader's second error is %v", err)
	}
}

// A line that is slow is not silent.
func TestSlowStore(t *testing.T) {
	const silence = 200 * time.Millisecond
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := &conn{Conn: ours, silence: silence}
	slowly := func(pass func(p []byte) (int, error)) {
		for p := make([]byte, 32<<10); ; {
			if _, err := pass(p); err != nil {
				return
			}
			time.Sleep(silence / 10)
		}
	}
	answered := make(chan error, 1)
	go func() { // the reader waits while the request is written
		_, err := c.Read(make([]byte, 1))
		answered <- err
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		slowly(theirs.Read)
	}()
	start := time.Now()
	if n, err := c.Write(make([]byte, 1<<20)); err != nil || n != 1<<20 || time.Since(start) < 2*silence {
		t.Errorf("wrote %d bytes in %v: %v", n, time.Since(start), err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-answered; isTimeout(err) {
		t.Errorf("the reader: %v", err)
	}
	<-done
}
