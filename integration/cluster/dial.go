// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Dial connects the test, which is outside, with an address inside the cluster's network: one of a pod, of the node, or
// of a service by its name ("minio.minio.svc:9000").
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		if host, err = c.resolve(ctx, host); err != nil {
			return nil, err
		}
	}
	var conn net.Conn
	err = c.within(func() error {
		// To a service whose address leads nowhere yet the kernel would try for two minutes.
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, net.JoinHostPort(host, port))
		return err
	})
	return conn, err
}

// Listen opens a port of the node, on which the test, which is outside, answers pods. URL is where they find it.
func (c *Cluster) Listen(t testing.TB) (listener net.Listener, url string) {
	t.Helper()
	err := c.within(func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", nodeIP+":0")
		return err
	})
	if err != nil {
		t.Fatalf("listen in the cluster's network: %v", err)
	}
	t.Cleanup(func() { listener.Close() }) //nolint:errcheck // who serves may have closed it
	return listener, "http://" + listener.Addr().String()
}

// nodeIP is the node's address: see node.
const nodeIP = "10.77.0.1"

// within makes sockets in the node's network. A socket belongs to the network that its thread was in when it was made.
func (c *Cluster) within(makeSocket func() error) error {
	runtime.LockOSThread()
	leave, err := c.enterNetwork()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = makeSocket()
	if back := leave(); back != nil {
		return errors.Join(err, back) // the thread stays locked, and ends with the goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// Client returns a client of servers inside the cluster.
func (c *Cluster) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: c.Dial}}
}

// enterNetwork moves this thread into the node's network, until leave is called.
func (c *Cluster) enterNetwork() (leave func() error, err error) {
	pid, err := os.ReadFile(filepath.Join(c.dir, "pid"))
	if err != nil {
		return nil, fmt.Errorf("enter the cluster's network: %w", err)
	}
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("enter the cluster's network: %w", err)
	}
	there, err := os.Open(filepath.Join("/proc", string(pid), "ns/net"))
	if err == nil {
		defer there.Close()
		err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET)
	}
	if err != nil {
		home.Close() //nolint:errcheck // read in vain
		return nil, fmt.Errorf("enter the cluster's network: %w", err)
	}
	return func() error {
		defer home.Close()
		return unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
	}, nil
}

// resolve returns the address of a service: NAME.NAMESPACE and what may follow.
func (c *Cluster) resolve(ctx context.Context, host string) (string, error) {
	parts := strings.SplitN(host, ".", 3)
	if len(parts) < 2 {
		return "", fmt.Errorf("resolve %s: a service is named NAME.NAMESPACE", host)
	}
	service, err := c.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"}).Namespace(parts[1]).
		Get(ctx, parts[0], metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", host, err)
	}
	ip, _, err := unstructured.NestedString(service.Object, "spec", "clusterIP")
	if err != nil || net.ParseIP(ip) == nil {
		return "", fmt.Errorf("resolve %s: it has no address", host)
	}
	return ip, nil
}
