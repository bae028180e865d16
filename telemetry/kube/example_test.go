// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"fmt"
	"net/http"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// Each provider knows which rights it needs; a ClusterRole has those of all that are
// enabled, and no others.
func ExampleRules() {
	client, err := kube.NewClient(http.DefaultClient, "https://10.0.0.1:443", "acme-gateway")
	if err != nil {
		panic(err)
	}
	for _, rule := range kube.Rules(kube.Platform(client), kube.Objects(client), kube.Versions(client)) {
		fmt.Printf("%s %s of group %q %s\n", rule.Verbs, rule.Resources, rule.APIGroups[0], rule.ResourceNames)
	}
	// Output:
	// [list] [nodes pods services] of group "" []
	// [get] [clusterversions] of group "config.openshift.io" [version]
}
