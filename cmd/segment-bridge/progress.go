// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/schollz/progressbar/v3"

	"github.com/segment-bridge/segment-bridge/stage"
)

// progressBar returns a bar on standard error for the events of a range of
// batches. Their number is in the manifests.
func (p program) progressBar(ctx context.Context, ledger *stage.Ledger, r stage.Range) (*progressbar.ProgressBar, error) {
	var total int64
	for batch, err := range ledger.Batches(ctx, r) {
		if err != nil {
			return nil, err
		}
		manifest, err := ledger.Manifest(ctx, batch)
		if err != nil {
			continue // the replay itself tells of it
		}
		for _, f := range manifest.Files {
			total += f.Rows
		}
	}
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(p.stderr), progressbar.OptionSetDescription("events"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("events"),
		progressbar.OptionClearOnFinish(),
	), nil
}
