// SPDX-License-Identifier: Apache-2.0

package splunk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/segment-bridge/segment-bridge/load/internal/peer"
)

const (
	eventPath = "/event"
	ackPath   = "/ack"

	attemptTimeout = 30 * time.Second
	maxAnswerBytes = 64 << 10
	// slowDown is how long requests pause when HEC says that its queues are filling.
	slowDown = 5 * time.Second
)

// The waits between questions for an acknowledgement: doubled from the first to the longest, for five minutes, after
// which Splunk advises to send again.
const (
	firstAsk    = time.Second
	longestAsk  = 10 * time.Second
	ackPatience = 5 * time.Minute
)

// send sends the items in one request, with retries, and returns the answer that settled it: one that is
// accepted or refused.
func (d *Destination) send(ctx context.Context, items []item) (answer, error) {
	size := 0
	for _, it := range items {
		size += len(it.object)
	}
	body := make([]byte, 0, size)
	for _, it := range items {
		body = append(body, it.object...)
	}
	if d.dryRun != nil {
		return answer{status: http.StatusOK}, d.print(body)
	}
	if d.gzip {
		packed, err := peer.Pack(bytes.NewReader(body))
		if err != nil {
			return answer{}, fmt.Errorf("compress: %w", err)
		}
		body = packed
	}
	return d.post(ctx, eventPath, body)
}

func (d *Destination) print(body []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.dryRun.Write(body); err != nil {
		return fmt.Errorf("print the body: %w", err)
	}
	return nil
}

// post sends a body, with retries.
func (d *Destination) post(ctx context.Context, path string, body []byte) (a answer, err error) {
	err = d.pacer.Do(ctx, func(ctx context.Context) error {
		var after time.Duration
		if a, after, err = d.attempt(ctx, path, body); err != nil {
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
		if a.filling() {
			d.easeOff()
		}
		return nil
	})
	return a, err
}

// attempt sends a body once; one of events is packed. The answer comes with the wait that the server asks for.
func (d *Destination) attempt(ctx context.Context, path string, body []byte) (a answer, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+path, bytes.NewReader(body))
	if err != nil {
		return a, 0, err
	}
	req.Header.Set("Authorization", "Splunk "+d.token.Reveal())
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", d.userAgent)
	if d.channel != "" {
		req.Header.Set("X-Splunk-Request-Channel", d.channel)
	}
	if d.gzip && path == eventPath && len(body) > 0 {
		req.Header.Set("Content-Encoding", "gzip")
	}
	d.requests.Add(1)
	d.bytes.Add(int64(len(body)))
	response, err := d.client.Do(req)
	if err != nil {
		return a, 0, err
	}
	defer response.Body.Close()
	// A body read to its end leaves the connection to the next request.
	said, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil && response.StatusCode == http.StatusOK {
		return a, 0, err // without its code, 200 may be anybody's answer
	}
	return readAnswer(response.StatusCode, said), peer.RetryAfter(response.Header.Get("Retry-After"), time.Now()), nil
}

// easeOff pauses when HEC took the events and says that it will not for long.
func (d *Destination) easeOff() {
	d.pacer.Postpone(slowDown)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.advised {
		d.advised = true
		d.logger.Warn("splunk says that its queues are filling: requests are slowed down", "destination", d.Name())
	}
}

// errNoAck says that a token does not do what is asked of it.
var errNoAck = errors.New("the server gives no acknowledgement: enable it for the token, or do without")

// requireAck asks, before the first event is sent, whether the token has acknowledgement. A server that took
// events and acknowledged none would get them over and over.
func (d *Destination) requireAck(ctx context.Context) error {
	if d.channel == "" || d.dryRun != nil {
		return nil
	}
	d.mu.Lock()
	known := d.acks
	d.mu.Unlock()
	if known {
		return nil
	}
	if _, err := d.ask(ctx, 0); err != nil {
		return err
	}
	d.mu.Lock()
	d.acks = true
	d.mu.Unlock()
	return nil
}

// await waits for the acknowledgement of what an answer accepted.
func (d *Destination) await(ctx context.Context, a answer) error {
	if d.channel == "" || d.dryRun != nil {
		return nil
	}
	if a.ack == nil {
		return errNoAck
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ackPatience, errors.New("the events were accepted and not acknowledged in five minutes: they count as not delivered"))
	defer cancel()
	for wait := firstAsk; ; wait = min(2*wait, longestAsk) {
		if err := peer.Sleep(ctx, wait); err != nil {
			return err
		}
		if indexed, err := d.ask(ctx, *a.ack); err != nil || indexed {
			return err
		}
	}
}

// ask asks whether what has this acknowledgement ID is indexed. Splunk says so once and forgets it.
func (d *Destination) ask(ctx context.Context, id int64) (indexed bool, err error) {
	question, err := json.Marshal(map[string][]int64{"acks": {id}})
	if err != nil {
		return false, err
	}
	a, err := d.post(ctx, ackPath, question)
	if err != nil {
		return false, err
	}
	indexed, known := a.acks[strconv.FormatInt(id, 10)]
	if !known {
		return false, fmt.Errorf("ask for acknowledgement: %w: %w", a, errNoAck)
	}
	return indexed, nil
}

// Check tells whether the server is there and takes the token, and whether the token has the acknowledgement that is
// wanted, without sending an event. What the health endpoint says does not depend on the token, so an
// empty body is posted, which HEC refuses after it has looked at the token. Whether the index may be written
// shows with the first event alone.
func (d *Destination) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTimeout, peer.ErrPatience)
	defer cancel()
	a, _, err := d.attempt(ctx, eventPath, nil)
	switch {
	case err != nil:
		return fmt.Errorf("ask Splunk: %w", peer.Broken(err))
	case a.code == codeNoData || a.class() == accepted:
	case a.class() == transient:
		return fmt.Errorf("ask Splunk: %w: it takes nothing at the moment: try again later", a)
	default:
		return fmt.Errorf("ask Splunk: %w: %s", a, a.hint())
	}
	if err := d.requireAck(ctx); err != nil {
		return fmt.Errorf("ask Splunk for acknowledgement: %w", err)
	}
	return nil
}
