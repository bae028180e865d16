// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
)

// A value in the configuration file may be a secret: no error repeats one. What is
// read has known keys alone, and a flag takes each value or refuses it.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{
		"stage: file:///tmp/stage\nsource: [kube, results]\nrate: 1000\nsegment-gzip: true\n",
		"segment-write-key: hunter2hunter2\nno-such-key: hunter2hunter2\n", "rate: {a: b}\n", "- rate\n", "rate: 1\nrate: 2\n",
		"since: 2026-01-01\ntimeout: 1e400\n", "a: &a [*a]\n", "rate: 0x7fffffffffffffffff\n", "\"\\u0000\": ~\n", "rate: !!binary aGk=\n",
	} {
		f.Add([]byte(text))
	}
	p := program{stdout: io.Discard, stderr: io.Discard, now: time.Now, getenv: func(string) (string, bool) { return "", false }}
	known := flagNames(p.root())
	f.Fuzz(func(t *testing.T, text []byte) {
		config, err := parseConfig(text, known)
		if err != nil {
			if !errors.As(err, new(usageError)) || strings.Contains(err.Error(), "hunter2hunter2") && !strings.Contains(string(text), "hunter2hunter2:") {
				t.Errorf("error is %v", err)
			}
			return
		}
		root := p.root()
		for key, values := range config {
			if !slices.Contains(known, key) {
				t.Errorf("key %q is read", key)
			}
			for _, c := range root.Commands() {
				if flag := c.Flags().Lookup(key); flag != nil {
					for _, value := range values {
						_ = flag.Value.Set(value)
						_ = flag.Value.String()
					}
				}
			}
		}
	})
}

// Whatever --destination and --source say, something opens or the usage is wrong; a
// dry run touches nothing.
func FuzzDestination(f *testing.F) {
	for _, value := range []string{"segment", "splunk", "kong", "stdout", "file:/tmp/events.ndjson", "file:", "file:a/../b\x00", "dir:x", "kube", ":", "segment:x", "file:" + strings.Repeat("x", 300)} {
		f.Add(value, "https://api.example/v1/batch")
		f.Add(value, "http://u:p@[::1]:99999/%zz")
	}
	p := program{stdout: io.Discard, stderr: io.Discard, now: time.Now}
	log := slog.New(slog.DiscardHandler)
	f.Fuzz(func(t *testing.T, value, url string) {
		flags := destinationFlags{url: url, dryRun: true}
		flags.network.splunk.URL, flags.network.kong.Address = url, url
		destination, err := p.openDestination(value, load.NewSecret("0123456789abcdefghijABCDEFGHIJ01"), &flags, log)
		if err != nil && !errors.As(err, new(usageError)) {
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
		if (err == nil) != (len(selected) == 1) || err != nil && !errors.As(err, new(usageError)) {
			t.Errorf("sources are %v, %v", selected, err)
		}
		moment := instant{now: time.Now}
		if err := moment.Set(value); err == nil && (moment.time.IsZero() && moment.String() != "" || moment.time.Nanosecond() != 0) {
			t.Errorf("time is %v", moment.time)
		}
	})
}
