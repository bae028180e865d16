// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// connectTimeout bounds how long it takes to connect.
	connectTimeout = 10 * time.Second
	// silence is how long the store may neither send nor take a byte.
	silence = 30 * time.Second
	// unsentBytes is what the kernel takes for sent. It may go out unseen for as long as
	// silence lasts, on a line of 17 KB a second.
	unsentBytes = 512 << 10
)

// statusSilent stands for an answer that did not come in time. minio-go does not ask
// again after it: once is long enough.
const statusSilent = 598

// A transport notices when the store falls silent, at whatever point of a request.
type transport struct{ http.RoundTripper }

// newTransport returns one like minio-go's own.
func newTransport(secure bool, silence time.Duration) (*transport, error) {
	t, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: connectTimeout}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			err = tcp.SetWriteBuffer(unsentBytes)
		}
		return &conn{Conn: c, silence: silence}, err
	}
	t.ResponseHeaderTimeout = 0 // which would be silence as well
	return &transport{t}, nil
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if isTimeout(err) && req.Context().Err() == nil {
		return &http.Response{
			Status: strconv.Itoa(statusSilent), StatusCode: statusSilent, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{}, Body: http.NoBody, Request: req,
		}, nil
	}
	return resp, err
}

// CloseIdleConnections is for [http.Client].
func (t *transport) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// A conn fails when no byte passes for too long, in either direction.
type conn struct {
	net.Conn
	silence time.Duration
	silent  atomic.Bool // it has been
}

// pieceBytes is how much is written at a time: each piece that goes is a sign of life.
const pieceBytes = 64 << 10

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, c.cause(err)
	}
	n, err := c.Conn.Read(p)
	return n, c.cause(err)
}

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		// The reader waits for the answer to what is being written.
		if err := c.SetDeadline(time.Now().Add(c.silence)); err != nil {
			return n, c.cause(err)
		}
		var written int
		written, err = c.Conn.Write(p[n:min(n+pieceBytes, len(p))])
		n += written
	}
	return n, c.cause(err)
}

// cause returns why an operation ended. net/http closes the connection when one half finds it silent; the other half may
// wake up after that, and is not to blame the closing.
func (c *conn) cause(err error) error {
	if isTimeout(err) {
		c.silent.Store(true)
	} else if errors.Is(err, net.ErrClosed) && c.silent.Load() {
		return os.ErrDeadlineExceeded
	}
	return err
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
