// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// pki is a certificate authority and what it has issued: PEM by file name.
type pki struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	files map[string][]byte
}

// subjects are who takes part in a cluster, and under which names they serve. Kubernetes knows them by their common name
// and organization: its own roles are bound to these.
var subjects = []struct {
	file, name, organization string
	serves                   []string
}{
	{"apiserver", "kube-apiserver", "", []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", nodeIP, "10.96.0.1"}},
	{"apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters", nil},
	{"admin", "admin", "system:masters", nil},
	{"controller-manager", "system:kube-controller-manager", "", nil},
	{"scheduler", "system:kube-scheduler", "", nil},
	{"proxy", "system:kube-proxy", "", nil},
	{"node", "system:node:" + nodeName, "system:nodes", []string{nodeName, nodeIP}},
}

// newPKI makes the authority ("ca.crt"), a certificate and key for each of the subjects, and the pair of keys that
// service accounts' tokens are signed with ("sa.key", "sa.pub").
func newPKI() (*pki, error) {
	p := &pki{files: map[string][]byte{}}
	ca := certificate("segment-bridge-cluster", "")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	if err := p.issue("ca", ca); err != nil {
		return nil, err
	}
	for _, s := range subjects {
		c := certificate(s.name, s.organization)
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
		for _, name := range s.serves {
			if ip := net.ParseIP(name); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, name)
			}
		}
		if err := p.issue(s.file, c); err != nil {
			return nil, err
		}
	}
	tokens, err := newKey(p.files, "sa.key")
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(tokens.Public())
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	p.files["sa.pub"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return p, nil
}

// issue signs a certificate, the first one with its own key: that is the authority's.
func (p *pki) issue(file string, c *x509.Certificate) error {
	key, err := newKey(p.files, file+".key")
	if err != nil {
		return err
	}
	if p.cert == nil {
		p.cert, p.key = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, p.cert, key.Public(), crypto.Signer(p.key))
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	p.files[file+".crt"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return nil
}

func newKey(files map[string][]byte, file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	files[file] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return key, nil
}

func certificate(name, organization string) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(30 * 24 * time.Hour),
	}
	if organization != "" {
		c.Subject.Organization = []string{organization}
	}
	return c
}
