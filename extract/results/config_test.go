// SPDX-License-Identifier: Apache-2.0

package results

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/internal/extracttest"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

func TestEndpoint(t *testing.T) {
	for _, test := range []struct {
		address   string
		transport Transport
		want      string // transport, URL, host; empty for an error
	}{
		{"host:8080", "", "rest https://host:8080 host:8080"},
		{"host", "", "rest https://host:443 host:443"},
		{"host:8080", GRPC, "grpc https://host:8080 host:8080"},
		{"[::1]:8080", "", "rest https://[::1]:8080 [::1]:8080"},
		{"https://host", "", "rest https://host:443 host:443"},
		{"https://host:8080/", REST, "rest https://host:8080 host:8080"},
		{"https://host:8080", GRPC, "grpc https://host:8080 host:8080"},
		{"https://host/some/base/", "", "rest https://host:443/some/base host:443"},
		{"http://host", "", "rest http://host:80 host:80"},
		{"grpcs://host", "", "grpc https://host:443 host:443"},
		{"grpc://host:8080", GRPC, "grpc http://host:8080 host:8080"},
		{"", "", ""},
		{"https://", "", ""},
		{":8080", "", ""},
		{"ftp://host", "", ""},
		{"https://user:password@host", "", ""},
		{"https://host?query", "", ""},
		{"https://host#fragment", "", ""},
		{"https://ho st", "", ""},
		{"grpcs://host", REST, ""},
		{"grpcs://host/path", "", ""},
		{"host:8080", "smoke", ""},
	} {
		t.Run(test.address+" "+string(test.transport), func(t *testing.T) {
			e, err := Config{Address: test.address, Transport: test.transport}.endpoint()
			if test.want == "" {
				if err == nil {
					t.Errorf("endpoint is %v, want an error", e)
				}
				return
			}
			if got := fmt.Sprint(e.transport, " ", e.url(), " ", e.host); err != nil || got != test.want {
				t.Errorf("endpoint is %q with error %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestValidateTellsAll(t *testing.T) {
	err := Config{
		Address: "ftp://" + secret, Token: hidden("t0ken"), TokenFile: "/token", Insecure: true, ServerName: "name",
		Namespace: "no/name", PageSize: 4, Slack: -1,
	}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"address", "token", "certificates", "namespace", "page size is 4", "slack"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not tell of the %s", err, want)
		}
	}
	if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "t0ken") {
		t.Errorf("error %q tells too much", err)
	}
	if err := (Config{Address: "host:8080", PageSize: 10_000, Namespace: "-", Token: hidden("")}).Validate(); err != nil {
		t.Error(err)
	}
}

// The certificate of httptest is for example.com and 127.0.0.1.
func TestTLS(t *testing.T) {
	a := archive{script: script{rows: 3}}
	server := httptest.NewTLSServer(&a)
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	localhost := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for _, test := range []struct {
		name   string
		config Config
		works  bool
	}{
		{"trusted", Config{Address: server.URL, CAFile: ca}, true},
		{"trusted under another name", Config{Address: localhost, CAFile: ca, ServerName: "example.com"}, true},
		{"wrong name", Config{Address: localhost, CAFile: ca}, false},
		{"not trusted", Config{Address: server.URL}, false},
		{"not checked", Config{Address: localhost, Insecure: true}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(a.seen)
			_, err := read(t.Context(), newSource(t, test.config), record.Window{}, new(extract.Stats))
			if test.works {
				extracttest.CheckError(t, err, "", "")
				return
			}
			extracttest.CheckError(t, err, "error", "CA file")
			if len(a.seen) != before {
				t.Error("a request reaches a server that is not trusted")
			}
		})
	}
}

func TestAuthorities(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := file("own", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	none, missing := file("none", "no certificate"), filepath.Join(dir, "missing")
	for _, test := range []struct {
		name, caFile, serviceCA string
		trusts, fails           bool
	}{
		{"CA file", own, missing, true, false},
		{"service CA", "", own, true, false},
		{"neither", "", missing, false, false},
		{"CA file excludes the service CA", own, none, true, false},
		{"CA file without a certificate", none, own, false, true},
		{"CA file that is missing", missing, own, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool, err := authorities(test.caFile, test.serviceCA)
			if (err != nil) != test.fails {
				t.Fatalf("error is %v", err)
			}
			if test.fails {
				return
			}
			_, err = server.Certificate().Verify(x509.VerifyOptions{Roots: pool})
			if (err == nil) != test.trusts {
				t.Errorf("verification ends with %v", err)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("request %s follows a redirect", r.URL)
	}))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	_, err := read(t.Context(), newSource(t, Config{Address: server.URL, Token: hidden("t0ken")}), record.Window{}, new(extract.Stats))
	extracttest.CheckError(t, err, "error", "HTTP 307")
}

func TestTokenIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		b := newBearer(Config{TokenFile: path})
		for _, step := range []struct {
			write string
			wait  time.Duration
			want  string
		}{
			{"one", 0, "Bearer one"},
			{"two", rereadAfter - time.Second, "Bearer one"},
			{"two", time.Second, "Bearer two"},
		} {
			if err := os.WriteFile(path, []byte(step.write), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(step.wait)
			if got, err := b.header(); err != nil || got != step.want {
				t.Errorf("header is %q with error %v, want %q", got, err, step.want)
			}
		}
	})
}
