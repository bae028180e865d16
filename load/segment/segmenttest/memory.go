// SPDX-License-Identifier: Apache-2.0

package segmenttest

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"strconv"
	"syscall"
)

// RoundTrip makes a receiver an [http.RoundTripper]: requests reach it without a network, as the clock of
// package testing/synctest wants it. A [Fault] with Truncate needs a network and does nothing here.
func (r *Receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	switch {
	case err != nil:
		return nil, err
	case req.ContentLength != int64(len(sent)):
		return nil, errors.New("segmenttest: the body is not as long as announced")
	}
	in := req.Clone(req.Context())
	in.Body = io.NopCloser(bytes.NewReader(sent))
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
		r.ServeHTTP(w, in)
		answered <- nil
	}()
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case err := <-answered:
		if err != nil {
			return nil, err
		}
		status := cmp.Or(w.status, http.StatusOK)
		return &http.Response{
			Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: req,
		}, nil
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
