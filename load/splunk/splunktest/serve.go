// SPDX-License-Identifier: Apache-2.0

package splunktest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Canary is in the text of every failing answer: what servers say has no place in a client's errors and logs.
const Canary = "canary-in-the-answer"

// A Fault is how one request goes wrong. Without Status, Reset and Truncate the request is answered as
// usual, after the Delay.
type Fault struct {
	// Accept takes the events before the fault happens, so that the client cannot know.
	Accept bool
	// Delay passes before the answer; a client that leaves ends it.
	Delay time.Duration
	// Status answers with this status, in HEC's format if Code is not 0, and with these headers when they
	// are not empty.
	Status, Code         int
	RetryAfter, Location string
	// Reset cuts the connection.
	Reset bool
	// Truncate answers with a body that is shorter than announced.
	Truncate bool
}

// Inject makes the next requests fail, one fault each, in the order of their arrival.
func (r *Receiver) Inject(faults ...Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, faults...)
}

// Down makes every request fail with 503, as an indexer that is busy does, or ends that.
func (r *Receiver) Down(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *Receiver) nextFault() (fault Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Requests++
	switch {
	case len(r.faults) > 0:
		fault, r.faults = r.faults[0], r.faults[1:]
	case r.down:
		fault = Fault{Status: http.StatusServiceUnavailable, Code: 9}
	}
	return fault
}

// A reply is what HEC answers.
type reply struct {
	status int
	code   int
	number *int   // invalid-event-number
	ack    *int64 // ackId
	html   bool   // no JSON, but a page
}

func refusal(status, code int) reply { return reply{status: status, code: code} }

// ServeHTTP serves /services/collector, its /event, /ack and /health.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	fault := r.nextFault()
	if fault.Reset && !fault.Accept {
		panic(http.ErrAbortHandler)
	}
	body, err := readBody(req)
	var answer any = reply{status: http.StatusUnsupportedMediaType, html: true}
	if err == nil && (fault.Accept || fault.Status == 0) {
		answer = r.answer(req, body)
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
		panic(http.ErrAbortHandler)
	case fault.Truncate:
		w.Header().Set("Content-Length", "4096")
		_, _ = io.WriteString(w, `{"text":"Succ`)
		return
	case fault.Status != 0:
		for header, value := range map[string]string{"Retry-After": fault.RetryAfter, "Location": fault.Location} {
			if value != "" {
				w.Header().Set(header, value)
			}
		}
		answer = reply{status: fault.Status, code: fault.Code, html: fault.Code == 0}
	}
	if a, ok := answer.(reply); ok {
		r.write(w, a)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (r *Receiver) write(w http.ResponseWriter, a reply) {
	if a.html {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(a.status)
		_, _ = fmt.Fprintf(w, "<!doctype html><html><body>%s</body></html>", Canary)
		return
	}
	r.mu.Lock()
	r.report.Codes[a.code]++
	r.mu.Unlock()
	said := map[string]any{"text": Canary, "code": a.code}
	if a.number != nil {
		said["invalid-event-number"] = *a.number
	}
	if a.ack != nil {
		said["ackId"] = *a.ack
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(said)
}

// answer returns a reply, or the acknowledgements that are asked for.
func (r *Receiver) answer(req *http.Request, body []byte) any {
	path, ok := strings.CutPrefix(req.URL.Path, "/services/collector")
	if !ok {
		return refusal(http.StatusNotFound, http.StatusNotFound)
	}
	switch path {
	case "/health", "/health/1.0":
		return refusal(http.StatusOK, 17) // whatever the token
	case "", "/event", "/event/1.0", "/1.0", "/ack":
	default:
		return refusal(http.StatusNotFound, http.StatusNotFound)
	}
	if req.Method != http.MethodPost {
		return reply{status: http.StatusMethodNotAllowed, html: true}
	}
	if a := r.authorize(req); a.status != 0 {
		return a
	}
	channel := req.Header.Get("X-Splunk-Request-Channel")
	if channel == "" {
		channel = req.URL.Query().Get("channel")
	}
	switch {
	case channel != "" && !guid.MatchString(channel):
		return refusal(http.StatusBadRequest, 11)
	case path == "/ack" && req.Header.Get("Content-Encoding") != "": // nobody has seen that it may be packed
		return refusal(http.StatusBadRequest, 6)
	case path == "/ack" && !r.options.Ack:
		return refusal(http.StatusBadRequest, 14)
	case r.options.Ack && channel == "":
		return refusal(http.StatusBadRequest, 10)
	case path == "/ack":
		return r.acknowledge(channel, body)
	default:
		return r.take(channel, body)
	}
}

var guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

func (r *Receiver) authorize(req *http.Request) (refused reply) {
	header := req.Header.Get("Authorization")
	token, ok := strings.CutPrefix(header, "Splunk ")
	if _, password, basic := req.BasicAuth(); basic {
		token, ok = password, true
	}
	switch {
	case req.URL.Query().Has("token"):
		return refusal(http.StatusBadRequest, 16)
	case header == "":
		return refusal(http.StatusUnauthorized, 2)
	case !ok:
		return refusal(http.StatusUnauthorized, 3)
	case token == r.options.Disabled:
		return refusal(http.StatusForbidden, 1)
	case token != r.options.Token:
		return refusal(http.StatusForbidden, 4)
	}
	return reply{}
}

// acknowledge says of each ID whether its events are indexed. It says yes once.
func (r *Receiver) acknowledge(name string, body []byte) any {
	var question struct{ Acks []int64 }
	if json.Unmarshal(body, &question) != nil || len(question.Acks) == 0 {
		return refusal(http.StatusBadRequest, 6)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Questions++
	acks := map[string]bool{}
	for _, id := range question.Acks {
		indexed := false
		if c := r.channels[name]; c != nil {
			at, pending := c.pending[id]
			if indexed = pending && !time.Now().Before(at); indexed {
				delete(c.pending, id)
			}
		}
		acks[strconv.FormatInt(id, 10)] = indexed
	}
	return map[string]any{"acks": acks}
}

// readBody reads at most one byte more than the limit, unpacked.
func readBody(req *http.Request) ([]byte, error) {
	body := io.Reader(req.Body)
	switch encoding := req.Header.Get("Content-Encoding"); encoding {
	case "":
	case "gzip":
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = unpacked
	default:
		return nil, fmt.Errorf("content encoding %q", encoding)
	}
	var b bytes.Buffer
	_, err := b.ReadFrom(io.LimitReader(body, MaxBodyBytes+1))
	return b.Bytes(), err
}

func (r *Receiver) mayName(index string) bool {
	return r.options.Allowed == nil || slices.Contains(r.options.Allowed, index)
}
