// SPDX-License-Identifier: Apache-2.0

// Package peer has what destinations over a network share: whom to trust, what a broken connection
// means, and when to try again.
package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// ClientTLS returns how to check a server's certificate: with the authorities in caFile alone or, when
// that is empty, with those of the system.
func ClientTLS(caFile string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(caFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("read CA file: it does not exist")
	case err != nil:
		return nil, errors.New("read CA file: it cannot be read: check its permissions")
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("read CA file: it holds no PEM certificate")
	}
	return config, nil
}

// NewTransport has room for as many idle connections as there are requests in flight.
func NewTransport(config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second,
	}
}

// Broken says in our own words why a connection failed, since the text of such errors can hold what a
// server sent: [Again] if the same may succeed later.
func Broken(err error) error {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		noTLS       tls.RecordHeaderError
		operation   *net.OpError
		timeout     net.Error
	)
	again := func(text string) error { return &Again{Reason: errors.New(text)} }
	switch {
	case errors.As(err, &certificate):
		return errors.New("certificate not trusted: give the file of the authority that issued it, and use the name that is in it")
	case errors.As(err, &noTLS):
		return errors.New("the server does not speak TLS on this port: check scheme and port")
	case errors.As(err, &operation) && operation.Op == "remote error": // an alert of TLS
		return errors.New("the server refuses the TLS connection: it may want a certificate or another version of TLS")
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return again("no answer in time")
	case errors.As(err, &dns):
		return again("host name not found")
	case errors.Is(err, syscall.ECONNREFUSED):
		return again("connection refused")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return again("connection cut")
	default:
		return again("network error")
	}
}
