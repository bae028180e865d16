// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"runtime"
	"slices"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

func TestCounting(t *testing.T) {
	tests := map[string]struct {
		pods     int
		vague    string
		expire   int
		want     string
		requests int // of pods
	}{
		"none":                              {0, "", 0, "0", 1},
		"one":                               {1, "", 0, "1", 1},
		"two":                               {2, "", 0, "2", 1},
		"many":                              {50_000, "", 0, "50000", 1},
		"the rest is not said":              {1_234, "omitted", 0, "1234", 1 + 3},
		"the rest is said to be nothing":    {1_234, "zero", 0, "1234", 1 + 3},
		"the list gets too old":             {1_234, "omitted", 1, "1234", 1 + 2 + 3},
		"the list gets too old all again":   {1_234, "omitted", 2, "", 1 + 2 + 2},
		"the rest is not said, a full page": {500, "omitted", 0, "500", 1 + 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &cluster{generated: map[string]int{"/api/v1/pods": tt.pods}, lists: map[string][]string{"/api/v1/services": nil}, vague: tt.vague, expire: tt.expire}
			want := map[string]string{"podCount": tt.want, "serviceCount": "0"}
			if tt.want == "" {
				want["podCountOutcome"] = "error"
			}
			expect(t, collect(t, kube.Objects(c.client(t))), want)
			c.requests = slices.DeleteFunc(c.requests, func(r string) bool { return len(r) < 14 || r[:13] != "/api/v1/pods?" })
			if len(c.requests) != tt.requests {
				t.Errorf("%d requests, want %d: %v", len(c.requests), tt.requests, c.requests)
			}
		})
	}
}

// Pages are read object by object: what is held does not grow with the cluster.
func TestCountingHoldsLittle(t *testing.T) {
	c := &cluster{generated: map[string]int{"/api/v1/pods": 50_000}, vague: "omitted"}
	provider := kube.Objects(c.client(t))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	expect(t, collect(t, provider), map[string]string{"podCount": "50000"})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if len(c.requests) > 110 {
		t.Errorf("%d requests, want about a hundred pages", len(c.requests))
	}
	// Never freed would be more than 50,000 objects of 80 bytes; what the garbage
	// collector leaves to itself is counted by its goal.
	if grown := int64(after.NextGC) - int64(before.NextGC); grown > 4<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
}

func TestEveryKindHasAnOutcomeOfItsOwn(t *testing.T) {
	c := &cluster{
		lists: map[string][]string{
			"/apis/gateway.networking.k8s.io/v1/httproutes":           times(3, "{}"),
			"/apis/gateway.networking.k8s.io/v1/grpcroutes":           nil,
			"/apis/gateway.networking.k8s.io/v1/tlsroutes":            times(2, "{}"),
			"/apis/gateway.networking.k8s.io/v1alpha2/tcproutes":      times(1, "{}"),
			"/apis/gateway.networking.k8s.io/v1beta1/referencegrants": times(4, "{}"),
			"/apis/networking.k8s.io/v1/ingresses":                    times(5, "{}"),
			"/apis/configuration.konghq.com/v7/tcpingresses":          times(6, "{}"),
		},
		status: map[string]int{"/apis/networking.k8s.io/v1/ingresses": 403},
	}
	expect(t, collect(t, kube.Routes(c.client(t))), map[string]string{
		"httpRouteCount": "3", "httpRouteVersion": "v1", "httpRouteCountOutcome": "",
		"grpcRouteCount": "0", "grpcRouteVersion": "v1", // served, and not used
		"tlsRouteCount": "2", "tlsRouteVersion": "v1", // v1alpha2 is not served any more
		"tcpRouteCount": "1", "tcpRouteVersion": "v1alpha2",
		"udpRouteCount": "", "udpRouteCountOutcome": "absent", "udpRouteVersionOutcome": "absent",
		"referenceGrantCount": "4", "referenceGrantVersion": "v1beta1",
		"ingressCount": "", "ingressCountOutcome": "forbidden", "ingressVersion": "v1",
		"kongTcpIngressCount": "6", "kongTcpIngressVersion": "other",
		"knativeIngressCountOutcome": "absent",
	})
	c.status = map[string]int{"/apis": 403}
	expect(t, collect(t, kube.Fleet(c.client(t))), map[string]string{"fleetRancherCount": "", "fleetRancherCountOutcome": "forbidden"})
	c.status = map[string]int{"/apis/gateway.networking.k8s.io/v1": 503}
	expect(t, collect(t, kube.Routes(c.client(t))), map[string]string{"httpRouteCountOutcome": "error", "ingressCount": "5"})
}

func TestFleet(t *testing.T) {
	c := &cluster{lists: map[string][]string{
		"/apis/cluster.x-k8s.io/v1beta2/clusters":                            times(7, "{}"),
		"/apis/cluster.open-cluster-management.io/v1/managedclusters":        times(2, "{}"),
		"/apis/configuration.konghq.com/v1/kongconsumers":                    times(9, "{}"),
		"/apis/gateway-operator.konghq.com/v1alpha1/kongplugininstallations": times(1, "{}"),
		"/apis/gateway-operator.konghq.com/v2beta1/controlplanes":            times(1, "{}"),
	}}
	expect(t, collect(t, kube.Fleet(c.client(t))), map[string]string{
		"fleetClusterApiCount": "7", "fleetOpenClusterManagementCount": "2", "fleetRancherCountOutcome": "absent", "fleetMemberOutcome": "absent",
	})
	const properties = "/apis/about.k8s.io/v1beta1/clusterproperties"
	c.lists[properties], c.status = nil, map[string]int{}
	expect(t, collect(t, kube.Fleet(c.client(t))), map[string]string{"fleetMember": "false"})
	c.objects = map[string]string{properties + "/clusterset.k8s.io": `{"spec":{"value":"secret-name"}}`}
	expect(t, collect(t, kube.Fleet(c.client(t))), map[string]string{"fleetMember": "true", "fleetClusterApiCount": "7"})
	c.status[properties+"/clusterset.k8s.io"] = 403
	expect(t, collect(t, kube.Fleet(c.client(t))), map[string]string{"fleetMemberOutcome": "forbidden", "fleetClusterApiCount": "7"})
	expect(t, collect(t, kube.Kong(c.client(t))), map[string]string{
		"kongConsumerCount": "9", "kongPluginInstallationCount": "1", "kongControlPlaneVersion": "v2beta1", "kongDataPlaneCountOutcome": "absent",
	})
}

func TestNumbersAreBuckets(t *testing.T) {
	c := &cluster{generated: map[string]int{"/api/v1/pods": 4_321}, lists: map[string][]string{"/api/v1/services": nil}}
	inventory, err := telemetry.NewInventory(0, kube.Objects(c.client(t)))
	if err != nil {
		t.Fatal(err)
	}
	names, err := telemetry.NewKeyedPseudonymizer("the cluster's ID", []byte("a key that stays in the cluster"))
	if err != nil {
		t.Fatal(err)
	}
	properties, err := inventory.Collect(t.Context(), names)
	if err != nil || properties[0].Value.String() != "2000" {
		t.Errorf("properties = %v, %v, want 2000 for 4321 pods", properties, err)
	}
}
