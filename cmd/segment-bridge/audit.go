// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// auditFlags choose what to audit, and what to look for.
type auditFlags struct {
	place        stageFlags
	format       string
	names        string
	cluster      string
	since, until instant
	k            int
	guess        guessFlags
	html, serve  string
}

// guessFlags are a name whose pseudonyms are looked for.
type guessFlags struct {
	name, kind, clusterID, keyFile string
}

// errFindings says that the stage is not as it should be.
var errFindings = errors.New("the stage is not as it should be")

func (p program) auditCommand() *cobra.Command {
	a := auditFlags{since: instant{now: p.now}, until: instant{now: p.now}}
	c := &cobra.Command{
		Use:   "audit",
		Short: "Say what a stage holds, check all of it, and search it for names",
		Long: `audit reads a stage and says what left the cluster, when, and to whom; it checks every object and every value against the
format and the tracking plan, and searches all of it for names. It needs the right to read the bucket and nothing else, and
changes nothing. Objects that are younger than a day may be unfinished, and are no finding.

--names takes a file with names, one a line, and searches keys, manifests, receipts and every column for them, as they are and in
base64, hexadecimal, percent-encoding and JSON escapes. The report tells a name by its line, and never repeats it.

--reproduce takes one name, and says what it becomes and where that occurs: a namespace or user as it is, a component or
application as NAMESPACE/NAME. It needs --cluster-id and, where names are hidden under a key, --pseudonym-key-file.

--html writes the report as a page for people too: one file that loads nothing, with charts, the plan, and an event of each sort as
it was sent. --serve serves that page, and one for each batch, to browsers on this machine, until Ctrl-C; --serve=HOST:PORT says where.

Exit codes: 0 nothing was found; 1 something was, or the stage is empty or could not be read; 2 wrong usage.`,
		Example: `  segment-bridge audit --stage file:///tmp/stage --names names.txt
  segment-bridge audit --stage file:///tmp/stage --reproduce team-a --cluster-id 0b1f --format json
  segment-bridge audit --stage file:///tmp/stage --html report.html`,
		RunE: func(c *cobra.Command, _ []string) error { return p.audit(c, &a) },
	}
	a.register(c.Flags())
	return cli.Required(c, "stage")
}

func (a *auditFlags) register(f *pflag.FlagSet) {
	a.place.register(f)
	f.StringVar(&a.format, "format", "text", "text or json")
	f.StringVar(&a.html, "html", "", "file to write the report to as a page")
	f.StringVar(&a.serve, "serve", "", "serve the report and each batch as pages, at this address")
	f.Lookup("serve").NoOptDefVal = "127.0.0.1:0"
	f.StringVar(&a.names, "names", "", "file with names to search for, one a line; - is standard input")
	f.StringVar(&a.cluster, "cluster", "", "audit one cluster alone, by its pseudonym")
	f.Var(&a.since, "since", "audit batches whose window ends after this time: RFC 3339, a day, or a span before now such as 24h")
	f.Var(&a.until, "until", "audit batches whose window begins before this time")
	f.IntVar(&a.k, "k", 5, "list groups of fewer events, or namespaces, than this")
	f.StringVar(&a.guess.name, "reproduce", "", "say what this name becomes, and where that occurs")
	f.StringVar(&a.guess.kind, "kind", "", "what the name is of: namespace, user, component or application (default: what it may be)")
	f.StringVar(&a.guess.clusterID, "cluster-id", "", "ID of the cluster, for --reproduce (env CLUSTER_ID)")
	f.StringVar(&a.guess.keyFile, "pseudonym-key-file", "", "file with the secret key of the pseudonyms, for --reproduce")
}

