// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

func (p program) planCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "plan",
		Short: "Print the tracking plan: every event and property that may leave, and why",
		RunE: func(*cobra.Command, []string) error {
			plan := catalogue.Plan()
			text := map[string]func() []byte{"markdown": plan.Markdown, "jsonschema": plan.JSONSchema, "json": plan.JSON}[format]
			if text == nil {
				return usagef("--format %q is not known: use markdown, jsonschema or json", format)
			}
			_, err := p.stdout.Write(text())
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "markdown", "markdown, jsonschema or json")
	return c
}
