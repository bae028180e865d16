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
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// A socket belongs to the network that its thread was in when it was made. This thread is in the node's from here
		// on; since it is not unlocked, it ends with the goroutine.
		runtime.LockOSThread()
		if err := c.enterNetwork(); err != nil {
			done <- result{nil, err}
			return
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(host, port))
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// Client returns a client of servers inside the cluster.
func (c *Cluster) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: c.Dial}}
}

func (c *Cluster) enterNetwork() error {
	pid, err := os.ReadFile(filepath.Join(c.dir, "pid"))
	if err != nil {
		return fmt.Errorf("enter the cluster's network: %w", err)
	}
	fd, err := unix.Open(filepath.Join("/proc", string(pid), "ns/net"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("enter the cluster's network: %w", err)
	}
	return errors.Join(unix.Setns(fd, unix.CLONE_NEWNET), unix.Close(fd))
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
