// SPDX-License-Identifier: Apache-2.0

package results

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

// A Transport is a way to talk to the API. Both give the same records.
type Transport string

const (
	// REST streams: memory is one buffer, whatever the page size.
	REST Transport = "rest"
	// GRPC sends a third less over the network, but holds a whole page in memory.
	GRPC Transport = "grpc"
)

const (
	// DefaultPageSize is how many records a page has unless Config says otherwise.
	DefaultPageSize = 500
	// DefaultSlack is how much the clocks of the cluster's nodes, the API and its
	// database may differ unless Config says otherwise.
	DefaultSlack = 10 * time.Minute

	minPageSize, maxPageSize = 5, 10_000 // the server's limits

	// serviceCA is the CA of services on OpenShift, in every pod there.
	serviceCA = "/var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt"
)

// A Config says where the API is and how to read it. Only Address has no default.
type Config struct {
	// Address is host:port, or a URL: https (the default), http, grpcs or grpc. The
	// last two choose the transport too; http and grpc are not encrypted.
	Address string
	// Transport is REST unless the address or this says otherwise.
	Transport Transport
	// Namespace is the one to read; "" and "-" are all.
	Namespace string
	// CAFile is a file of PEM certificates, the only authorities to trust. Without it
	// they are those of the system and, on OpenShift, the CA of services.
	CAFile string
	// ServerName is the name in the server's certificate, where it is not the host
	// of the address.
	ServerName string
	// Insecure takes any certificate, and so hands the token to whoever answers.
	Insecure bool
	// Token is a bearer token, TokenFile a file that holds one and is read again as
	// it changes. At most one is set; with neither, requests carry none. What Token
	// holds must not show when a Config is printed.
	Token     interface{ Reveal() string }
	TokenFile string
	// PageSize is how many records to ask for at a time, 5 to 10,000; 0 is
	// DefaultPageSize.
	PageSize int
	// Slack is how far below the window to read; 0 is DefaultSlack.
	Slack time.Duration
	// FullObjects asks for whole objects instead of the fields that are needed, which is
	// some ten times as much. Servers before v0.15, and those that have partial
	// responses switched off, send whole objects anyway.
	FullObjects bool
	// Version is the version of this program, for the user agent.
	Version string
}

// Validate returns all that is wrong with the configuration, joined.
func (c Config) Validate() error {
	_, err := c.endpoint()
	errs := []error{err}
	if c.Token != nil && c.Token.Reveal() != "" && c.TokenFile != "" {
		errs = append(errs, errors.New("token and token file are both set: keep one"))
	}
	if c.Insecure && (c.CAFile != "" || c.ServerName != "") {
		errs = append(errs, errors.New("certificates are not checked, but a CA file or a server name is set: drop the one or the other"))
	}
	if c.Namespace != "" && !namespaces.MatchString(c.Namespace) {
		errs = append(errs, errors.New("namespace is not the name of one, nor - for all"))
	}
	if c.PageSize != 0 && (c.PageSize < minPageSize || c.PageSize > maxPageSize) {
		errs = append(errs, fmt.Errorf("page size is %d: the server takes %d to %d", c.PageSize, minPageSize, maxPageSize))
	}
	if c.Slack < 0 {
		errs = append(errs, fmt.Errorf("slack is %v: it cannot be negative", c.Slack))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("configure Tekton Results: %w", err)
	}
	return nil
}

// An endpoint is what an address stands for.
type endpoint struct {
	transport Transport
	encrypted bool
	host      string // with a port
	path      string // of the base URL; empty or "/something"
}

// url returns the base URL of the REST API, without a slash at the end.
func (e endpoint) url() string {
	scheme := "http"
	if e.encrypted {
		scheme = "https"
	}
	return scheme + "://" + e.host + e.path
}

// namespaces matches the names that Kubernetes allows, and "-".
var namespaces = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|-)$`)

var errAddress = errors.New("address is not host:port or a URL with https, http, grpcs or grpc")

func (c Config) endpoint() (endpoint, error) {
	if c.Address == "" {
		return endpoint{}, errors.New("address is empty: give the API's host:port, such as tekton-results-api-service.NAMESPACE.svc.cluster.local:8080")
	}
	address := c.Address
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return endpoint{}, errAddress
	}
	e := endpoint{transport: c.Transport, host: u.Host, path: strings.TrimRight(u.EscapedPath(), "/")}
	port := "443"
	switch u.Scheme {
	case "https":
		e.encrypted = true
	case "http":
		port = "80"
	case "grpcs":
		e.encrypted = true
		fallthrough
	case "grpc":
		if c.Transport == REST {
			return endpoint{}, errors.New("address asks for gRPC, but the transport is REST: drop one")
		}
		e.transport = GRPC
	default:
		return endpoint{}, errAddress
	}
	if u.Port() == "" {
		e.host = net.JoinHostPort(u.Hostname(), port)
	}
	switch e.transport {
	case "":
		e.transport = REST
	case REST:
	case GRPC:
		if e.path != "" {
			return endpoint{}, errors.New("address has a path, which gRPC cannot use: drop it")
		}
	default:
		return endpoint{}, errors.New(`transport is not "rest" or "grpc"`)
	}
	return e, nil
}

// tls returns how to check the server's certificate. The files are read once: a run
// is short.
func (c Config) tls() (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         c.ServerName,
		InsecureSkipVerify: c.Insecure, // said so by the operator
	}
	if c.Insecure {
		return config, nil
	}
	var err error
	config.RootCAs, err = authorities(c.CAFile, serviceCA)
	return config, err
}

// authorities returns those in the CA file, else those of the system and in the file
// of the service CA, if it exists.
func authorities(caFile, serviceCA string) (*x509.CertPool, error) {
	if caFile != "" {
		pool := x509.NewCertPool()
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA of Tekton Results: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("read the CA of Tekton Results: the file holds no PEM certificate")
		}
		return pool, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's CAs: name a CA file instead: %w", err)
	}
	pem, err := os.ReadFile(serviceCA)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the CA of services: %w", err)
	}
	pool.AppendCertsFromPEM(pem)
	return pool, nil
}
