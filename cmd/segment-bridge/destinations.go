// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/kongline"
	"github.com/segment-bridge/segment-bridge/load/otlp"
	"github.com/segment-bridge/segment-bridge/load/splunk"
)

// networkFlags are the settings of the destinations beside Segment that are servers.
type networkFlags struct {
	splunk          splunk.Options
	splunkToken     secret
	splunkTokenFile string
	kong            kongline.Options
}

func (n *networkFlags) register(f *pflag.FlagSet) {
	s := &n.splunk
	f.StringVar(&s.URL, "splunk-url", "", "Splunk's HTTP Event Collector, such as https://splunk.example:8088 (env SPLUNK_HEC_URL)")
	f.Var(&n.splunkToken, "splunk-token", "its token; set it by the environment variable SPLUNK_HEC_TOKEN, where others cannot see it")
	f.StringVar(&n.splunkTokenFile, "splunk-token-file", "", "file with the token")
	f.StringVar(&s.Index, "splunk-index", "", "index of the events (env SPLUNK_HEC_INDEX; default: that of the token)")
	f.StringVar(&s.Host, "splunk-host", "", "host of the events (default: the cluster's pseudonym)")
	f.StringVar(&s.Source, "splunk-source", "segment-bridge", "source of the events")
	f.StringVar(&s.SourceType, "splunk-sourcetype", "segment:track", "source type of the events")
	f.BoolVar(&s.Ack, "splunk-ack", false, "count events as delivered when the indexers have acknowledged them; it has to be enabled for the token")
	f.StringVar(&s.CAFile, "splunk-ca-file", "", "certificates that Splunk is verified with (default: the system's)")
	f.BoolVar(&s.Gzip, "splunk-gzip", false, "compress requests to Splunk")
	f.StringVar(&n.kong.Address, "kong-address", "", "host:port of a receiver of Kong's line format over TLS (env KONG_LINE_ADDRESS)")
	f.StringVar(&n.kong.CAFile, "kong-ca-file", "", "certificates that this receiver is verified with (default: the system's)")
}

// openNetwork opens the destinations that networkFlags are about.
func (p program) openNetwork(value string, flags *destinationFlags, log *slog.Logger) (load.Destination, error) {
	switch value {
	case "splunk":
		o := flags.network.splunk
		o.UserAgent, o.Patience, o.Logger = "segment-bridge/"+cli.Version, flags.patience, log
		if flags.dryRun {
			o.DryRun = p.stdout
		}
		o.Token = flags.network.splunkToken.Secret
		if file := flags.network.splunkTokenFile; file != "" {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, cli.Usagef("read Splunk token: %w", err)
			}
			o.Token = load.NewSecret(strings.TrimSpace(string(text)))
		}
		destination, err := splunk.New(o)
		if err != nil {
			return nil, cli.Usagef("%w (see --splunk-url and --splunk-token, environment variables SPLUNK_HEC_URL and SPLUNK_HEC_TOKEN)", err)
		}
		return destination, nil
	case "kong":
		o := flags.network.kong
		o.Patience, o.Logger = flags.patience, log
		if flags.dryRun {
			o.DryRun = p.stdout
		}
		destination, err := kongline.New(o)
		if err != nil {
			return nil, cli.Usagef("%w (see --kong-address, environment variable KONG_LINE_ADDRESS)", err)
		}
		return destination, nil
	case "otlp":
		o, err := otlp.Environment(func(name string) string { text, _ := p.getenv(name); return text })
		o.Version, o.Patience, o.Logger = cli.Version, flags.patience, log
		if flags.dryRun {
			o.DryRun, err = p.stdout, nil
		}
		if err != nil {
			return nil, cli.Usagef("%w", err)
		}
		destination, err := otlp.New(o)
		if err != nil {
			return nil, cli.Usagef("%w (see the variables OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS)", err)
		}
		return destination, nil
	default:
		return nil, cli.Usagef("--destination %q is not known: use segment, file:PATH or stdout, splunk, otlp or kong", value)
	}
}

// A checker is a destination that can be asked, without an event, whether it would take one.
type checker interface {
	Check(ctx context.Context) error
}

// checkDestination asks the destination, if it can be asked, and returns what to say when all is well.
func checkDestination(ctx context.Context, kind string, destination load.Destination) (text string, err error) {
	if c, ok := destination.(checker); ok {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		err = c.Check(ctx)
	}
	switch kind {
	case "segment":
		text = "key and address have the right shape. Whether the key is right no answer tells, not even 200: look at the source's debugger in Segment"
	case "splunk":
		text = "the server takes the token. Whether the index exists shows with the first events alone: Splunk answers 200 and drops them if it does not"
	case "otlp":
		text = "the collector takes log records. What becomes of them behind it nobody says"
	case "kong":
		text = "the receiver is there and its certificate is trusted. It never says whether it stored what it was sent"
	default:
		text = "the settings are in order"
	}
	return text, err
}
