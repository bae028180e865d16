// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/segment-bridge/segment-bridge/load/internal/peer"
)

const (
	mediaType      = "application/x-protobuf"
	maxAnswerBytes = 64 << 10
)

// post sends the items in one request, with retries, and returns the answer that settled it: one that is accepted or
// refused.
func (d *Destination) post(ctx context.Context, items []item) (a answer, err error) {
	request := d.request(items)
	if d.dryRun != nil {
		return answer{status: http.StatusOK}, d.print(request)
	}
	body, err := proto.Marshal(request)
	if err == nil && d.gzip {
		body, err = peer.Pack(bytes.NewReader(body))
	}
	if err != nil { // its text may hold what is in an event
		return answer{}, errors.New("encode log records: they cannot be written as protocol buffers")
	}
	err = d.pacer.Do(ctx, func(ctx context.Context) error {
		var after time.Duration
		if a, after, err = d.attempt(ctx, body); err != nil {
			return peer.Broken(err)
		}
		switch a.class() {
		case transient:
			if after > 0 {
				d.logger.Info("destination asks to wait", "destination", d.Name(), "seconds", after.Seconds())
			}
			return &peer.Again{Reason: a, After: after}
		case permanent:
			return fmt.Errorf("%w: %s", a, a.hint())
		case accepted, refused:
		}
		return nil
	})
	if a.advice {
		d.advise()
	}
	return a, err
}

// advise says once that the collector had something to say, which is not repeated.
func (d *Destination) advise() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.warned {
		d.warned = true
		d.logger.Warn("collector took log records and has a remark: look at its own log", "destination", d.Name())
	}
}

