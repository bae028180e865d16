// SPDX-License-Identifier: Apache-2.0

// Package memory carries requests to a handler in the same process.
package memory

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"strconv"
	"syscall"
)

// Transport returns a transport that brings requests to a handler without a network, as the clock of package
// testing/synctest wants it. A handler that panics with [http.ErrAbortHandler] resets the connection; one that
// announces a longer body than it writes breaks off.
func Transport(handler http.Handler) http.RoundTripper { return transport{handler} }

type transport struct{ handler http.Handler }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	in := req.Clone(req.Context())
	in.Body = http.NoBody
	if req.Body != nil {
		sent, err := io.ReadAll(req.Body)
		_ = req.Body.Close()
		switch {
		case err != nil:
			return nil, err
		case req.ContentLength != int64(len(sent)):
			return nil, errors.New("the body is not as long as announced")
		}
		in.Body = io.NopCloser(bytes.NewReader(sent))
	}
	w := &response{header: http.Header{}}
	answered := make(chan error, 1)
	go func() {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				answered <- syscall.ECONNRESET
			default:
				panic(p)
			}
		}()
		t.handler.ServeHTTP(w, in)
		answered <- nil
	}()
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case err := <-answered:
		if err != nil {
			return nil, err
		}
		return w.response(req), nil
	}
}

// response is an answer in memory.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) { w.status = cmp.Or(w.status, status) }

func (w *response) Write(b []byte) (int, error) { return w.body.Write(b) }

func (w *response) response(req *http.Request) *http.Response {
	status := cmp.Or(w.status, http.StatusOK)
	var body io.Reader = &w.body
	if announced, err := strconv.Atoi(w.header.Get("Content-Length")); err == nil && announced > w.body.Len() {
		body = io.MultiReader(body, brokenOff{})
	}
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(body), ContentLength: -1, Request: req,
	}
}

type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
