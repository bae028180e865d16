// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"syscall"

	"github.com/minio/minio-go/v7"

	"github.com/segment-bridge/segment-bridge/stage"
)

// A failure is an error in our own words: what a server or a library says may hold
// anything. The cause is kept for errors.Is and not printed.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// statusOf returns the HTTP status of an answer, or 0 if err is not one.
func statusOf(err error) int {
	if r, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return r.StatusCode
	}
	return 0
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// putError tells what the condition of a Put met.
func putError(err error, c stage.Condition) error {
	status := statusOf(err)
	switch {
	case status == http.StatusPreconditionFailed && c.IfAbsent:
		return fs.ErrExist
	case status == http.StatusPreconditionFailed && c.IfMatch != "":
		return stage.ErrChanged
	case c.IfMatch != "" && codeOf(err) == minio.NoSuchKey:
		return stage.ErrChanged
	case status == http.StatusNotImplemented && c != (stage.Condition{}):
		return &failure{"the store does not know conditional writes (If-None-Match, If-Match): use one that does", errors.Join(errors.ErrUnsupported, err)}
	}
	return err
}

func codeOf(err error) string {
	if r, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return r.Code
	}
	return ""
}

// failed returns the error of an operation on a key.
func (b *Bucket) failed(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	what := op + " object " + key + ": "
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &failure{what + "no answer from " + b.endpoint + " in the time given: " + checkIt, ctx.Err()}
	}
	if ctx.Err() != nil {
		return &failure{what + ctx.Err().Error(), ctx.Err()}
	}
	for _, known := range []error{fs.ErrExist, stage.ErrChanged} {
		if errors.Is(err, known) {
			return &failure{what + known.Error(), known}
		}
	}
	if codeOf(err) == minio.NoSuchKey {
		return &failure{what + fs.ErrNotExist.Error(), fs.ErrNotExist}
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return &failure{what + f.text, err}
	}
	if errors.Is(err, errRange) {
		return &failure{what + errRange.Error(), err}
	}
	if status := statusOf(err); status != 0 && status != statusSilent {
		text := "HTTP " + strconv.Itoa(status)
		if hint := b.hint(codeOf(err), status); hint != "" {
			text += ": " + hint
		}
		return &failure{what + text, err}
	}
	return &failure{what + "no answer from " + b.endpoint + ": " + why(err), err}
}

// hint says what to do about an answer.
func (b *Bucket) hint(code string, status int) string {
	switch code {
	case "NoSuchBucket":
		return "bucket " + b.bucket + " does not exist: create it"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken":
		return "the credentials are not valid: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role"
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "InvalidRegion":
		return "bucket " + b.bucket + " is in another region: name it with region= in the URL"
	case "RequestTimeTooSkewed":
		return "the clock of this machine is wrong"
	}
	switch status {
	case http.StatusForbidden, http.StatusUnauthorized:
		return "access to bucket " + b.bucket + " is denied: the credentials need s3:ListBucket on it, and s3:GetObject and s3:PutObject on its objects"
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
		return "bucket " + b.bucket + " is elsewhere: check endpoint= and region= in the URL"
	}
	return ""
}

// checkIt is what to do about a store that does not answer.
const checkIt = "check that it is up and that proxies and network policies allow it"

// why says why there was no answer.
func why(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "the host is not known: check endpoint= in the URL"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its TLS certificate is not trusted: put the authority's certificate into a file and name it in SSL_CERT_FILE"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if isTimeout(err) || statusOf(err) == statusSilent {
		return "it was silent for " + silence.String() + ", or no connection came about: " + checkIt
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the connection was closed"
	}
	return "the connection or the answer broke off: " + checkIt
}