func (d *Destination) print(request proto.Message) error {
	text, err := protojson.Marshal(request)
	var line bytes.Buffer
	if err == nil {
		err = json.Compact(&line, text) // protojson puts spaces here and there
	}
	if err != nil {
		return errors.New("print log records: they cannot be written as JSON")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.dryRun.Write(append(line.Bytes(), '\n')); err != nil {
		return fmt.Errorf("print log records: %w", err)
	}
	return nil
}

// attempt sends a body once. The answer comes with the wait that the collector asks for.
func (d *Destination) attempt(ctx context.Context, body []byte) (a answer, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return a, 0, err
	}
	req.Header.Set("User-Agent", strings.TrimSuffix(d.service+"/"+d.version, "/"))
	for name, value := range d.headers {
		req.Header.Set(name, value.Reveal())
	}
	req.Header.Set("Content-Type", mediaType)
	if d.gzip && len(body) > 0 {
		req.Header.Set("Content-Encoding", "gzip")
	}
	d.requests.Add(1)
	d.bytes.Add(int64(len(body)))
	response, err := d.transport.RoundTrip(req) // follows no redirect
	if err != nil {
		return a, 0, err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil && response.StatusCode/100 == 2 {
		return a, 0, err // it may have taken a part
	}
	return readAnswer(response.StatusCode, response.Header.Get("Content-Type"), said), peer.RetryAfter(response.Header.Get("Retry-After"), time.Now()), nil
}

// Check tells whether the collector is there and takes requests with these headers. It sends one without a record.
func (d *Destination) Check(ctx context.Context) error {
	a, _, err := d.attempt(ctx, nil)
	switch {
	case err != nil:
		return fmt.Errorf("ask OpenTelemetry collector: %w", peer.Broken(err))
	case a.class() == accepted:
		return nil
	case a.class() == transient:
		return fmt.Errorf("ask OpenTelemetry collector: %w: it takes nothing at the moment: try again later", a)
	default:
		return fmt.Errorf("ask OpenTelemetry collector: %w: %s", a, a.hint())
	}
}

// An answer is what a collector says to a request. Its text is not read.
type answer struct {
	status  int
	foreign bool  // a success that is not said in OTLP
	refused int64 // records, of a request that was taken for the rest
	advice  bool  // it said something beside a number
}

func readAnswer(status int, contentType string, body []byte) answer {
	a := answer{status: status}
	if status/100 != 2 || len(body) == 0 { // an empty message is an empty body
		return a
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	var err error
	switch kind {
	case mediaType:
		a.refused, a.advice, err = readPartial(body)
	case "application/json": // from servers that take only the other form seriously
		a.refused, a.advice, err = readPartialJSON(body)
	default:
		err = errNoAnswer
	}
	a.foreign = err != nil
	return a
}

var errNoAnswer = errors.New("not an answer of OTLP")

// readPartial reads an ExportLogsServiceResponse: in field 1 what was refused, of which field 1 is the number of
// records and field 2 a text.
func readPartial(b []byte) (refused int64, advice bool, err error) {
	err = eachField(b, func(number protowire.Number, kind protowire.Type, value []byte) error {
		if number != 1 {
			return nil
		}
		if kind != protowire.BytesType {
			return errNoAnswer
		}
		partial, _ := protowire.ConsumeBytes(value)
		return eachField(partial, func(number protowire.Number, kind protowire.Type, value []byte) error {
			switch {
			case number == 1 && kind == protowire.VarintType:
				n, _ := protowire.ConsumeVarint(value)
				refused = int64(n) //nolint:gosec // int64 is how the wire has it
			case number == 2 && kind == protowire.BytesType:
				text, _ := protowire.ConsumeBytes(value)
				advice = len(text) > 0
			case number <= 2:
				return errNoAnswer
			}
			return nil
		})
	})
	return max(refused, 0), advice, err
}

// eachField calls f with each field of a message; the value is whole.
func eachField(b []byte, f func(protowire.Number, protowire.Type, []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errNoAnswer
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return errNoAnswer
		}
		if err := f(number, kind, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// readPartialJSON is readPartial for the JSON form, in which the number may be a string.
func readPartialJSON(b []byte) (refused int64, advice bool, err error) {
	var said struct {
		PartialSuccess struct {
			RejectedLogRecords json.Number
			ErrorMessage       string
		}
	}
	if json.Unmarshal(b, &said) != nil {
		return 0, false, errNoAnswer
	}
	if n := said.PartialSuccess.RejectedLogRecords; n != "" {
		if refused, err = n.Int64(); err != nil {
			return 0, false, errNoAnswer
		}
	}
	return max(refused, 0), said.PartialSuccess.ErrorMessage != "", nil
}

// A class is what an answer means for the events of the request.
type class uint8

const (
	accepted  class = iota // the collector took the request, or a part of it
	transient              // the same request may succeed later
	refused                // something in the request is wrong: one of the events, or its size
	permanent              // nothing sent here will be taken
)

// class follows the OTLP specification, which names the statuses that may be tried again.
func (a answer) class() class {
	switch a.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return transient
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return refused
	}
	if a.status/100 == 2 && !a.foreign {
		return accepted
	}
	return permanent // a redirect as well: following it would turn the POST into a GET
}

func (a answer) Error() string { return fmt.Sprintf("HTTP %d", a.status) }

// hint says what to do about an answer that is not for the events.
func (a answer) hint() string {
	switch {
	case a.foreign:
		return "the answer is not OTLP's, but that of a login page, perhaps: check the URL"
	case a.status >= 300 && a.status < 400:
		return "the URL redirects, which is not followed: configure the address it redirects to"
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return "check the headers, which hold the credentials"
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed:
		return "check the URL: collectors take logs at /v1/logs"
	case a.status == http.StatusUnsupportedMediaType:
		return "the server does not take OTLP as protocol buffers: check the URL"
	case a.status == http.StatusProxyAuthRequired || a.status == http.StatusNetworkAuthenticationRequired:
		return "a proxy or network on the way wants a login"
	case a.status >= 500:
		return "something behind the collector fails for good: look at its log"
	default:
		return "check that the URL is that of an OTLP receiver for HTTP"
	}
}
