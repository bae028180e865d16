// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/internal/cli"
)

// operatorProgram is a program of its own, so that the job, which runs every hour on every cluster, is a small one.
const operatorProgram = "segment-bridge-operator"

func (p program) operatorCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "operator",
		Short:              "Install and watch over the job in a cluster (runs " + operatorProgram + ")",
		Long:               `operator becomes the program ` + operatorProgram + `, which lies beside this one or in PATH, with the same arguments.`,
		DisableFlagParsing: true, // they are the other program's
		Args:               cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := findOperator()
			if err != nil {
				return err
			}
			return p.exec(path, append([]string{path}, args...), os.Environ())
		},
	}
}

// findOperator returns the path of the operator's program.
func findOperator() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	for _, candidate := range []string{filepath.Join(filepath.Dir(self), operatorProgram), operatorProgram} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", cli.Usagef("%s is neither beside this program nor in PATH: build it with `make build`, or run the image %s:%s", operatorProgram, operatorProgram, cli.Version)
}
