// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/results"
	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// checkTimeout is how long one check may take, retries included.
const checkTimeout = 30 * time.Second

// A finding is what came of one check.
type finding struct {
	Check string `json:"check"`
	// Status is ok, note (it works, but not as well as it could) or fix.
	Status string `json:"status"`
	// Text says what was found or, for fix, what to do.
	Text string `json:"text"`
}

// A doctor checks all that a run needs. The zero doctor has found nothing yet.
type doctor struct {
	program  program
	sources  sourceFlags
	place    stageFlags
	targets  destinationFlags
	findings []finding
	toFix    int
	usage    bool // something to fix is in the configuration

	cluster telemetry.Pseudonym // zero until it is known
}

func (p program) doctorCommand() *cobra.Command {
	var format string
	d := &doctor{program: p}
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check configuration, rights and the store, and say what to fix",
		Long: `doctor takes the flags of run and checks all that a run needs: the configuration, whose cluster it is, the right to list each
kind of object, Tekton Results, the stage and what its store promises, and the shape of each destination's settings. It
changes nothing, but for small objects under v1/probe/ in the stage, which it removes, and it sends no event to a destination.

Exit codes: 0 a run would work; 1 something is to fix; 2 something is to fix in the configuration.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "text" && format != "json" {
				return cli.Usagef("--format %q is not known: use text or json", format)
			}
			d.examine(c.Context())
			if err := d.print(format); err != nil {
				return err
			}
			if d.toFix == 0 {
				return nil
			}
			err := fmt.Errorf("%d of %d checks found something to fix", d.toFix, len(d.findings))
			if d.usage {
				return cli.Usage(err)
			}
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text or json")
	d.sources.register(c.Flags())
	d.place.register(c.Flags())
	d.targets.register(c.Flags())
	return c
}

// found records what came of a check: text if err is nil.
func (d *doctor) found(check string, err error, format string, args ...any) {
	f := finding{check, "ok", fmt.Sprintf(format, args...)}
	if err != nil {
		f.Status, f.Text = "fix", err.Error()
		d.toFix++
		d.usage = d.usage || errors.As(err, new(cli.UsageError))
	}
	d.findings = append(d.findings, f)
}

func (d *doctor) note(check, text string) {
	d.findings = append(d.findings, finding{check, "note", text})
}

func (d *doctor) examine(ctx context.Context) {
	selected, err := parseSources(d.sources.sources)
	if err != nil {
		d.found("sources", err, "")
	} else {
		client, err := d.sources.client(selected)
		d.found("configuration", err, "flags, environment and file are understood")
		if err == nil {
			d.identity(ctx, client)
		}
		for _, s := range selected {
			d.source(ctx, client, s)
		}
	}
	d.stage(ctx)
	d.destinations(ctx)
}

// identity checks whose cluster it is, and that its names can be hidden.
func (d *doctor) identity(ctx context.Context, client *clusterClient) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var notes notes
	id, err := d.sources.identify(ctx, client, slog.New(&notes))
	var names *telemetry.Pseudonymizer
	if err == nil {
		names, err = d.sources.pseudonymizer(id)
	}
	if err != nil {
		d.found("identity", err, "")
		return
	}
	d.cluster = names.Cluster()
	d.found("identity", nil, "cluster %s, product version %s, Kubernetes version %s, names hidden by %s", d.cluster,
		cmp.Or(id.KonfluxVersion.String(), "not known"), cmp.Or(id.KubernetesVersion.String(), "not known"), names.Scheme())
	for _, text := range notes {
		d.note("identity", text)
	}
}

// source checks that a source can be read, by reading a little of it.
func (d *doctor) source(ctx context.Context, client *clusterClient, s selection) {
	names, err := telemetry.NewPseudonymizer("doctor") // what is read goes nowhere
	if err != nil {
		d.found("source "+s.kind, err, "")
		return
	}
	switch s.kind {
	case "kube":
		if client == nil {
			return // it is said why
		}
		for _, source := range client.Sources(names) {
			d.list(ctx, source)
		}
	case "inventory":
		if client != nil {
			d.inventory(ctx, client, names)
		}
	case "results":
		d.results(ctx, names)
	case "dir":
		_, err := os.Stat(s.path)
		if err != nil {
			err = cli.Usagef("read saved objects: the path of --source dir does not exist or may not be read")
		}
		d.found("source dir", err, "the path is there")
	}
}

// errEnough ends a list after its first object.
var errEnough = errors.New("enough")

// list checks the right to list, and that the answer is understood.
func (d *doctor) list(ctx context.Context, source extract.Source) {
	check := "source " + source.Name().String()
	ever := record.Window{Since: time.Unix(0, 0), Until: d.program.now().AddDate(1, 0, 0)}
	reports, err := extract.Run(ctx, []extract.Source{source}, ever, extract.Options{Timeout: checkTimeout},
		func(record.Record) error { return errEnough })
	switch {
	case errors.Is(err, errEnough):
		d.found(check, nil, "may be listed")
	case len(reports) != 1:
		d.found(check, err, "")
	case reports[0].Outcome == record.OutcomeAbsent:
		d.found(check, nil, "the kind is not installed in this cluster: there is nothing to read")
	case reports[0].Failed():
		d.found(check, errors.New(reports[0].Error), "")
	default:
		d.found(check, err, "may be listed; there are none")
	}
}

func (d *doctor) results(ctx context.Context, names *telemetry.Pseudonymizer) {
	const check = "source results"
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	config := d.sources.resultsSettings()
	source, err := results.New(config, names)
	if err != nil {
		d.found(check, cli.Usage(err), "")
		return
	}
	total, err := source.Check(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("list and count records: no answer within %s: check the address and the network policies", checkTimeout)
	}
	d.found(check, err, "records may be listed and counted; %d are of PipelineRuns", total)
	if config.Insecure {
		d.note(check, "its certificate is not verified, so the token goes to whoever answers: drop --results-insecure and set --results-ca-file")
	}
	if config.TokenFile == "" && d.sources.resultsToken.Reveal() == "" {
		d.note(check, "no token is sent: set --results-token-file unless the API takes everyone")
	}
}

// stage checks that the stage can be read and written, and what its store promises.
func (d *doctor) stage(ctx context.Context) {
	if d.place.url == "" {
		d.found("stage", cli.Usagef("--stage is required, environment variable SEGMENT_BRIDGE_STAGE"), "")
		return
	}
	bucket, err := d.place.bucket(ctx)
	if err != nil {
		d.found("stage", err, "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*checkTimeout)
	defer cancel()
	d.readable(ctx, bucket)
	found, err := stage.Probe(ctx, bucket)
	d.found("stage, writing", err, "objects may be written and read back")
	if err != nil {
		return
	}
	d.promise("stage, reading", found.ReadAfterWrite, "what is written is read at once",
		errors.New("what is written is not read at once: the store cannot be a stage; use another"))
	d.promise("stage, listing", found.ListOrder, "what is written is listed at once, in order",
		errors.New("what is written is not listed at once and in order: the store cannot be a stage; use another"))
	d.promise("stage, creating", found.CreateOnly, "of 32 writers of one key one wins", nil)
	d.promise("stage, replacing", found.IfMatch, "of 32 writers that replace one version one wins", nil)
	if !found.CreateOnly || !found.IfMatch {
		d.note("stage", "batches stay correct without conditional writes, but two loaders at the same time may deliver the same batch: run one at a time")
	}
	if !found.Delete {
		d.note("stage", "nothing can be deleted: small objects stay under v1/probe/, and nothing can expire")
	}
}

// readable reads what the next run reads after an outage, or lists the manifests of
// all clusters.
func (d *doctor) readable(ctx context.Context, bucket stage.Bucket) {
	const check = "stage, history"
	if d.cluster.IsZero() {
		for _, err := range bucket.List(ctx, "v1/manifests/", "") {
			if err != nil {
				d.found(check, err, "")
				return
			}
			break
		}
		d.found(check, nil, "may be listed")
		return
	}
	ledger := d.place.ledger(slog.New(slog.DiscardHandler), bucket)
	head, err := ledger.Head(ctx, d.cluster)
	if err != nil || head == nil {
		d.found(check, err, "may be listed; there is no batch of this cluster yet")
		return
	}
	now := d.program.now()
	damaged, err := ledger.Damage(ctx, d.cluster, record.Window{Since: now.Add(-defaultMaxLookback), Until: now})
	for _, damage := range damaged {
		d.found(check, errors.New(damage.String()), "")
	}
	if err != nil || len(damaged) == 0 {
		d.found(check, err, "the newest batch of this cluster ends at %s, and all of the last days are whole", head.Window.Until.Format(time.RFC3339))
	}
}

// promise records whether the store keeps a promise. It is a note if there is nothing
// to fix.
func (d *doctor) promise(check string, kept bool, text string, broken error) {
	switch {
	case kept:
		d.found(check, nil, "%s", text)
	case broken != nil:
		d.found(check, broken, "")
	default:
		d.note(check, "the store does not keep this promise: "+text)
	}
}

// destinations checks the settings of each destination, and asks those that can be asked. No event is sent.
func (d *doctor) destinations(ctx context.Context) {
	key, err := d.targets.key()
	if err != nil {
		d.found("destination", err, "")
		return
	}
	chosen := d.targets.destinations
	if len(chosen) == 0 && key.Reveal() != "" {
		chosen = []string{"segment"}
	}
	if len(chosen) == 0 {
		d.note("destination", "none is given, so events are staged and not delivered: set --destination or SEGMENT_WRITE_KEY")
	}
	for _, value := range chosen {
		kind, path, _ := strings.Cut(value, ":")
		var notes notes
		flags := d.targets
		flags.dryRun = kind == "file" || kind == "stdout" // a file is not made
		var text string
		destination, err := d.program.openDestination(value, key, &flags, slog.New(&notes))
		if err == nil {
			text, err = checkDestination(ctx, kind, destination)
			err = errors.Join(err, destination.Close())
		}
		if err == nil && kind == "file" {
			if _, statErr := os.Stat(filepath.Dir(path)); statErr != nil {
				err = cli.Usagef("open destination: the folder of the file is missing: create it")
			}
		}
		if err != nil || len(notes) == 0 {
			d.found("destination "+kind, err, "%s", text)
		}
		for _, note := range notes {
			d.note("destination "+kind, note)
		}
	}
}

// notes keeps the messages that are logged. It implements [slog.Handler].
type notes []string

func (n *notes) Enabled(context.Context, slog.Level) bool { return true }
func (n *notes) WithAttrs([]slog.Attr) slog.Handler       { return n }
func (n *notes) WithGroup(string) slog.Handler            { return n }
func (n *notes) Handle(_ context.Context, r slog.Record) error {
	*n = append(*n, r.Message)
	return nil
}

func (d *doctor) print(format string) error {
	if format == "json" {
		text, err := json.MarshalIndent(struct {
			Version string    `json:"version"`
			OK      bool      `json:"ok"`
			Checks  []finding `json:"checks"`
		}{cli.Version, d.toFix == 0, d.findings}, "", "  ")
		if err != nil {
			return fmt.Errorf("print findings: %w", err)
		}
		_, err = fmt.Fprintf(d.program.stdout, "%s\n", text)
		return err
	}
	w := tabwriter.NewWriter(d.program.stdout, 0, 0, 2, ' ', 0)
	for _, f := range d.findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Status, f.Check, strings.ReplaceAll(f.Text, "\n", "; "))
	}
	return w.Flush()
}
