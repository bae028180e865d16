// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// Cluster is a Kubernetes control plane: etcd and the API server, with RBAC on. There are no controllers and no nodes:
// nothing runs, a deleted namespace stays Terminating, and aggregated cluster roles stay empty.
type Cluster struct {
	Config  *rest.Config      // of a cluster administrator, not throttled
	Dynamic dynamic.Interface // of the same

	mapper    *restmapper.DeferredDiscoveryRESTMapper
	etcd      string // base URL
	processes []*process
}

// ControlPlane returns a control plane that all tests of the package share. Tests that list across namespaces see each
// other's objects: give those one of their own.
func ControlPlane(t testing.TB) *Cluster {
	t.Helper()
	c, err := sharedControlPlane()
	if err != nil {
		t.Fatal(err)
	}
	report(t, c.logs()...)
	return c
}

var sharedControlPlane = sync.OnceValues(func() (*Cluster, error) {
	c, err := startControlPlane()
	if err == nil {
		shared.add(c.stop)
	}
	return c, err
})

// NewControlPlane starts a control plane for this test alone. It takes a few seconds.
func NewControlPlane(t testing.TB) *Cluster {
	t.Helper()
	c, err := startControlPlane()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	report(t, c.logs()...)
	return c
}

// TokenIssuer is the issuer of service account tokens and the audience they have unless asked otherwise.
const TokenIssuer = "https://kubernetes.default.svc"

func startControlPlane() (_ *Cluster, err error) {
	dir, err := newFolder("cluster")
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	if err := c.startEtcd(dir); err != nil {
		return nil, err
	}
	if err := c.startAPIServer(dir); err != nil {
		return nil, err
	}
	return c, c.connect()
}

// Connect returns the cluster that an administrator's kubeconfig file leads to, one that is not this package's.
func Connect(t testing.TB, kubeconfig string) *Cluster {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatalf("read a kubeconfig: %v", err)
	}
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	c := &Cluster{Config: config}
	if err := c.connect(); err != nil {
		t.Fatal(err)
	}
	return c
}

// connect makes the clients for the cluster's Config.
func (c *Cluster) connect() (err error) {
	if c.Dynamic, err = dynamic.NewForConfig(c.Config); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	found, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))
	return nil
}

func (c *Cluster) startEtcd(dir string) error {
	client, err1 := freePort()
	peer, err2 := freePort()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	c.etcd = "http://127.0.0.1:" + strconv.Itoa(client)
	peerURL := "http://127.0.0.1:" + strconv.Itoa(peer)
	cmd, err := server("etcd", "--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls", c.etcd, "--advertise-client-urls", c.etcd,
		"--listen-peer-urls", peerURL, "--initial-advertise-peer-urls", peerURL, "--initial-cluster", "default="+peerURL)
	if err != nil {
		return err
	}
	p, err := start(dir, "etcd", cmd)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	return p.await(func(ctx context.Context) error { return get(ctx, nil, c.etcd+"/readyz") })
}

func (c *Cluster) startAPIServer(dir string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	files, err := apiServerFiles(ca, in)
	if err != nil {
		return err
	}
	if err := writeFiles(files); err != nil {
		return err
	}
	cmd, err := server("kube-apiserver", "--etcd-servers", c.etcd,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--secure-port", strconv.Itoa(port), "--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file", in("server.crt"), "--tls-private-key-file", in("server.key"), "--client-ca-file", in("ca.crt"),
		"--service-account-issuer", TokenIssuer,
		"--service-account-key-file", in("sa.pub"), "--service-account-signing-key-file", in("sa.key"),
		"--authorization-mode=Node,RBAC",
		// Objects in etcd are then JSON, the built-in ones too: see Plant.
		"--storage-media-type=application/json",
		// Pages after the first come from etcd, as before Kubernetes 1.34, so that a compaction is felt at once: see CompactNow.
		"--feature-gates=ListFromCacheSnapshot=false",
		"--cert-dir", dir)
	if err != nil {
		return err
	}
	p, err := start(dir, "kube-apiserver", cmd)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	c.Config = &rest.Config{
		Host: "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		TLSClientConfig: rest.TLSClientConfig{
			CAData: ca.pem, CertData: files[in("admin.crt")], KeyData: files[in("admin.key")],
		},
		QPS:            -1,
		WarningHandler: rest.NoWarnings{},
	}
	client, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	return p.await(func(ctx context.Context) error { return get(ctx, client, c.Config.Host+"/readyz") })
}

// apiServerFiles returns the keys and certificates of the API server and of its administrator, by path.
func apiServerFiles(ca *authority, in func(string) string) (map[string][]byte, error) {
	server, serverKey, err1 := ca.issue(pkix.Name{CommonName: "kube-apiserver"},
		"localhost", "kubernetes", "kubernetes.default.svc", "127.0.0.1", "10.96.0.1")
	admin, adminKey, err2 := ca.issue(pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}})
	tokens, err3 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	tokensKey, err1 := privatePEM(tokens)
	tokensPub, err2 := x509.MarshalPKIXPublicKey(tokens.Public())
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return map[string][]byte{
		in("ca.crt"):     ca.pem,
		in("server.crt"): server, in("server.key"): serverKey,
		in("admin.crt"): admin, in("admin.key"): adminKey,
		in("sa.key"): tokensKey, in("sa.pub"): pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: tokensPub}),
	}, nil
}

func (c *Cluster) stop() {
	for _, p := range slices.Backward(c.processes) {
		// Nothing is worth saving, and the API server takes its time to say goodbye.
		p.stop(syscall.SIGKILL)
	}
}

func (c *Cluster) logs() []string {
	var logs []string
	for _, p := range c.processes {
		logs = append(logs, p.log)
	}
	return logs
}
