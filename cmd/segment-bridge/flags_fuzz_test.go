// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/load"
)

// A flag takes each value or refuses it.
func FuzzFlags(f *testing.F) {
	for _, value := range []string{"", "0x7fffffffffffffffff", "1e400", "-1", "true", "24h", "2026-01-01", "a,b", "\"a", "file:///tmp/stage", "\x00"} {
		f.Add(value)
	}
	p := program{stdout: io.Discard, stderr: io.Discard, now: time.Now, getenv: func(string) (string, bool) { return "", false }}
	f.Fuzz(func(_ *testing.T, value string) {
		for _, c := range p.root().Commands() {
			c.Flags().VisitAll(func(flag *pflag.Flag) {
				_ = flag.Value.Set(value)
				_ = flag.Value.String()
			})
		}
	})
}

// Whatever --destination and --source say, something opens or the usage is wrong; a
// dry run touches nothing.
func FuzzDestination(f *testing.F) {
	for _, value := range []string{"segment", "splunk", "otlp", "kong", "stdout", "file:/tmp/events.ndjson", "file:", "file:a/../b\x00", "dir:x", "kube", ":", "segment:x", "file:" + strings.Repeat("x", 300)} {
		f.Add(value, "https://api.example/v1/batch")
		f.Add(value, "http://u:p@[::1]:99999/%zz")
	}
	p := program{stdout: io.Discard, stderr: io.Discard, now: time.Now, getenv: func(string) (string, bool) { return "", false }}
	log := slog.New(slog.DiscardHandler)
	f.Fuzz(func(t *testing.T, value, url string) {
		flags := destinationFlags{url: url, dryRun: true}
		flags.network.splunk.URL, flags.network.kong.Address = url, url
		destination, err := p.openDestination(value, load.NewSecret("0123456789abcdefghijABCDEFGHIJ01"), &flags, log)
		if err != nil && !errors.As(err, new(cli.UsageError)) {
			t.Errorf("error is %v", err)
		}
		if err == nil {
			if name := destination.Name(); name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Errorf("its name is %q", name)
			}
			if err := destination.Close(); err != nil {
				t.Error(err)
			}
		}
		selected, err := parseSources([]string{value})
		if (err == nil) != (len(selected) == 1) || err != nil && !errors.As(err, new(cli.UsageError)) {
			t.Errorf("sources are %v, %v", selected, err)
		}
		moment := instant{now: time.Now}
		if err := moment.Set(value); err == nil && (moment.time.IsZero() && moment.String() != "" || moment.time.Nanosecond() != 0) {
			t.Errorf("time is %v", moment.time)
		}
	})
}
