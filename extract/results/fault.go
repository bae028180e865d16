// SPDX-License-Identifier: Apache-2.0

package results

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A class says what a failed call means, whatever the transport.
type class int

const (
	unknown    class = iota // anything else: it stays as it is
	passing                 // may succeed in a moment
	large                   // the page is too large for the way it takes
	refused                 // the token is not known, or not allowed to do that
	missing                 // there is nothing at that address
	slow                    // took too long
	untrusted               // the certificate is not signed by whom we trust
	incomplete              // the server answered less than it has
	tokenless               // there is no token to send
)

// A fault is a failed call. What the server wrote is not in it.
type fault struct {
	class  class
	status int   // of HTTP, or 0
	err    error // the cause; nil where the server answered
}

// Error implements error. It is not for printing: see failure.
func (f *fault) Error() string {
	return "call fails: class " + strconv.Itoa(int(f.class)) + ", status " + strconv.Itoa(f.status)
}

// Unwrap returns the cause.
func (f *fault) Unwrap() error { return f.err }

// ofStatus returns the fault that an HTTP status stands for.
func ofStatus(status int) *fault {
	f := &fault{status: status}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		f.class = refused
	case status == http.StatusNotFound:
		f.class = missing
	case status == http.StatusTooManyRequests: // so the gateway says that the page is over its limit
		f.class = large
	case status == http.StatusNotImplemented:
	case status == http.StatusRequestTimeout || status >= http.StatusInternalServerError:
		f.class = passing
	}
	return f
}

// ofError returns the fault of a connection that failed, or an answer that broke off.
func ofError(err error) *fault {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || isNet && timeout.Timeout():
		return &fault{class: slow} // the cause would look like the end of the caller's time
	case certificate:
		return &fault{class: untrusted, err: err}
	default:
		return &fault{class: passing, err: err}
	}
}

// deadlineSlack is how much earlier than ours the server's clock may run out.
const deadlineSlack = 50 * time.Millisecond

// ofRPC returns the fault of a gRPC call. The server knows the deadline of the call,
// may give up a moment before we do, and then answers with whatever it has come to.
func ofRPC(ctx context.Context, err error) *fault {
	f := &fault{}
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied:
		f.class = refused
	case codes.NotFound:
		f.class = missing
	case codes.ResourceExhausted:
		f.class = large
	case codes.DeadlineExceeded:
		f.class = slow
	case codes.Unavailable, codes.Internal, codes.Unknown, codes.Aborted, codes.DataLoss, codes.Canceled:
		f.class = passing
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < deadlineSlack {
			f.class = slow
		}
	default:
	}
	return f
}

// failure says in our own words why op failed. When ctx is done, that is the reason.
func failure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f, ok := errors.AsType[*fault](err)
	if !ok {
		f = &fault{}
	}
	e := &extract.Error{Outcome: record.OutcomeError, Op: op, Status: f.status, Err: err}
	switch f.class {
	case refused:
		e.Outcome = record.OutcomeForbidden
		e.Hint = "grant this account a ClusterRole that allows get and list on records.results.tekton.dev, " +
			"and send a token for the audience of the Kubernetes API"
	case missing:
		e.Hint = "there is no Tekton Results API v1alpha2 with record summaries: check the address, or update Tekton Results"
	case slow:
		e.Outcome = record.OutcomeTimeout
		e.Hint = "Tekton Results did not take the connection within " + connectTimeout.String() + " or gave no answer within " + callTimeout.String() +
			": check --results-address and the network policies, then the load of its database"
	case untrusted:
		e.Hint = "the server's certificate is not trusted: give its CA file, and its server name if the address has another"
	case incomplete:
		e.Hint = "the server answers fewer records than it has, or cannot count them: look at its database"
	case tokenless:
		e.Hint = "the token file cannot be read or is empty: mount the service account's token"
	case large:
		e.Hint = "the server is overloaded or a page is too large: ask for smaller pages"
	case passing:
		e.Hint = "the connection to Tekton Results failed, broke off or fell silent, or the server did: " +
			"check --results-address, its CA, the network policies and the server's log"
		if f.status == http.StatusGatewayTimeout {
			e.Outcome = record.OutcomeTimeout
		}
	case unknown:
		e.Hint = "the server does not understand the request: check the address, and update Tekton Results if it is older than v0.14"
	}
	return e
}
