// SPDX-License-Identifier: Apache-2.0

// Command servers builds the servers that integration tests run, one after the other, into a cache. A server that is
// there already, in its pinned version, costs nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/servers/binaries"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cluster := flag.Bool("cluster", false, "also build what a whole cluster takes")
	flag.Parse()
	servers := binaries.Servers
	if *cluster {
		servers = slices.Concat(servers, binaries.ClusterServers)
	}
	if err := run(ctx, os.Stderr, servers); err != nil {
		fmt.Fprintf(os.Stderr, "servers: %v\n", err)
		fmt.Fprintln(os.Stderr, "servers: the go command's message above says why; a cold build needs a Go module proxy, 10 GB of disk and 4 GB of memory. Run `make servers` again: it goes on where it stopped.")
		os.Exit(1)
	}
}

func run(ctx context.Context, log io.Writer, servers []binaries.Server) error {
	root, err := binaries.Root()
	if err != nil {
		return err
	}
	if _, err := binaries.TektonCRDs(ctx, root); err != nil {
		return err
	}
	for i, s := range servers {
		start := time.Now()
		fmt.Fprintf(log, "servers: %d/%d %s ... ", i+1, len(servers), s.Name)
		built, err := s.Build(ctx, root, log)
		if err != nil {
			fmt.Fprintln(log)
			return err
		}
		if built {
			fmt.Fprintf(log, "built in %s\n", time.Since(start).Round(time.Second))
		} else {
			fmt.Fprintln(log, "ready")
		}
	}
	return nil
}
