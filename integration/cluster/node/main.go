// SPDX-License-Identifier: Apache-2.0

// Command node is a Kubernetes cluster of one node, built from source and run as a process of this machine.
//
//	node up [-leash] DIR   brings a cluster up in a folder, and prints the path of its kubeconfig
//	node down DIR          takes it down: afterwards the machine is as it was before
//	node pause             is the container that holds a pod's namespaces
//
// The whole cluster (control plane, containerd, kubelet, kube-proxy, PostgreSQL and all pods) lives in namespaces of its
// own: processes, mounts, network, host name. The first process in them (see beNode) is the node; when it dies, however
// that happens, the kernel ends and drops all the rest, packet filter rules, interfaces and mounts included. What is left
// are a folder and cgroups, which down removes. So any number of clusters can run beside each other and beside Docker,
// all with the same addresses; and since a node's network leads nowhere, no pod reaches anything outside.
//
// From the machine the API server is at a port of 127.0.0.1, which the kubeconfig names.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "node: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say up, down or pause")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	leash := flags.Bool("leash", false, "end with the process that holds the other end of the pipe that is file 3")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if args[0] == "pause" {
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		<-end
		return nil
	}
	if flags.NArg() != 1 {
		return errors.New("usage: up [-leash] DIR, or down DIR")
	}
	dir, err := filepath.Abs(flags.Arg(0))
	if err != nil {
		return err
	}
	c := cluster{dir: dir}
	switch args[0] {
	case "up":
		began := time.Now()
		if err := c.up(ctx, *leash); err != nil {
			return fmt.Errorf("bring the cluster up: %w; the logs are in %s", err, c.path("var/log"))
		}
		fmt.Fprintf(os.Stderr, "node: up after %.1f s\n", time.Since(began).Seconds())
		fmt.Println(c.path("kubeconfig"))
		return nil
	case "down":
		if err := c.down(); err != nil {
			return fmt.Errorf("take the cluster down: %w", err)
		}
		return nil
	case "init": // what up starts
		return beNode(c.dir, c.cgroup(), *leash)
	default:
		return fmt.Errorf("unknown command %q", args[0])
	}
}

// cluster is a cluster in a folder:
//
//	kubeconfig   of an administrator, for use on this machine
//	pid          of the node's first process
//	run, var     the node's /run and /var: logs, images, databases, configuration
type cluster struct{ dir string }

func (c cluster) path(name string) string { return filepath.Join(c.dir, name) }

// cgroup is the name of the cluster's cgroups, in every hierarchy.
func (c cluster) cgroup() string {
	return fmt.Sprintf("segment-bridge-%x", sha256.Sum256([]byte(c.dir)))[:len("segment-bridge-")+8]
}
