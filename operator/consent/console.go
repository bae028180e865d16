// SPDX-License-Identifier: Apache-2.0

package consent

import (
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"
)

// ConsoleKey is the key of the configuration in the console's ConfigMap console-config.
const ConsoleKey = "console-config.yaml"

// ReadConsole says whether the console with this configuration reports its usage: it has a key to report under, nothing
// disables it, and people need not agree first. The error repeats nothing of the configuration.
func ReadConsole(configuration string) (bool, error) {
	var config struct {
		Telemetry map[string]any `json:"telemetry"`
	}
	if err := yaml.Unmarshal([]byte(configuration), &config); err != nil {
		return false, errors.New("read the console's configuration: it is not YAML with a map of telemetry")
	}
	is := func(key, value string) bool { v, ok := config.Telemetry[key]; return ok && fmt.Sprint(v) == value }
	filled := func(key string) bool { v, ok := config.Telemetry[key]; return ok && v != nil && v != "" }
	switch {
	case is("DISABLED", "true"), is("DEVSANDBOX_DISABLED", "true"), is("TELEMETER_CLIENT_DISABLED", "true"):
		return false, nil
	case filled("STATE") && !is("STATE", "OPT-OUT") && !is("STATE", "ENFORCE"):
		return false, nil // DISABLED; OPT-IN, for nobody is asked here; or a state not known to mean yes
	default:
		return filled("SEGMENT_API_KEY") || filled("SEGMENT_PUBLIC_API_KEY") ||
			is("DEVSANDBOX", "true") && filled("DEVSANDBOX_SEGMENT_API_KEY"), nil
	}
}
