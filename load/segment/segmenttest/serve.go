// SPDX-License-Identifier: Apache-2.0

package segmenttest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/segment-bridge/segment-bridge/load/internal/fault"
)

// Canary is in the text of every failing answer: what servers say has no place in a client's errors and logs.
const Canary = fault.Canary

// A Fault is how one request goes wrong.
type Fault = fault.Fault

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
	f := r.nextFault()
	f.Before(w)
	body, err := fault.Body(req, MaxBodyBytes)
	if err != nil {
		r.answer(w, "unreadable_body")
		return
	}
	refusal := ""
	if f.Takes() {
		refusal = r.take(req, body)
	}
	if !f.After(w, req) {
		return
	}
	if f.Status != 0 {
		http.Error(w, Canary, f.Status)
		return
	}
	r.answer(w, refusal)
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

func (r *Receiver) nextFault() Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Requests++
	return fault.Next(&r.faults)
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
