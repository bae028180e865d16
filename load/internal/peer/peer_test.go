// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestDo(t *testing.T) {
	busy := errors.New("busy")
	fatal := errors.New("wrong token")
	tests := []struct {
		name        string
		answers     []error // the last one is repeated
		patience    time.Duration
		attempts    int
		least, most time.Duration
		want        string
	}{
		{name: "at once", answers: []error{nil}, attempts: 1},
		{name: "permanent", answers: []error{fatal}, attempts: 1, want: "wrong token"},
		{name: "once more", answers: []error{&Again{Reason: busy}, nil}, attempts: 2, least: 250 * time.Millisecond, most: 500 * time.Millisecond},
		{name: "when asked to", answers: []error{&Again{Reason: busy, After: 17 * time.Second}, nil}, attempts: 2, least: 17 * time.Second, most: 17 * time.Second},
		{name: "wrapped", answers: []error{fmt.Errorf("post: %w", &Again{Reason: busy}), nil}, attempts: 2, least: 250 * time.Millisecond, most: 500 * time.Millisecond},
		// 0.5, 1, 2, 4, 8, 16, 32, 60, 60 s, each less at most a half, and no wait after the last.
		{name: "never", answers: []error{&Again{Reason: busy}}, attempts: Attempts, least: 91 * time.Second, most: 184 * time.Second, want: "busy after 10 attempts"},
		{name: "not in time", answers: []error{&Again{Reason: busy, After: 2 * time.Minute}}, patience: time.Minute, attempts: 1, want: "in the time given; the last attempt: busy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.patience > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeoutCause(ctx, tt.patience, ErrPatience)
					defer cancel()
				}
				var (
					p        Pacer
					attempts int
				)
				start := time.Now()
				err := p.Do(ctx, func(context.Context) error {
					attempts++
					return tt.answers[min(attempts, len(tt.answers))-1]
				})
				if elapsed := time.Since(start); attempts != tt.attempts || elapsed < tt.least || elapsed > tt.most {
					t.Errorf("%d attempts in %v", attempts, elapsed)
				}
				if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			})
		})
	}
}

func TestDoIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("the pod is going away")
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		time.AfterFunc(3*time.Second, func() { cancel(stop) })
		var p Pacer
		err := p.Do(ctx, func(context.Context) error { return &Again{Reason: io.EOF, After: time.Minute} })
		if !errors.Is(err, stop) || !errors.Is(err, io.EOF) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestWaitHoldsEveryRequest begins a second request while the first was told to wait, and postpones it once more.
func TestWaitHoldsEveryRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pacer
		p.Postpone(time.Minute)
		time.AfterFunc(30*time.Second, func() { p.Postpone(time.Minute); p.Postpone(time.Second) })
		start := time.Now()
		if err := p.Do(t.Context(), func(context.Context) error { return nil }); err != nil || time.Since(start) != 90*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "0", "30", "-1", "1e3", "99999999999999999999", "Sat, 01 Jan 2000 00:01:30 GMT"} {
		f.Add(seed)
	}
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		if wait := RetryAfter(header, now); wait < 0 || wait > longestAsked {
			t.Fatalf("%q asks for %v", header, wait)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"17": 17 * time.Second, " 17 ": 17 * time.Second, "86400": 300 * time.Second, "Sat, 01 Jan 2000 00:01:30 GMT": 90 * time.Second,
		"Fri, 31 Dec 1999 00:00:00 GMT": 0, "soon": 0, "-5": 0, "": 0,
	} {
		if got := RetryAfter(header, now); got != want {
			t.Errorf("%q asks for %v, want %v", header, got, want)
		}
	}
}

func TestBroken(t *testing.T) {
	url := func(err error) error { return fmt.Errorf("Post https://secret.example: %w", err) }
	tests := []struct {
		err   error
		again bool
		want  string
	}{
		{url(context.DeadlineExceeded), true, "in time"},
		{url(&net.DNSError{Name: "secret.example", IsNotFound: true}), true, "host name"},
		{url(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}), true, "refused"},
		{url(os.NewSyscallError("read", syscall.ECONNRESET)), true, "cut"},
		{url(io.ErrUnexpectedEOF), true, "cut"},
		{url(&tls.CertificateVerificationError{Err: errors.New("secret.example")}), false, "not trusted"},
		{url(tls.RecordHeaderError{Msg: "secret.example"}), false, "speak TLS"},
		{url(&net.OpError{Op: "remote error", Err: errors.New("tls: secret.example")}), false, "refuses the TLS"},
		{url(errors.New("whatever")), true, "network error"},
	}
	for _, tt := range tests {
		err := Broken(tt.err)
		if errors.As(err, new(*Again)) != tt.again || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret.example") {
			t.Errorf("%v became %v", tt.err, err)
		}
	}
}

// TestClientTLS speaks to a server whose authority the system does not know.
func TestClientTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for _, tt := range []struct{ name, file, wantErr, wantBroken string }{
		{name: "trusted", file: ca},
		{name: "unknown authority", wantBroken: "certificate not trusted"},
		{name: "no file", file: filepath.Join(dir, "secret-missing"), wantErr: "does not exist"},
		{name: "no certificate", file: write("secret-empty", []byte("nothing")), wantErr: "no PEM"},
		{name: "a folder", file: dir, wantErr: "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config, err := ClientTLS(tt.file)
			if (err == nil) != (tt.wantErr == "") || err != nil && (!strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), "secret")) {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			transport := NewTransport(config)
			defer transport.CloseIdleConnections()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := transport.RoundTrip(req)
			if err == nil {
				err = response.Body.Close()
			}
			if (err == nil) != (tt.wantBroken == "") || err != nil && !strings.Contains(Broken(err).Error(), tt.wantBroken) {
				t.Errorf("error %v", err)
			}
		})
	}
	if config, err := ClientTLS(""); err != nil || config.MinVersion < tls.VersionTLS12 || config.RootCAs != (*x509.CertPool)(nil) {
		t.Errorf("%v, %v", config, err)
	}
}

func TestBackOffStaysInItsBounds(t *testing.T) {
	for attempt := range 100 {
		whole := longestWait
		if attempt < 7 {
			whole = firstWait << attempt
		}
		for range 50 {
			if wait := BackOff(attempt); wait < whole/2 || wait > whole {
				t.Fatalf("attempt %d waits %v", attempt, wait)
			}
		}
	}
}
