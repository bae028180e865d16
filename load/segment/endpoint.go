// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"errors"
	"net/url"
	"strings"
)

// batchPath is where the tracking API takes batches.
const batchPath = "/v1/batch"

// defaultEndpoint is Segment in the United States.
const defaultEndpoint = "https://api.segment.io"

// baseURL returns the address before [batchPath], without a trailing slash. People write the address of
// the API in many ways: with or without scheme (https then), /v1, /batch and trailing slashes, and
// compatible servers keep it under a path of their own.
func baseURL(endpoint string) (*url.URL, error) {
	endpoint = strings.TrimSpace(endpoint)
	if endpoint == "" {
		endpoint = defaultEndpoint
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	switch { // the errors do not repeat the address: it may hold a password
	case err != nil:
		return nil, errors.New("segment endpoint is not a URL: give one such as https://api.segment.io/v1/batch")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("segment endpoint has an unknown scheme: give an https URL")
	case u.Hostname() == "":
		return nil, errors.New("segment endpoint has no host: give a URL such as https://api.segment.io/v1/batch")
	case u.User != nil:
		return nil, errors.New("segment endpoint holds a user name: leave it out and set the write key instead")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("segment endpoint has a query or a fragment: leave it out")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/batch"), "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/v1"), "/")
	return url.Parse(u.Scheme + "://" + u.Host + path)
}
