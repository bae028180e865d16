// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// crowd returns n objects, in turns like those given, as the server stores them, each with a name and a UID of its own:
// object-00000 and so on, where from are there already.
func crowd(t *testing.T, from, n int, like ...*unstructured.Unstructured) [][]byte {
	t.Helper()
	texts := make([]string, len(like))
	for i, o := range like {
		o.SetName("object-name")
		o.SetUID("object-uid")
		o.SetCreationTimestamp(metav1.Now())
		text, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	objects := make([][]byte, n)
	for i := range n {
		number := fmt.Sprintf("%05d", from+i)
		objects[i] = []byte(strings.NewReplacer("object-name", "object-"+number, "object-uid", "00000000-0000-4000-8000-0000000"+number).Replace(texts[i%len(texts)]))
	}
	return objects
}

// 50,000 pods, of which every other is in a mesh, and 5,000 services: what it costs to count them, in requests, and in
// memory of the whole process, beside what a hundredth of them costs.
//
// They are put into etcd, where the API server finds them like any others: to create as many takes minutes.
func (l *lab) testScale(t *testing.T) {
	l.build(t, thing("v1", "ConfigMap", "crowd", "namespace"), serviceOf("mesh", "istiod"))
	const others = 2 // services: istiod, and the API server's own
	pod := func(annotation string) *unstructured.Unstructured {
		p := podOf("", mark{sidecar: "istio-proxy"})
		p.SetNamespace("crowd")
		p.SetLabels(map[string]string{"app.kubernetes.io/name": "acme", "app.kubernetes.io/instance": "acme-production", "pod-template-hash": "7d9f5c6b8"})
		p.SetAnnotations(map[string]string{annotation: "{}", "example.com/padding": strings.Repeat("x", 1000)}) // as much as field managers take
		return p
	}
	slice := sliceOf("object-name", "object-name") // a service has the pod of the same number
	slice.SetNamespace("crowd")

	gateway := kube.ServiceName{Namespace: "crowd", Name: "object-00000"}
	token := map[string]string{
		"objects": l.reader(t, "", kube.Objects(nil)).BearerToken,
		"mesh":    l.reader(t, "", kube.Mesh(nil, gateway)).BearerToken,
	}
	tests := []struct {
		name     string
		collect  string
		selector string // with one the API server does not say how many objects remain
		few      int    // requests, for 500 pods and 50 services
		many     int    // for 50,000 and 5,000
		growth   int    // of memory between them, in MiB; what is read is 70 MiB
	}{
		{"counted by the server", "objects", "", 4, 4, 2},
		{"counted by pages", "objects", "!nobody", 6, 2 + 101 + 12, 8},
		{"mesh", "mesh", "", 25, 150, 12},
	}
	peaks := map[string]int{}
	type size struct{ pods, services int }
	there := size{}
	for _, size := range []size{{500, 50}, {50_000, 5_000}} {
		began := time.Now()
		if err := l.Plant(t.Context(), slices.Concat(
			crowd(t, there.pods, size.pods-there.pods, pod("sidecar.istio.io/status"), pod("example.com/status")),
			crowd(t, there.services, size.services-there.services, serviceOf("crowd", "")),
			crowd(t, there.services, size.services-there.services, slice),
		)...); err != nil {
			t.Fatal(err)
		}
		there = size
		t.Logf("%d pods and %d services are there after %s", size.pods, size.services, time.Since(began).Round(time.Millisecond))
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, %d pods", tt.name, size.pods), func(t *testing.T) {
				began := time.Now()
				a := startHost(t, map[string]any{"Server": l.Config.Host, "CA": l.Config.CAData, "Token": token[tt.collect], "Collect": tt.collect, "Selector": tt.selector}, nil).answer()
				peak, err := strconv.Atoi(strings.TrimSuffix(a.Peak, " kB"))
				if err != nil || a.Error != "" {
					t.Fatal(a.Error, err)
				}
				t.Logf("%d requests, %d KiB read, at most %d KiB of memory, %s", a.Requests, a.Bytes>>10, peak, time.Since(began).Round(time.Millisecond))
				want := map[string]string{"podCount": strconv.Itoa(size.pods), "serviceCount": strconv.Itoa(size.services + others)}
				if tt.collect == "mesh" {
					want = map[string]string{"meshServiceShare": `{"istio":50}`, "meshModes": `["istio:sidecar"]`, "meshGateway": `["istio"]`}
				}
				findings(a.Found).check(t, want)
				most := tt.few
				if size.pods > 500 {
					most = tt.many
					if grown := peak - peaks[tt.name]; grown > tt.growth<<10 {
						t.Errorf("a hundred times as many pods take %d KiB more, want at most %d MiB", grown, tt.growth)
					}
				}
				if a.Requests > int64(most) {
					t.Errorf("%d requests, want at most %d", a.Requests, most)
				}
				peaks[tt.name] = peak
			})
		}
	}
}
