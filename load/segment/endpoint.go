// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/segment-bridge/segment-bridge/load/internal/peer"
)

// batchPath is where the tracking API takes batches.
const batchPath = "/v1/batch"

// defaultEndpoint is Segment in the United States.
const defaultEndpoint = "https://api.segment.io"

// baseURL returns the address before [batchPath], without a trailing slash. People write the address of
// the API in many ways: with or without scheme (https then), /v1, /batch and trailing slashes, and
// compatible servers keep it under a path of their own.
func baseURL(endpoint string) (*url.URL, error) {
	u, err := peer.ParseURL("segment endpoint", defaultEndpoint+batchPath, cmp.Or(strings.TrimSpace(endpoint), defaultEndpoint))
	if err != nil {
		return nil, err
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/batch"), "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/v1"), "/")
	return url.Parse(u.Scheme + "://" + u.Host + path)
}
