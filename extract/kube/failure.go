// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// temporary reports whether a request that failed with err may succeed in a moment.
// A connection that broke off may, and so may one that delivered half an answer.
func temporary(err error) bool {
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		code := status.Status().Code
		return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
	}
	return !isTimeout(err) && !isUntrusted(err) && !errors.Is(err, context.Canceled)
}

// errSlow stands for the end of a request's time, which is not the end of ctx.
var errSlow = errors.New("request took too long")

// failure says in our own words why op failed: what servers write in their errors
// may hold names. When ctx is done, that is the reason.
func failure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &extract.Error{Op: op, Outcome: record.OutcomeError, Err: err}
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		e.Status = int(status.Status().Code)
	}
	switch {
	case isTimeout(err):
		e.Outcome, e.Err = record.OutcomeTimeout, errSlow
		e.Hint = "the API server took no connection, or did not answer within " + requestTimeout.String() + ": check its address, the network policies and its load"
	case isUntrusted(err):
		e.Hint = "the API server's certificate is not trusted: check the CA in the kubeconfig"
	case e.Status == http.StatusUnauthorized:
		e.Outcome = record.OutcomeForbidden
		e.Hint = "the API server does not know this token or certificate: renew it, or check the kubeconfig"
	case e.Status == http.StatusForbidden:
		e.Outcome = record.OutcomeForbidden
		e.Hint = "grant this account a ClusterRole that allows to " + op
	case e.Status == http.StatusNotFound:
		e.Outcome = record.OutcomeAbsent
	case e.Status == http.StatusGatewayTimeout:
		e.Outcome = record.OutcomeTimeout
		e.Hint = "the API server is overloaded: run again later"
	case e.Status != 0:
		e.Hint = "the API server refused: its log says why"
	default:
		e.Hint = "the connection to the API server failed, broke off or fell silent: check its address and the network policies, then run again"
	}
	return e
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func isUntrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}
