// SPDX-License-Identifier: Apache-2.0

package segmenttest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
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
	// Reset cuts the connection: after the body was read when Accept is set, before otherwise.
	Reset bool `json:"reset,omitempty"`
	// Truncate answers with a body that is shorter than announced.
	Truncate bool `json:"truncate,omitempty"`
}

// Inject makes the next requests fail, one fault each, in the order of their arrival.
func (r *Receiver) Inject(faults ...Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, faults...)
}

// Refuse answers 400 to every request that has an event for which f returns true. A nil f ends that.
func (r *Receiver) Refuse(f func(Event) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = f
}

// ServeHTTP serves POST /v1/batch, and for other processes:
//
//	GET  /_/report  the [Report]
//	GET  /_/events  each [Event] on a line
//	POST /_/faults  an array of [Fault], to inject
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var methods map[string]http.HandlerFunc
	switch req.URL.Path {
	case "/v1/batch":
		methods = map[string]http.HandlerFunc{http.MethodPost: r.serveBatch}
	case "/_/report":
		methods = map[string]http.HandlerFunc{http.MethodGet: r.serveReport}
	case "/_/events":
		methods = map[string]http.HandlerFunc{http.MethodGet: r.serveEvents}
	case "/_/faults":
		methods = map[string]http.HandlerFunc{http.MethodPost: r.serveFaults}
	default:
		http.NotFound(w, req)
		return
	}
	handler, ok := methods[req.Method]
	if !ok {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	handler(w, req)
}

func (r *Receiver) serveBatch(w http.ResponseWriter, req *http.Request) {
	fault := r.nextFault()
	if fault.Reset && !fault.Accept {
		reset(w)
	}
	body, err := readBody(req)
	if err != nil {
		r.answer(w, "unreadable_body")
		return
	}
	faulty := fault.Status != 0 || fault.Reset
	refusal := ""
	if fault.Accept || !faulty {
		refusal = r.take(req, body)
	}
	if fault.Delay > 0 {
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.Context().Done():
			return
		}
	}
	switch {
	case fault.Reset:
		reset(w)
	case fault.Status != 0:
		for header, value := range map[string]string{"Retry-After": fault.RetryAfter, "Location": fault.Location} {
			if value != "" {
				w.Header().Set(header, value)
			}
		}
		http.Error(w, Canary, fault.Status)
	case fault.Truncate:
		w.Header().Set("Content-Length", "4096")
		_, _ = io.WriteString(w, `{"succ`)
	default:
		r.answer(w, refusal)
	}
}

func (r *Receiver) answer(w http.ResponseWriter, refusal string) {
	w.Header().Set("Content-Type", "application/json")
	if refusal == "" {
		_, _ = io.WriteString(w, `{"success": true}`)
		return
	}
	r.count(r.report.Refusals, refusal)
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, `{"success": false, "message": "`+Canary+`", "reason": `+strconv.Quote(refusal)+`}`)
}

func (r *Receiver) nextFault() (fault Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Requests++
	if len(r.faults) > 0 {
		fault, r.faults = r.faults[0], r.faults[1:]
	}
	return fault
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

func (r *Receiver) serveReport(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(r.Report())
}

func (r *Receiver) serveEvents(w http.ResponseWriter, _ *http.Request) {
	encoder := json.NewEncoder(w)
	for _, event := range r.Events() {
		if encoder.Encode(event) != nil {
			return // the client has gone
		}
	}
}

func (r *Receiver) serveFaults(w http.ResponseWriter, req *http.Request) {
	var faults []Fault
	decoder := json.NewDecoder(io.LimitReader(req.Body, MaxBodyBytes))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&faults); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Inject(faults...)
	w.WriteHeader(http.StatusNoContent)
}
