// SPDX-License-Identifier: Apache-2.0

// Command segment-bridge-operator installs the job of segment-bridge in a cluster,
// and watches over it, as the SegmentBridge resource asks for it.
package main

import (
	"context"
	"os"

	"github.com/segment-bridge/segment-bridge/internal/cli"
)

func main() {
	cli.Main(func(ctx context.Context) int {
		return cli.Execute(ctx, command(os.Stdout, os.Stderr, os.LookupEnv), os.Args[1:])
	})
}
