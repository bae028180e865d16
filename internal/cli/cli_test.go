// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// sample is a program with a flag of each kind. Its command "end" returns err.
func sample(stdout, stderr io.Writer, env map[string]string, err error) *cobra.Command {
	root := &cobra.Command{Use: "sample"}
	end := &cobra.Command{Use: "end", RunE: func(c *cobra.Command, _ []string) error {
		log, logErr := Logger(c)
		if logErr != nil {
			return logErr
		}
		stage, _ := c.Flags().GetString("stage")
		rate, _ := c.Flags().GetInt("rate")
		sources, _ := c.Flags().GetStringSlice("source")
		log.Info("ended", slog.String("stage", stage), slog.Int("rate", rate), slog.Any("sources", sources))
		return err
	}}
	f := end.Flags()
	f.String("stage", "", "")
	f.Int("rate", 0, "")
	f.Bool("strict", false, "")
	f.Duration("patience", 0, "")
	f.StringSlice("source", nil, "")
	root.AddCommand(Required(end, "stage"))
	return Prepare(root, stdout, stderr, func(name string) (string, bool) { value, ok := env[name]; return value, ok })
}

type codedError struct{}

func (codedError) Error() string { return "odd" }
func (codedError) ExitCode() int { return 7 }

func TestExecute(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		env  map[string]string
		err  error
		code int
		says string
	}{
		"done":                   {args: []string{"end", "--stage=x"}, says: `"stage":"x"`},
		"from the environment":   {args: []string{"end"}, env: map[string]string{"SEGMENT_BRIDGE_STAGE": "y"}, says: `"stage":"y"`},
		"failed":                 {args: []string{"end", "--stage=x"}, err: errors.New("it broke"), code: ExitFailed, says: `"msg":"ended with an error","error":"it broke"`},
		"failed, as text":        {args: []string{"end", "--stage=x", "--log-format=text"}, err: errors.New("it broke"), code: ExitFailed, says: "sample: it broke\n"},
		"a mistake":              {args: []string{"end", "--stage=x"}, err: fmt.Errorf("a: %w", Usagef("b")), code: ExitUsage, says: `"error":"a: b"`},
		"a code of its own":      {args: []string{"end", "--stage=x"}, err: fmt.Errorf("a: %w", codedError{}), code: 7, says: `"error":"a: odd"`},
		"an unknown flag":        {args: []string{"end", "--no"}, code: ExitUsage, says: "see sample end --help"},
		"an argument":            {args: []string{"end", "x"}, code: ExitUsage, says: "takes no arguments"},
		"a flag that is missing": {args: []string{"end"}, code: ExitUsage, says: "--stage is required, environment variable SEGMENT_BRIDGE_STAGE"},
		"an unknown level":       {args: []string{"end", "--stage=x", "--log-level=loud"}, code: ExitUsage, says: "use debug, info"},
		"an unknown format":      {args: []string{"end", "--stage=x", "--log-format=xml"}, code: ExitUsage, says: "use text or json"},
		"as text":                {args: []string{"end", "--stage=x", "--log-format=text"}, says: "stage=x"},
		"less":                   {args: []string{"end", "--stage=x", "--log-level=error"}},
		"version":                {args: []string{"version"}, says: "sample dev (commit unknown)"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := Execute(t.Context(), sample(&out, &out, test.env, test.err), test.args); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.Contains(out.String(), test.says) || (test.says == "") != (out.Len() == 0) {
				t.Errorf("it says %q, want %q", out.String(), test.says)
			}
		})
	}
}

func TestConfigurationFile(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		code int
		says string
	}{
		"all of it":        {text: "stage: x\nrate: 1000000\nsource: [a, b]\nstrict: true\n", says: `"stage":"x","rate":1000000,"sources":["a","b"]`},
		"an unknown key":   {text: "stages: x\n", code: ExitUsage, says: `unknown key \"stages\"`},
		"a mapping inside": {text: "stage: {url: x}\n", code: ExitUsage, says: `the value of \"stage\"`},
		"a list":           {text: "- stage\n", code: ExitUsage, says: "not a YAML mapping"},
		"a wrong value":    {text: "stage: x\nrate: hunter2\n", code: ExitUsage, says: "configuration file: not a valid value for rate (a int)"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			code := Execute(t.Context(), sample(&out, &out, nil, nil), []string{"end", "--config", file})
			if code != test.code || !strings.Contains(out.String(), test.says) || strings.Contains(out.String(), "hunter2") {
				t.Errorf("exit code %d, want %d; it says %q, want %q", code, test.code, out.String(), test.says)
			}
		})
	}
}

// A value in the configuration file may be a secret: no error repeats one. What is
// read has known keys alone, and a flag takes each value or refuses it.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{
		"stage: file:///tmp/stage\nsource: [kube, results]\nrate: 1000\nstrict: true\n",
		"stage: hunter2hunter2\nno-such-key: hunter2hunter2\n", "rate: {a: b}\n", "- rate\n", "rate: 1\nrate: 2\n",
		"rate: 2026-01-01\npatience: 1e400\n", "a: &a [*a]\n", "rate: 0x7fffffffffffffffff\n", "\"\\u0000\": ~\n", "rate: !!binary aGk=\n",
	} {
		f.Add([]byte(text))
	}
	root := sample(io.Discard, io.Discard, nil, nil)
	known := flagNames(root)
	f.Fuzz(func(t *testing.T, text []byte) {
		config, err := parseConfig(text, known)
		if err != nil {
			if !errors.As(err, new(UsageError)) || strings.Contains(err.Error(), "hunter2hunter2") && !strings.Contains(string(text), "hunter2hunter2:") {
				t.Errorf("error is %v", err)
			}
			return
		}
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
