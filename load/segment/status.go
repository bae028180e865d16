// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// The waits between attempts: exponential from the first to the longest, with jitter; at most the longest
// that a server may ask for.
const (
	firstWait     = 500 * time.Millisecond
	longestWait   = 60 * time.Second
	longestAsked  = 300 * time.Second
	maxDrainBytes = 64 << 10
)

// backOff returns how long to wait after the given attempt, counted from 0.
func backOff(attempt int) time.Duration {
	wait := longestWait
	if attempt < 7 { // 500 ms << 7 is beyond the longest
		wait = firstWait << attempt
	}
	return wait/2 + rand.N(wait/2+1)
}

// retryAfter reads the header of that name, seconds or a date; 0 when there is none that makes sense.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, longestAsked)
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), 0), longestAsked)
	}
	return 0
}

// networkError says in our own words why no answer came: the text of such errors can hold what a server sent.
func networkError(err error) error {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		timeout     net.Error
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer in time")
	case errors.As(err, &dns):
		return errors.New("host name not found")
	case errors.As(err, &certificate):
		return errors.New("certificate not trusted")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("connection cut")
	default:
		return errors.New("network error")
	}
}

func statusError(status int) error { return fmt.Errorf("HTTP %d", status) }
