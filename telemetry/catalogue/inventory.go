// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	_ "embed"
	"encoding/json"
	"slices"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// inventoryMetrics are the entries of what kube.Environment tells, with their outcomes. They
// are kept as a file, which a test holds to the providers, so that who needs the plan needs
// no client of the Kubernetes API.
//
//go:embed inventory.json
var inventoryMetrics []byte

// inventoryColumns are the metrics by which events are grouped and filtered most. The
// others are in the payload alone: a column costs each file some 200 bytes.
var inventoryColumns = []string{
	"platformDistribution", "platformCloud", "platformManager", "openShiftVersion", "nodeCount", "nodeArchitectures", "podCount", "serviceCount", "meshServiceShare",
}

// inventoryProperties are those of the event's own. A property that every event has, such
// as the version of Kubernetes, is not among them.
func inventoryProperties() []telemetry.PropertySpec {
	var specs []telemetry.PropertySpec
	if err := json.Unmarshal(inventoryMetrics, &specs); err != nil { // the test would have said so
		panic(err)
	}
	specs = slices.DeleteFunc(specs, func(s telemetry.PropertySpec) bool { return !InInventory(s.Name) })
	for i := range specs {
		specs[i].PayloadOnly = !slices.Contains(inventoryColumns, specs[i].Name)
	}
	return specs
}

// InInventory reports whether a property that the providers return is one of the event's
// own, and not one that every event has anyway.
func InInventory(name string) bool {
	return name != KubernetesVersion && name != KubernetesVersion+"Outcome"
}
