// SPDX-License-Identifier: Apache-2.0

// Package kube reads objects from the API server of a cluster.
//
// A list is read page by page as it comes in: memory is one buffer, however many
// objects there are and however large they are. Reading goes on where it stopped
// when a page breaks off, when the server asks for patience, and when a list takes
// so long that the server has forgotten where it began.
package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/extract/internal/retry"
)

const (
	// requestTimeout bounds one request with its answer, so that a server that hangs
	// does not hold up the sources behind it.
	requestTimeout = 2 * time.Minute
	// maxObjectBytes bounds what Get reads. The API server stores no larger object.
	maxObjectBytes = 4 << 20
)

// A Client reads from one API server. It is safe for concurrent use.
type Client struct {
	rest    *rest.RESTClient
	retry   retry.Policy
	timeout time.Duration
}

// NewClient returns a client of the API server that config tells of; the version
// of this program becomes part of its user agent. The client does not limit
// its own rate: it makes one request at a time, and the API server's priority and
// fairness decides how fast.
func NewClient(config *rest.Config, version string) (*Client, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion) // errors come as metav1.Status

	config = rest.CopyConfig(config)
	config.UserAgent = "segment-bridge/" + version
	config.QPS, config.RateLimiter = -1, nil
	config.DisableCompression = true // it costs both sides more than a cluster's network does
	config.WarningHandler = rest.NoWarnings{}
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a Kubernetes client: check the kubeconfig: %w", err)
	}
	return &Client{rest: client, retry: retry.Default, timeout: requestTimeout}, nil
}

// Get reads the object at path, such as /api/v1/namespaces/default, and decodes its
// JSON into object. The error is an [*extract.Error], with status 404 when there is
// no such object.
func (c *Client) Get(ctx context.Context, path string, object any) error {
	var text []byte
	err := c.retry.Do(ctx, temporary, func() error {
		return c.open(ctx, path, nil, func(body io.Reader) (err error) {
			text, err = io.ReadAll(io.LimitReader(body, maxObjectBytes))
			return err
		})
	})
	if err == nil {
		err = json.Unmarshal(text, object)
	}
	if err != nil {
		return failure(ctx, "get "+path, err)
	}
	return nil
}

// open requests path and calls read with the body of the answer.
func (c *Client) open(ctx context.Context, path string, params map[string]string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request := c.rest.Get().AbsPath(path)
	for name, value := range params {
		if value != "" {
			request.Param(name, value)
		}
	}
	// Stream itself waits and tries again when an answer says Retry-After.
	body, err := request.Stream(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	err = read(body)
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // whatever a server still says when we hang up
	}
	return err
}
