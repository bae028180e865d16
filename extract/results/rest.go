// SPDX-License-Identifier: Apache-2.0

package results

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/scan"
)

// rest talks to the JSON API. An answer is read as it comes in.
type rest struct {
	client    *http.Client
	base      string // URL before the parent
	bearer    *bearer
	userAgent string
	projector *extract.Projector
	scanner   scan.Scanner
}

func newREST(base string, trust *tls.Config, bearer *bearer, userAgent string, projector *extract.Projector) *rest {
	return &rest{
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
				TLSClientConfig:     trust,
				TLSHandshakeTimeout: connectTimeout,
				ForceAttemptHTTP2:   true,
				HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
				DisableCompression:  true, // it costs both sides more than a cluster's network does
			},
			// Nobody but the configured server gets the token.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base:      base + "/apis/results.tekton.dev/v1alpha2/parents/",
		bearer:    bearer,
		userAgent: userAgent,
		projector: projector,
	}
}

func (r *rest) list(ctx context.Context, q query, bytes *int64, each func(extract.Row) error) (next string, err error) {
	params := url.Values{"filter": {filter}, "order_by": {order}, "page_size": {strconv.Itoa(q.size)}}
	if q.token != "" {
		params.Set("page_token", q.token)
	}
	if q.fields != "" {
		params.Set("fields", q.fields)
	}
	err = r.get(ctx, q.parent+"/records?"+params.Encode(), bytes, func(body io.Reader) (err error) {
		r.scanner.Reset(body)
		if next, err = r.projector.ReadRows(&r.scanner, each); err != nil {
			return err
		}
		return r.scanner.End()
	})
	return next, err
}

func (r *rest) count(ctx context.Context, q query, bytes *int64) (total int64, known bool, err error) {
	var answer struct {
		Summary []struct {
			Total *float64 `json:"total"`
		} `json:"summary"`
	}
	params := url.Values{"filter": {filter}, "summary": {"total"}}
	err = r.get(ctx, q.parent+"/records/summary?"+params.Encode(), bytes, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&answer)
	})
	if err != nil || len(answer.Summary) != 1 || answer.Summary[0].Total == nil {
		return 0, false, err
	}
	return int64(*answer.Summary[0].Total), true, nil
}

// get requests a URL below the base and calls read with the body of the answer. Its
// error is a *fault.
func (r *rest) get(ctx context.Context, suffix string, bytes *int64, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+suffix, http.NoBody)
	if err != nil {
		return &fault{err: err}
	}
	header, err := r.bearer.header()
	if err != nil {
		return &fault{class: tokenless, err: err}
	}
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", r.userAgent)
	resp, err := r.client.Do(req)
	if err != nil {
		return ofError(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return ofStatus(resp.StatusCode)
	}
	err = read(&counter{resp.Body, bytes})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ofError(ctx.Err()) // whatever a server still says when we hang up
	default:
		return ofError(err)
	}
}

func (r *rest) close() { r.client.CloseIdleConnections() }

// A counter counts the bytes that are read.
type counter struct {
	from  io.Reader
	bytes *int64
}

// Read implements [io.Reader].
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	*c.bytes += int64(n)
	return n, err
}
