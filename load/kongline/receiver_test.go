// SPDX-License-Identifier: Apache-2.0

package kongline_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load/kongline"
)

const hostname = "lines.example"

// newCertificate returns a certificate for the hostname and the file of its authority, which is itself.
func newCertificate(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: hostname}, DNSNames: []string{hostname},
		NotAfter: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// A receiver of lines, in memory.
type receiver struct {
	config *tls.Config

	mu    sync.Mutex
	got   []string
	dials int
	// Each connection takes the next behaviour, and the last one for good.
	behaviours []behaviour
	serving    sync.WaitGroup
}

type behaviour int

const (
	healthy  behaviour = iota
	refusing           // nobody listens
	plain              // answers without TLS
	early              // leaves after the handshake
	cutting            // leaves in the middle of the lines, keeping none
	deaf               // takes all and never ends the connection
	hanging            // never reads
)

func newReceiver(t testing.TB, behaviours ...behaviour) (*receiver, string) {
	certificate, ca := newCertificate(t)
	return &receiver{
		config:     &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
		behaviours: append(behaviours, healthy),
	}, ca
}

func (r *receiver) next() behaviour {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dials++
	b := r.behaviours[0]
	if len(r.behaviours) > 1 {
		r.behaviours = r.behaviours[1:]
	}
	return b
}

func (r *receiver) behave(b behaviour) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.behaviours = []behaviour{b}
}

func (r *receiver) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.got...)
}

func (r *receiver) messageIDs() []string {
	var ids []string
	for _, line := range r.lines() {
		_, rest, _ := strings.Cut(line, ";messageId=")
		id, _, _ := strings.Cut(rest, ";")
		ids = append(ids, id)
	}
	return ids
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// dial is how a destination reaches the receiver.
func (r *receiver) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" || address != hostname+":61833" {
		return nil, errors.New("dialled elsewhere")
	}
	b := r.next()
	if b == refusing {
		return nil, &net.OpError{Op: "dial", Err: errors.New("canary-in-the-error")}
	}
	client, server := net.Pipe()
	r.serving.Go(func() { r.serve(server, b) })
	return client, ctx.Err()
}

func (r *receiver) serve(raw net.Conn, b behaviour) {
	defer raw.Close()
	switch b {
	case plain:
		_, _ = raw.Read(make([]byte, 16<<10))
		_, _ = io.WriteString(raw, "HTTP/1.1 400 canary\r\n\r\n")
		return
	case hanging:
		time.Sleep(time.Hour)
		return
	default:
	}
	conn := tls.Server(raw, r.config)
	if conn.HandshakeContext(context.Background()) != nil {
		return
	}
	if b == early {
		_ = conn.Close()
		return
	}
	var lines []string
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if b == cutting && err == nil {
			return
		}
		if err != nil {
			if err == io.EOF {
				break
			}
			return
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	if b == deaf {
		time.Sleep(time.Hour)
		return
	}
	r.mu.Lock()
	r.got = append(r.got, lines...)
	r.mu.Unlock()
	_ = conn.Close()
}

// overTCP is dial over loopback: two ends of [net.Pipe] that write at the same time, as when one refuses the other's
// certificate, wait for each other.
func (r *receiver) overTCP(ctx context.Context, network, _ string) (net.Conn, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, network, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	client, err := (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
	if err != nil {
		return nil, err
	}
	server, err := listener.Accept()
	if err != nil {
		return nil, err
	}
	r.serving.Go(func() { r.serve(server, r.next()) })
	return client, nil
}

func newDestination(t testing.TB, dial dialer, ca string) *kongline.Destination {
	t.Helper()
	d, err := kongline.New(kongline.Options{Address: hostname + ":61833", CAFile: ca, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
