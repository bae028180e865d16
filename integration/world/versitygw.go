// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// VersityGW returns a bucket of its own for this test, on a versitygw server that all tests of the package share. It
// keeps objects as files, which makes it an S3 store of another make than MinIO.
func VersityGW(t testing.TB) *Bucket {
	t.Helper()
	s, err := sharedVersityGW()
	if err != nil {
		t.Fatal(err)
	}
	report(t, s.log)
	return s.newBucket(t)
}

var sharedVersityGW = sync.OnceValues(func() (*s3Server, error) {
	s, err := startVersityGW()
	if err != nil {
		return nil, fmt.Errorf("start versitygw: %w", err)
	}
	return s, nil
})

func startVersityGW() (*s3Server, error) {
	dir, err := newFolder("versitygw")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	endpoint := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	objects := filepath.Join(dir, "objects")
	if err := os.Mkdir(objects, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for objects: %w", err)
	}
	cmd, err := server("versitygw", "--port", endpoint, "--health", "/health", "--quiet", "posix", objects)
	if err != nil {
		return nil, err
	}
	cmd.Env = []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey}
	p, err := start(dir, "versitygw", cmd)
	if err != nil {
		return nil, err
	}
	shared.add(func() { p.stop(syscall.SIGTERM) })
	err = p.await(func(ctx context.Context) error { return get(ctx, nil, "http://"+endpoint+"/health") })
	if err != nil {
		return nil, err
	}
	return &s3Server{endpoint: endpoint, log: p.log}, nil
}
