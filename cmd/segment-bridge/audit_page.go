// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/audit/html"
	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/stage"
)

// writePage writes the report as a page into a file.
func writePage(file string, r *audit.Report) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("create page: %w", err)
	}
	return errors.Join(html.Write(f, r), f.Close())
}

// servePages serves the report, and the batches of the bucket, until the program is told to end.
func (p program) servePages(c *cobra.Command, address string, r *audit.Report, bucket stage.Bucket, o stage.Options) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("read address: %w", err)
	}
	log, err := cli.Logger(c)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(c.Context(), "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintf(p.stderr, "The report is at http://%s/ until you press Ctrl-C.\n", listener.Addr())
	return html.Serve(c.Context(), listener, html.NewHandler(r, stage.NewLedger(bucket, o), log, host))
}
