// SPDX-License-Identifier: Apache-2.0

// Package fault is what the receivers of the tests share: how they are served, how they
// read a body, and how one request of a client goes wrong.
package fault

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Canary is in the text of every failing answer: what servers say has no place in a client's errors and logs.
const Canary = "canary-in-the-answer"

// A Fault is how one request goes wrong. Without Status, Reset and Truncate the request is answered as
// usual, after the Delay.
type Fault struct {
	// Accept takes the events before the fault happens, so that the client cannot know.
	Accept bool `json:"accept,omitempty"`
	// Delay passes before the answer, in nanoseconds of JSON; a client that leaves ends it.
	Delay time.Duration `json:"delay,omitempty"`
	// Status answers with this status, and with these headers when they are not empty.
	Status     int    `json:"status,omitempty"`
	RetryAfter string `json:"retryAfter,omitempty"`
	Location   string `json:"location,omitempty"`
	// Code is said in the answer, where the protocol has codes of its own beside the status.
	Code int `json:"code,omitempty"`
	// Reset cuts the connection: after the body was read when Accept is set, before otherwise.
	Reset bool `json:"reset,omitempty"`
	// Truncate answers with a body that is shorter than announced.
	Truncate bool `json:"truncate,omitempty"`
}

// Takes says whether the receiver takes what the request holds.
func (f Fault) Takes() bool { return f.Accept || f.Status == 0 && !f.Reset }

// Before happens before the body is read. It may end the handler.
func (f Fault) Before(w http.ResponseWriter) {
	if f.Reset && !f.Accept {
		reset(w)
	}
}

// After happens instead of the answer, or delays it. It reports whether there is still an answer to
// write; if there is and the fault has a status, that is to be its status, and the headers are set.
// It may end the handler.
func (f Fault) After(w http.ResponseWriter, req *http.Request) bool {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.Context().Done():
			return false
		}
	}
	switch {
	case f.Reset:
		reset(w)
	case f.Truncate:
		w.Header().Set("Content-Length", "4096")
		_, _ = io.WriteString(w, `{"succ`)
		return false
	case f.Status != 0:
		for header, value := range map[string]string{"Retry-After": f.RetryAfter, "Location": f.Location} {
			if value != "" {
				w.Header().Set(header, value)
			}
		}
	}
	return true
}

// reset cuts the connection, with a TCP reset where there is TCP beneath.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // closes the connection
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
	panic(http.ErrAbortHandler)
}

// Next takes the first fault of a queue; a request beyond its end has none.
func Next(queue *[]Fault) (f Fault) {
	if len(*queue) > 0 {
		f, *queue = (*queue)[0], (*queue)[1:]
	}
	return f
}

// Serve serves a receiver on a free port of the loopback interface. It returns the address, such as
// "http://127.0.0.1:40123", and a function that stops serving and cuts open connections.
func Serve(handler http.Handler) (address string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // listening on loopback does not wait
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	return "http://" + listener.Addr().String(), func() {
		_ = server.Close()
		serving.Wait()
	}, nil
}

// Body reads the body of a request, unpacked, up to one byte more than most.
func Body(req *http.Request, most int64) ([]byte, error) {
	var body io.Reader = req.Body
	switch req.Header.Get("Content-Encoding") {
	case "":
	case "gzip":
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = unpacked
	default:
		return nil, errors.New("unknown content encoding")
	}
	var b bytes.Buffer
	b.Grow(int(min(max(req.ContentLength, 0), most) + bytes.MinRead))
	_, err := b.ReadFrom(io.LimitReader(body, most+1))
	return b.Bytes(), err
}
