// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

func (p program) demoCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole job on a made-up cluster, and show what came of it",
		Long: `demo makes up a cluster of 12 tenants with 300 PipelineRuns, runs the job over it into a folder and to a receiver in this
process that behaves as Segment does, and shows what was collected and what each name became. It needs no cluster, no
bucket, no account and no network.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if dir == "" {
				var err error
				if dir, err = os.MkdirTemp("", "segment-bridge-demo-"); err != nil {
					return fmt.Errorf("create folder: %w", err)
				}
			}
			return p.demo(c.Context(), dir)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder for the made-up cluster and the stage (default: a new one)")
	return c
}

func (p program) demo(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find folder: %w", err)
	}
	sample := samplecluster.New(samplecluster.Config{Seed: 1, Now: p.now()})
	objects := filepath.Join(dir, "cluster")
	if err := sample.WriteDir(objects); err != nil {
		return fmt.Errorf("write made-up cluster: %w", err)
	}
	receiver := segmenttest.New(segmenttest.Options{})
	address, stop, err := receiver.Start()
	if err != nil {
		return fmt.Errorf("start receiver: %w", err)
	}
	defer stop()

	// The demo is the command that anyone can type; only the receiver is its own.
	stageURL := "file://" + filepath.Join(dir, "stage")
	args := []string{
		"run", "--source", "dir:" + objects, "--cluster-id", sample.ID, "--since", "192h",
		"--konflux-version", sample.KonfluxVersion, "--kubernetes-version", sample.KubernetesVersion, "--stage", stageURL,
	}
	var out bytes.Buffer
	inner := p
	inner.stdout = &out
	inner.getenv = func(name string) (string, bool) {
		value, ok := map[string]string{
			"SEGMENT_WRITE_KEY": segmenttest.Key, "SEGMENT_BATCH_API": address, "SEGMENT_BRIDGE_LOG_LEVEL": "warn",
		}[name]
		return value, ok
	}
	if code := inner.run(ctx, args); code != cli.ExitDone {
		return fmt.Errorf("the run ended with exit code %d: %s", code, out.Bytes())
	}
	var s summary
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		return fmt.Errorf("read summary: %w", err)
	}
	events := receiver.Events()
	if s.Staged == nil || len(events) == 0 {
		return fmt.Errorf("the receiver got nothing: %s", out.Bytes())
	}
	return p.showDemo(demoResult{sample: sample, dir: dir, stageURL: stageURL, summary: s, event: events[0].Raw, received: len(events)})
}

// demoResult is what the demo has to show.
type demoResult struct {
	sample        *samplecluster.Cluster
	dir, stageURL string
	summary       summary
	event         []byte
	received      int
}

func (p program) showDemo(d demoResult) error {
	names, err := telemetry.NewPseudonymizer(d.sample.ID)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	source := d.summary.Sources[0]
	fmt.Fprintf(w, "A made-up cluster of %d tenants was read: %d objects, %s of JSON, in %.2f s.\n\n",
		len(d.sample.Tenants), source.Objects, megabytes(source.Bytes), source.Seconds)

	fmt.Fprintln(w, "WHAT WAS COLLECTED")
	for _, name := range slices.Sorted(maps.Keys(d.summary.Staged.ByName)) {
		fmt.Fprintf(w, "  %s\t%d\n", name, d.summary.Staged.ByName[name])
	}
	fmt.Fprintf(w, "  read twice, kept once\t%d\n", d.summary.Staged.Duplicates)
	fmt.Fprintf(w, "  received by the destination\t%d\n\n", d.received)

	fmt.Fprintln(w, "WHAT EACH NAME BECAME")
	row := func(kind, name string, p telemetry.Pseudonym) { fmt.Fprintf(w, "  %s\t%s\t-> %s\n", kind, name, p) }
	for _, tenant := range d.sample.Tenants[:4] {
		row("namespace", tenant.Name, names.Namespace([]byte(tenant.Name)))
	}
	for _, c := range d.sample.Components[:3] {
		row("component", c.Name, names.Component([]byte(c.Name), []byte(c.Namespace)))
		row("application", c.Application, names.Application([]byte(c.Application), []byte(c.Namespace)))
	}
	for run := range d.sample.Runs() {
		if run.Sender != "" {
			row("user", run.Sender, names.User([]byte(run.Sender)))
			break
		}
	}
	fmt.Fprintln(w, "  Repositories, commits, parameters, annotations and messages are not read at all.")

	fmt.Fprintf(w, "\nONE EVENT, AS IT WAS STAGED AND SENT\n  %s\n", d.event)
	fmt.Fprintf(w, "\nWHERE THE FILES ARE\n  the made-up cluster\t%s\n  the stage: Parquet, manifests, receipts\t%s\n",
		filepath.Join(d.dir, "cluster"), filepath.Join(d.dir, "stage"))
	fmt.Fprintf(w, "\nWHAT TO TRY NEXT\n"+
		"  see the plan, every event and the reason for each property:\n    go run ./cmd/segment-bridge plan\n"+
		"  print what would be sent to another destination, and send nothing:\n    go run ./cmd/segment-bridge load --stage %s --destination file:events.ndjson --dry-run\n"+
		"  deliver the same batch to a file:\n    go run ./cmd/segment-bridge load --stage %[1]s --destination file:events.ndjson\n", d.stageURL)
	return w.Flush()
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
