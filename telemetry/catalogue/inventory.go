// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"slices"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// InventoryProviders returns what the bridge asks about the cluster as a whole: what its
// environment is, not what one product does in it. To know the metrics and the rights, c
// may be nil.
func InventoryProviders(c *kube.Client) []*kube.Provider {
	return []*kube.Provider{
		kube.Platform(c), kube.Versions(c), kube.Features(c), kube.Nodes(c), kube.Objects(c), kube.Services(c), kube.Fleet(c),
		kube.Mesh(c, kube.ServiceName{}), kube.Routes(c), kube.RouteRules(c), kube.Controllers(c), kube.Gateways(c), kube.LastChange(c),
	}
}

// inventoryColumns are the metrics by which events are grouped and filtered most. The
// others are in the payload alone: a column costs each file some 200 bytes.
var inventoryColumns = []string{
	"platformDistribution", "platformCloud", "platformManager", "openShiftVersion", "nodeCount", "nodeArchitectures", "podCount", "serviceCount", "meshServiceShare",
}

// inventoryProperties are those of the event's own. A property that every event has, such
// as the version of Kubernetes, is not among them.
func inventoryProperties() []telemetry.PropertySpec {
	var providers []telemetry.Provider
	for _, p := range InventoryProviders(nil) {
		providers = append(providers, p)
	}
	inventory, err := telemetry.NewInventory(0, providers...)
	if err != nil { // the providers' tests would have said so
		panic(err)
	}
	specs := slices.DeleteFunc(inventory.Properties(), func(s telemetry.PropertySpec) bool { return !InInventory(s.Name) })
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
