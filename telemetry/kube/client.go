// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
)

const (
	maxAnswer = 64 << 20 // bytes of one answer; a page of 500 pods is a few of these MiB
	maxRest   = 64 << 10 // bytes of an answer that are read although nobody needs them
)

// What is asked for: objects as they are, or of a list the metadata alone, where the
// server can leave the rest out.
const (
	whole    = "application/json"
	metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
)

// A Client reads the Kubernetes API, and never writes. It keeps nothing of what it
// reads and may be shared. It is a Getter of package identity as well.
type Client struct {
	http  *http.Client
	base  string
	agent string
}

// NewClient returns a reader of the API server at base, such as
// "https://10.0.0.1:443". The HTTP client authenticates itself and knows whom to trust:
// rest.HTTPClientFor of client-go makes one, and the base is the Host of its
// configuration. The agent names the program to the server's administrator.
func NewClient(client *http.Client, base, agent string) (*Client, error) {
	u, err := url.Parse(base)
	if client == nil || err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("read the Kubernetes API: an HTTP client is needed, and the server's address as https://host:port")
	}
	return &Client{http: client, base: strings.TrimSuffix(base, "/"), agent: agent}, nil
}

// Get decodes the JSON of the object at path, such as /api/v1/namespaces/default, into
// object. The error is [fs.ErrNotExist] when there is no such object, [fs.ErrPermission]
// when it may not be read and [context.DeadlineExceeded] when that took too long. It
// holds nothing that the server said, and no path.
func (c *Client) Get(ctx context.Context, path string, object any) error {
	return c.read(ctx, path, whole, func(body io.Reader) error { return json.NewDecoder(body).Decode(object) })
}

// read hands the answer to decode, whose error does not get any further: it may quote
// the answer.
func (c *Client) read(ctx context.Context, path, accept string, decode func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return errors.New("ask the API server: the address cannot be parsed")
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", c.agent)
	response, err := c.http.Do(request)
	if err != nil {
		return unanswered(ctx, err, "it cannot be reached")
	}
	defer func() {
		// An answer that is not read to its end costs the connection, or a line in the log of the API server.
		_, _ = io.CopyN(io.Discard, response.Body, maxRest)
		_ = response.Body.Close()
	}()
	if response.StatusCode != http.StatusOK {
		return status(response.StatusCode)
	}
	if err := decode(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return unanswered(ctx, err, "its answer is cut short, or is not what was asked for")
	}
	return nil
}

// unanswered is the error of a request that broke, in words of our own.
func unanswered(ctx context.Context, err error, text string) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("ask the API server: %w", ctx.Err())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("ask the API server: %w", context.DeadlineExceeded)
	default:
		return errors.New("ask the API server: " + text)
	}
}

// A status is an answer other than 200.
type status int

// gone says that the list which a page belongs to is too old.
const gone status = http.StatusGone

func (s status) Error() string { return fmt.Sprintf("ask the API server: it answers HTTP %d", int(s)) }

func (s status) Is(target error) bool {
	switch s {
	case http.StatusNotFound:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == fs.ErrPermission
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return target == context.DeadlineExceeded
	default:
		return false
	}
}
