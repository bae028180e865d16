// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/load/internal/peer"
	"github.com/segment-bridge/segment-bridge/load/secret"
)

// Environment returns the Options that OpenTelemetry's standard variables make: OTEL_EXPORTER_OTLP_ENDPOINT, to whose
// path /v1/logs is added, or OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, which is taken as it is; and OTEL_EXPORTER_OTLP_HEADERS,
// _CERTIFICATE, _CLIENT_CERTIFICATE, _CLIENT_KEY, _COMPRESSION and _TIMEOUT, of which those with LOGS_ before the last
// word win. Without an endpoint it is an error: a default would send events to whoever listens on this machine.
//
// A program whose reports go to its vendor does without: those variables are the user's, and so are the credentials
// in them.
func Environment(getenv func(string) string) (Options, error) {
	get := func(name string) (value string, specific bool) {
		if value = getenv("OTEL_EXPORTER_OTLP_LOGS_" + name); value != "" {
			return value, true
		}
		return getenv("OTEL_EXPORTER_OTLP_" + name), false
	}
	var o Options
	if protocol, _ := get("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return o, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL names a protocol that is not supported: use http/protobuf, and the port for it")
	}
	endpoint, specific := get("ENDPOINT")
	if endpoint == "" {
		return o, errors.New("OTLP URL is missing: set OTEL_EXPORTER_OTLP_ENDPOINT to one such as https://collector.example:4318")
	}
	u, err := peer.ParseURL("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318", endpoint)
	if err != nil {
		return o, err
	}
	if !specific {
		u = u.JoinPath("v1", "logs")
	}
	o.URL = u.String()
	o.CAFile, _ = get("CERTIFICATE")
	o.CertFile, _ = get("CLIENT_CERTIFICATE")
	o.KeyFile, _ = get("CLIENT_KEY")
	switch compression, _ := get("COMPRESSION"); compression {
	case "", "none":
	case "gzip":
		o.Gzip = true
	default:
		return o, errors.New("OTEL_EXPORTER_OTLP_COMPRESSION is neither gzip nor none")
	}
	if timeout, _ := get("TIMEOUT"); timeout != "" {
		ms, err := strconv.ParseUint(timeout, 10, 31)
		if err != nil || ms == 0 {
			return o, errors.New("OTEL_EXPORTER_OTLP_TIMEOUT is not a number of milliseconds")
		}
		o.Timeout = time.Duration(ms) * time.Millisecond
	}
	headers, _ := get("HEADERS")
	if o.Headers, err = parseHeaders(headers); err != nil {
		return o, fmt.Errorf("read OTEL_EXPORTER_OTLP_HEADERS: %w", err)
	}
	return o, nil
}

// parseHeaders reads name=value,name=value with percent-encoded values. The error holds nothing of them.
func parseHeaders(text string) (map[string]secret.Secret, error) {
	headers := map[string]secret.Secret{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, escaped, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(escaped))
		if name = strings.TrimSpace(name); !found || err != nil || !validHeader(name, value) {
			return nil, errors.New("it is not of the form name=value,name=value with percent-encoded values")
		}
		headers[name] = secret.New(value)
	}
	return headers, nil
}
