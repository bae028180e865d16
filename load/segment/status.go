// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"fmt"
	"net/http"
)

// A class is what a status means for the events of the request.
type class uint8

const (
	accepted  class = iota // the server took the request
	transient              // the same request may succeed later
	refused                // something in the request is wrong: one of the events, perhaps
	permanent              // nothing sent here will be taken
)

// classOf follows what Segment documents and what its own clients do since 2026.
func classOf(status int) class {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return refused
	case http.StatusRequestTimeout, http.StatusGone, http.StatusTooManyRequests, 460:
		return transient
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusNetworkAuthenticationRequired:
		return permanent
	}
	switch {
	case status >= 200 && status < 300:
		return accepted
	case status >= 500 && status < 600:
		return transient
	default: // a redirect as well: following it would turn the POST into a GET that answers 200
		return permanent
	}
}

// hint says what to do about a permanent status.
func hint(status int) string {
	switch {
	case status >= 300 && status < 400:
		return "the endpoint redirects, which is not followed: configure the address it redirects to"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "check the write key"
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return "check the endpoint"
	case status == http.StatusProxyAuthRequired || status == http.StatusNetworkAuthenticationRequired:
		return "a proxy or network on the way wants a login"
	default:
		return "check that the endpoint is a Segment tracking API"
	}
}

// maxDrainBytes of an answer are read, to keep its connection.
const maxDrainBytes = 64 << 10

func statusError(status int) error { return fmt.Errorf("HTTP %d", status) }
