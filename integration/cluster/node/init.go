// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What a node is handed by who starts it.
const (
	listenerFile = 3 // a socket on the machine's loopback, which leads to the API server
	leashFile    = 4 // a pipe, when the cluster is to end with who holds its other end
)

// beNode is process 1 of a node. It returns when the node is to go down; then the kernel ends all its other processes and
// drops its mounts and network.
func beNode(dir, cgroup string, leash bool) error {
	if err := errors.Join(joinCgroup(cgroup), settle(dir)); err != nil {
		return err
	}
	file := os.NewFile(listenerFile, "listener")
	listener, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("open the way to the API server: %w", err)
	}
	file.Close() //nolint:errcheck // the listener has a copy
	go forward(listener, "127.0.0.1:6443")

	stop, restart := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(restart, syscall.SIGHUP)
	if leash {
		go func() {
			io.Copy(io.Discard, os.NewFile(leashFile, "leash")) //nolint:errcheck // it ends, one way or the other
			stop <- syscall.SIGTERM
		}()
	}
	database, err := postgres()
	if err != nil {
		return err
	}
	s, control := newSupervisor(), controlPlane()
	etcd, apiServer, clients := control[0], control[1], control[2:]
	s.keep(etcd)
	s.keep(containerd())
	s.keep(database)
	go func() {
		await("http://127.0.0.1:2379/readyz")
		s.keep(apiServer)
		await("https://127.0.0.1:6443/readyz")
		for _, p := range append(clients, kubelet(), kubeProxy()) {
			s.keep(p)
		}
	}()
	for {
		select {
		case <-restart:
			s.kill("kubelet", "containerd")
		case <-stop:
			return nil
		}
	}
}

// settle makes the namespaces that the process was started in look like a machine of their own.
func settle(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("part from the machine's mounts: %w", err)
	}
	for _, m := range []struct{ from, to, kind string }{
		{"proc", "/proc", "proc"},
		{"shm", "/dev/shm", "tmpfs"},
		{filepath.Join(dir, "run"), "/run", ""},
		{filepath.Join(dir, "var"), "/var", ""}, // last: the cluster's folder may lie in it
	} {
		flags := uintptr(0)
		if m.kind == "" {
			flags = syscall.MS_BIND
		}
		if err := syscall.Mount(m.from, m.to, m.kind, flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.to, err)
		}
	}
	// The kubelet wants these settings of the kernel, which are all the machine's. It finds them as it likes them, in
	// files of its own, and leaves the machine's alone.
	for name, value := range map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	} {
		file := filepath.Join(kubernetes, "sys", strings.ReplaceAll(name, "/", "."))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
		if err := syscall.Mount(file, "/proc/sys/"+name, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	// Volumes that the kubelet mounts from now on are to be seen in containers that run already.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the node's mounts with its pods: %w", err)
	}
	if err := syscall.Sethostname([]byte(nodeName)); err != nil {
		return fmt.Errorf("name the node: %w", err)
	}
	// The node has no cable to anywhere: its address is on the loopback device, and so is the way to the services, which
	// kube-proxy turns elsewhere. All other addresses are unreachable, at once.
	for _, args := range []string{"link set lo up", "addr add " + nodeIP + "/32 dev lo", "route add " + serviceIPs + " dev lo src " + nodeIP} {
		if out, err := exec.CommandContext(context.Background(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("run ip %s: %w: %s", args, err, out)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("let the node route between pods: %w", err)
	}
	// Programs find the shim, and keep what is temporary, in places of the cluster's own.
	return errors.Join(os.Setenv("PATH", kubernetes+"/bin:"+os.Getenv("PATH")), os.Setenv("TMPDIR", "/var/tmp"))
}

// forward connects whoever comes to the listener with an address.
func forward(listener net.Listener, address string) {
	for {
		from, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.Dial("tcp", address) //nolint:noctx // on loopback
			if err != nil {
				return
			}
			defer to.Close()
			done := make(chan struct{}, 2)
			pipe := func(a, b net.Conn) {
				io.Copy(a, b)                 //nolint:errcheck // who speaks next hears of it
				a.(*net.TCPConn).CloseWrite() //nolint:errcheck // TCP on both sides
				done <- struct{}{}
			}
			go pipe(from, to)
			go pipe(to, from)
			<-done
			<-done
		}()
	}
}

// await returns when the URL answers with 200, whoever that is.
func await(url string) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // nothing is said or believed
	}}
	defer client.CloseIdleConnections()
	for ; ; time.Sleep(50 * time.Millisecond) {
		answer, err := client.Get(url) //nolint:noctx // it has a timeout
		if err != nil {
			continue
		}
		answer.Body.Close() //nolint:errcheck // read in vain
		if answer.StatusCode == http.StatusOK {
			return
		}
	}
}
