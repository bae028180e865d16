// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

func (p program) planCommand() *cobra.Command {
	var format, old string
	c := &cobra.Command{
		Use:   "plan",
		Short: "Print the tracking plan: every event and property that may leave, and why",
		RunE: func(c *cobra.Command, _ []string) error {
			plan := catalogue.Plan()
			if old != "" {
				if c.Flags().Changed("format") {
					return cli.Usagef("--format is for the plan itself: leave it out with --diff")
				}
				return p.diff(plan, old)
			}
			text := map[string]func() []byte{"markdown": plan.Markdown, "jsonschema": plan.JSONSchema, "json": plan.JSON}[format]
			if text == nil {
				return cli.Usagef("--format %q is not known: use markdown, jsonschema or json", format)
			}
			_, err := p.stdout.Write(text())
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "markdown", "markdown, jsonschema or json")
	c.Flags().StringVar(&old, "diff", "", "print instead what changed since `OLD`, a file that plan --format json wrote with another release")
	return c
}

// diff prints what plan has that the plan in the file has not, and what else differs.
func (p program) diff(plan *telemetry.Plan, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return cli.Usagef("--diff: the file cannot be read: write it with plan --format json")
	}
	old, err := telemetry.ParsePlan(data)
	if err != nil {
		return cli.Usagef("--diff: %w", err)
	}
	_, err = p.stdout.Write(plan.DiffMarkdown(old))
	return err
}