func (p program) audit(c *cobra.Command, a *auditFlags) error {
	if a.format != "text" && a.format != "json" {
		return cli.Usagef("--format %q is not known: use text or json", a.format)
	}
	o := audit.Options{
		Plan: catalogue.Plan(), Library: library(), Now: p.now(), Range: stage.Range{Since: a.since.time, Until: a.until.time},
		K: a.k, WorkDir: a.place.workDir,
	}
	var err error
	switch {
	case a.k < 1:
		return cli.Usagef("--k is less than 1")
	case !a.since.time.IsZero() && !a.until.time.IsZero() && !a.since.time.Before(a.until.time):
		return cli.Usagef("--since is not before --until")
	case a.serve != "" && !strings.Contains(a.serve, ":"):
		return cli.Usagef("--serve=%s is no address: give HOST:PORT", a.serve)
	case a.cluster != "" && o.Range.Cluster.UnmarshalText([]byte(a.cluster)) != nil:
		return cli.Usagef("--cluster is not a pseudonym: give the 12 digits that stand in the keys of the stage")
	}
	if o.Names, err = readNames(a.names, c.InOrStdin()); err != nil {
		return err
	}
	if o.Guesses, err = a.guess.guesses(); err != nil {
		return err
	}
	bucket, err := a.place.bucket(c.Context())
	if err != nil {
		return err
	}
	if cli.IsTerminal(p.stderr) {
		bar := progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(p.stderr), progressbar.OptionSetDescription("audit"),
			progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish(),
		)
		defer bar.Close()
		o.Progress = func(done, total int64) {
			bar.ChangeMax64(total)
			_ = bar.Set64(done)
		}
	}
	report, err := audit.Run(c.Context(), bucket, o)
	if err != nil {
		return err
	}
	if report.Totals.Objects == 0 && a.guess.name == "" {
		// Who mistypes an address must not be told that all is well. What a name becomes is said anywhere.
		return errors.New("nothing is staged there: check --stage, and whether the credentials may list the bucket")
	}
	write := report.WriteText
	if a.format == "json" {
		write = report.WriteJSON
	}
	if err := write(p.stdout); err != nil {
		return err
	}
	if a.html != "" {
		if err := writePage(a.html, report); err != nil {
			return err
		}
	}
	if a.serve != "" {
		if err := p.servePages(c, a.serve, report, bucket, stage.Options{Plan: o.Plan, Library: o.Library, WorkDir: o.WorkDir}); err != nil {
			return err
		}
	}
	if !report.Clean {
		return fmt.Errorf("%w: %d findings", errFindings, report.FindingsTotal)
	}
	return nil
}

// readNames reads names, one a line.
func readNames(file string, stdin io.Reader) ([]string, error) {
	var (
		text []byte
		err  error
	)
	switch file {
	case "":
		return nil, nil
	case "-":
		text, err = io.ReadAll(stdin)
	default:
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, cli.Usagef("read names: %w", err)
	}
	lines := strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n")
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.TrimSpace(line) != "" }) {
		return nil, cli.Usagef("read names: there is none: give one name a line")
	}
	return lines, nil
}

// guesses returns what the name becomes, as each of the kinds that it may be of.
func (g *guessFlags) guesses() ([]audit.Guess, error) {
	if g.name == "" {
		return nil, nil
	}
	plain, err := telemetry.NewPseudonymizer(g.clusterID)
	if err != nil {
		return nil, cli.Usage(err)
	}
	schemes := []*telemetry.Pseudonymizer{plain}
	if g.keyFile != "" {
		key, err := os.ReadFile(g.keyFile)
		if err != nil {
			return nil, cli.Usagef("read pseudonym key: %w", err)
		}
		keyed, err := telemetry.NewKeyedPseudonymizer(g.clusterID, key)
		if err != nil {
			return nil, cli.Usage(err)
		}
		schemes = append(schemes, keyed)
	}
	guesses := []audit.Guess{{Label: "the cluster", Pseudonym: plain.Cluster()}}
	namespace, name, scoped := strings.Cut(g.name, "/")
	whole, outer, inner := []byte(g.name), []byte(namespace), []byte(name)
	for _, s := range schemes {
		for _, k := range []struct {
			kind   string
			likely bool // when no kind is given
			scoped bool
			become func() telemetry.Pseudonym
		}{
			{"namespace", !scoped, false, func() telemetry.Pseudonym { return s.Namespace(whole) }},
			{"user", !scoped, false, func() telemetry.Pseudonym { return s.User(whole) }},
			{"component", scoped, true, func() telemetry.Pseudonym { return s.Component(inner, outer) }},
			{"application", scoped, true, func() telemetry.Pseudonym { return s.Application(inner, outer) }},
		} {
			if k.kind != g.kind && (g.kind != "" || !k.likely) {
				continue
			}
			if k.scoped && !scoped {
				return nil, cli.Usagef("--kind %s needs the namespace too: --reproduce NAMESPACE/NAME", g.kind)
			}
			label := strings.TrimSpace(k.kind + ", " + string(s.Scheme()) + " " + s.KeyID())
			guesses = append(guesses, audit.Guess{Label: label, Pseudonym: k.become()})
		}
	}
	if len(guesses) == 1 {
		return nil, cli.Usagef("--kind %q is not known: use namespace, user, component or application", g.kind)
	}
	return guesses, nil
}
