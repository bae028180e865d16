// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "embed"

	"github.com/segment-bridge/segment-bridge/integration/cluster/image"
	"github.com/segment-bridge/segment-bridge/integration/servers/binaries"
)

// programs are what a node is made of, as the builder of the servers names them.
var programs = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
	"containerd", "containerd-shim-runc-v2", "ctr", "coredns",
}

//go:embed coredns.yaml
var coreDNS string

// up returns when the node is ready and names resolve. A cluster that runs already is left alone.
func (c cluster) up(ctx context.Context, leash bool) error {
	if c.pid() != "" {
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: run it as root")
	}
	if err := c.down(); err != nil { // what a cluster that died has left
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("find a port for the API server: %w", err)
	}
	defer listener.Close()
	if err := errors.Join(c.makeFolders(), c.writeFiles(listener.Addr().String()), makeCgroup(c.cgroup())); err != nil {
		return err
	}
	if err := c.startNode(listener.(*net.TCPListener), leash); err != nil { //nolint:errcheck // it listens on TCP
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := c.loadImages(ctx); err != nil {
		return err
	}
	if err := c.retry(ctx, func() error { return c.kubectl(ctx, coreDNS, "apply", "-f", "-") }); err != nil {
		return err
	}
	return errors.Join(
		c.retry(ctx, func() error {
			return c.kubectl(ctx, "", "wait", "--for=condition=Ready", "--timeout=60s", "node/"+nodeName)
		}),
		c.kubectl(ctx, "", "rollout", "status", "--timeout=60s", "-n", "kube-system", "deployment/coredns"),
	)
}

func (c cluster) makeFolders() error {
	for _, dir := range []string{
		"bin", "cni", "pki", "sys",
	} {
		if err := os.MkdirAll(c.path(filepath.Join(kubernetes, dir)), 0o755); err != nil {
			return fmt.Errorf("make the cluster's folders: %w", err)
		}
	}
	for _, dir := range []string{"run", "var/log", "var/tmp", "var" + strings.TrimPrefix(postgresql, "/var")} {
		if err := os.MkdirAll(c.path(dir), 0o755); err != nil {
			return fmt.Errorf("make the cluster's folders: %w", err)
		}
	}
	for _, name := range programs {
		path, _, err := binaries.Path(name)
		if err != nil {
			return err
		}
		if err := os.Symlink(path, c.path(tool(name))); err != nil {
			return fmt.Errorf("make the cluster's folders: %w", err)
		}
	}
	if err := os.Symlink("/run", c.path("var/run")); err != nil {
		return fmt.Errorf("make the cluster's folders: %w", err)
	}
	return os.Chmod(c.path("var/tmp"), 0o1777)
}

// writeFiles writes the certificates and configurations. The API server is reached at address from the machine.
func (c cluster) writeFiles(address string) error {
	pki, err := newPKI()
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	for name, data := range pki.files {
		files[c.path(filepath.Join(pkiFolder, name))] = data
	}
	encode := base64.StdEncoding.EncodeToString
	for name, text := range configurations {
		user, server := strings.TrimSuffix(name, ".kubeconfig"), "https://"+net.JoinHostPort(nodeIP, "6443")
		path := c.path(filepath.Join(kubernetes, name))
		if user == "admin" {
			path, server = c.path("kubeconfig"), "https://"+address
		}
		files[path], err = fill(text, map[string]string{
			"Cgroup": c.cgroup(), "User": user, "Server": server, "CA": encode(pki.files["ca.crt"]),
			"Cert": encode(pki.files[user+".crt"]), "Key": encode(pki.files[user+".key"]),
		})
		if err != nil {
			return err
		}
	}
	for path, data := range files {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return fmt.Errorf("write the cluster's files: %w", err)
		}
	}
	return nil
}

// startNode starts the node's first process in namespaces of its own, and notes its id.
func (c cluster) startNode(listener *net.TCPListener, leash bool) error {
	log, err := os.Create(c.path("var/log/node.log"))
	if err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	defer log.Close()
	socket, err := listener.File()
	if err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	defer socket.Close()
	cmd := exec.Command("/proc/self/exe", "init", "-leash="+strconv.FormatBool(leash), c.dir) //nolint:noctx // it outlives this process
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = "/", log, log, []*os.File{socket}
	if leash {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(3, "leash"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	go cmd.Wait() //nolint:errcheck // should it end before this process
	return os.WriteFile(c.path("pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
}

// loadImages imports what every cluster runs: the container that holds a pod, and the name server.
func (c cluster) loadImages(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("load the images: %w", err)
	}
	pause := image.Program("localhost/pause:dev", "/node", self)
	pause.Entrypoint = []string{"/node", "pause"}
	dns := image.Program("localhost/coredns:dev", "/coredns", c.path(tool("coredns")))
	dns.User = "" // it listens on port 53
	return c.retry(ctx, func() error {
		content, archive := io.Pipe()
		go func() { archive.CloseWithError(image.Write(archive, pause, dns)) }()
		defer content.Close()
		return c.command(ctx, content, "ctr", "--address", c.path(socket), "--namespace", "k8s.io", "images", "import", "-")
	})
}

func (c cluster) kubectl(ctx context.Context, stdin string, args ...string) error {
	return c.command(ctx, strings.NewReader(stdin), "kubectl", append([]string{"--kubeconfig", c.path("kubeconfig")}, args...)...)
}

// command runs one of the cluster's programs on the machine.
func (c cluster) command(ctx context.Context, stdin io.Reader, name string, args ...string) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, c.path(tool(name)), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w: %s", name, err, out.Bytes())
	}
	return nil
}

// retry calls try until it returns nil: the server it needs may be on its way. It gives up when the node has ended.
func (c cluster) retry(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		if c.pid() == "" {
			return errors.Join(errors.New("the node has ended: see node.log"), err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// pid returns the id of the node's first process, in decimal; empty when it does not run.
func (c cluster) pid() string {
	data, err := os.ReadFile(c.path("pid"))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join("/proc", string(data))); err != nil {
		return ""
	}
	return string(data)
}

// down ends the cluster, and removes what the kernel does not: its cgroups and its folder.
func (c cluster) down() error {
	if pid := c.pid(); pid != "" && inCgroup(pid, c.cgroup()) { // and not another process with an old number
		id, err := strconv.Atoi(pid)
		if err != nil {
			return fmt.Errorf("read the node's process id: %w", err)
		}
		if err := syscall.Kill(id, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end the node: %w", err)
		}
		for began := time.Now(); c.pid() != "" && inCgroup(pid, c.cgroup()); time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > 30*time.Second {
				return errors.New("end the node: it did not end within 30 s")
			}
		}
	}
	if err := removeCgroup(c.cgroup()); err != nil {
		return err
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("remove the cluster's folder: %w", err)
	}
	return nil
}
