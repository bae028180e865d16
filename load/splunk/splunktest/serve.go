// SPDX-License-Identifier: Apache-2.0

package splunktest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/load/internal/fault"
)

// Canary is in the text of every failing answer: what servers say has no place in a client's errors and logs.
const Canary = fault.Canary

// A Fault is how one request goes wrong; its Code is HEC's.
type Fault = fault.Fault

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

func (r *Receiver) nextFault() Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Requests++
	if len(r.faults) == 0 && r.down {
		return Fault{Status: http.StatusServiceUnavailable, Code: 9}
	}
	return fault.Next(&r.faults)
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
	f := r.nextFault()
	f.Before(w)
	body, err := fault.Body(req, MaxBodyBytes)
	var answer any = reply{status: http.StatusUnsupportedMediaType, html: true}
	if err == nil && f.Takes() {
		answer = r.answer(req, body)
	}
	if !f.After(w, req) {
		return
	}
	if f.Status != 0 {
		answer = reply{status: f.Status, code: f.Code, html: f.Code == 0}
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
func (r *Receiver) mayName(index string) bool {
	return r.options.Allowed == nil || slices.Contains(r.options.Allowed, index)
}
