// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// The environment variables that set a flag. Existing deployments use these names.
var variables = map[string]string{
	"cluster-id":         "CLUSTER_ID",
	"konflux-version":    "KONFLUX_VERSION",
	"kubernetes-version": "KUBERNETES_VERSION",
	"results-address":    "TEKTON_RESULTS_API_ADDR",
	"results-namespace":  "TEKTON_NAMESPACE",
	"results-token-file": "SA_TOKEN_PATH",
	"segment-url":        "SEGMENT_BATCH_API",
	"stage":              "SEGMENT_BRIDGE_STAGE",
	"pseudonym-key-file": "SEGMENT_BRIDGE_PSEUDONYM_KEY_FILE",
	"segment-write-key":  "SEGMENT_WRITE_KEY",
	"results-token":      "TEKTON_RESULTS_TOKEN",
	"log-level":          "SEGMENT_BRIDGE_LOG_LEVEL",
	"destination":        "SEGMENT_BRIDGE_DESTINATION",
	"splunk-url":         "SPLUNK_HEC_URL",
	"splunk-token":       "SPLUNK_HEC_TOKEN",
	"splunk-index":       "SPLUNK_HEC_INDEX",
	"kong-address":       "KONG_LINE_ADDRESS",
	"image":              "SEGMENT_BRIDGE_IMAGE",
	"shard-index":        "JOB_COMPLETION_INDEX", // set by Kubernetes in the pods of an Indexed Job
}

// Settle gives each flag that was not set on the command line its value from the
// environment or from the configuration file, in this order.
func Settle(c *cobra.Command, getenv func(string) (string, bool)) error {
	file, err := readConfig(c)
	if err != nil {
		return err
	}
	var errs []error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			return
		}
		origin, values := "configuration file", file[f.Name]
		if name, ok := variables[f.Name]; ok {
			if value, ok := getenv(name); ok && value != "" {
				origin, values = "environment variable "+name, []string{value}
			}
		}
		for _, value := range values {
			if err := c.Flags().Set(f.Name, value); err != nil {
				// The value may be a secret or a name: it is not repeated.
				errs = append(errs, fmt.Errorf("%s: not a valid value for %s (a %s)", origin, f.Name, f.Value.Type()))
			}
		}
	})
	if len(errs) > 0 {
		return Usage(errors.Join(errs...))
	}
	return nil
}

// readConfig reads the configuration file into the values of each flag. One file
// may serve several commands: a key has to be a flag of any of them.
func readConfig(c *cobra.Command) (map[string][]string, error) {
	path, _ := c.Flags().GetString("config")
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, Usagef("read configuration file: %w", err)
	}
	return parseConfig(text, flagNames(c.Root()))
}

// parseConfig reads a YAML mapping from flag names to a value or a list of values.
func parseConfig(text []byte, known []string) (map[string][]string, error) {
	var raw map[string]any
	if err := yaml.UnmarshalStrict(text, &raw); err != nil {
		return nil, Usagef("read configuration file: it is not a YAML mapping of flag names to values")
	}
	config := make(map[string][]string, len(raw))
	var errs []error
	for key, value := range raw {
		if !slices.Contains(known, key) {
			errs = append(errs, fmt.Errorf("configuration file: unknown key %q: use the name of a flag without its dashes", key))
			continue
		}
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		for _, item := range list {
			switch item.(type) {
			case string, bool, float64:
				config[key] = append(config[key], scalar(item))
			default:
				errs = append(errs, fmt.Errorf("configuration file: the value of %q is neither a word, a number, a truth nor a list of them", key))
			}
		}
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, Usage(errors.Join(errs...))
	}
	return config, nil
}

// flagNames returns the names of the flags of all commands, but for --config.
func flagNames(root *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) {
		if f.Name != "config" && f.Name != "help" {
			names = append(names, f.Name)
		}
	}
	root.PersistentFlags().VisitAll(add)
	root.Flags().VisitAll(add)
	for _, c := range root.Commands() {
		c.Flags().VisitAll(add)
	}
	return names
}

// scalar writes a value as a flag takes it; a number in full, without exponent.
func scalar(value any) string {
	if number, ok := value.(float64); ok {
		return strconv.FormatFloat(number, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

// Required makes the command refuse to run while one of the flags has no value,
// wherever the value may come from.
func Required(c *cobra.Command, flags ...string) *cobra.Command {
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		for _, name := range flags {
			if f := c.Flags().Lookup(name); !f.Changed || f.Value.String() == "" || f.Value.String() == "[]" {
				also := ""
				if variable, ok := variables[name]; ok {
					also = ", environment variable " + variable
				}
				return Usagef("--%s is required%s (see %s --help)", name, also, c.CommandPath())
			}
		}
		return nil
	}
	return c
}
