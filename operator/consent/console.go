// SPDX-License-Identifier: Apache-2.0

package consent

import (
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// ConsoleKey is the key of the configuration in the console's ConfigMap console-config.
const ConsoleKey = "console-config.yaml"

// ReadConsole says whether the console with this configuration reports its usage, by [kube.ConsoleReports]. The error repeats
// nothing of the configuration.
func ReadConsole(configuration string) (bool, error) {
	var config struct {
		Telemetry map[string]any `json:"telemetry"`
	}
	if err := yaml.Unmarshal([]byte(configuration), &config); err != nil {
		return false, errors.New("read the console's configuration: it is not YAML with a map of telemetry")
	}
	settings := map[string]string{}
	for key, value := range config.Telemetry {
		if value != nil {
			settings[key] = fmt.Sprint(value)
		}
	}
	return kube.ConsoleReports(settings), nil
}
