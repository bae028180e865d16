// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// ingresses is what a provider may look like: it declares what it collects and why,
// and records what it finds as it finds it.
type ingresses struct {
	// list reads the Ingresses of the cluster. Its error is fs.ErrNotExist when the
	// kind is not served and fs.ErrPermission when it may not be read.
	list func(ctx context.Context) (classes []string, err error)
	// change returns how many seconds ago the newest Ingress was changed.
	change func(ctx context.Context) (int64, error)
}

func (ingresses) Name() string { return "ingresses" }

func (ingresses) Metrics() []telemetry.PropertySpec {
	return []telemetry.PropertySpec{
		{
			Name: "ingressCount", Type: telemetry.TypeInteger, Unit: "objects", Buckets: telemetry.Scale(10_000),
			Reason: "Tells which sizes have to be tested.", Question: "How many ingresses does a cluster have?",
			Source: "number of Ingresses (networking.k8s.io)", Sensitivity: telemetry.SensitivityTechnical, Since: "0.2.0",
		},
		{
			Name: "ingressClasses", Type: telemetry.TypeCounts, Unit: "objects", Words: []string{"kong", "nginx", "other"}, Buckets: telemetry.Scale(10_000),
			Reason: "Tells what we are used beside.", Question: "Which controllers share a cluster?",
			Source: "spec.ingressClassName of each Ingress", Sensitivity: telemetry.SensitivityTechnical, Since: "0.2.0",
		},
		{
			Name: "lastChangeSeconds", Type: telemetry.TypeInteger, Unit: "seconds", Buckets: []int64{0, 3600, 86400, 604800},
			Reason: "Tells clusters in use from abandoned ones.", Question: "When was the configuration last changed?",
			Source: "newest managedFields of the Ingresses", Sensitivity: telemetry.SensitivityActivity, Since: "0.2.0",
		},
	}
}

func (p ingresses) Collect(ctx context.Context, readings *telemetry.Readings) error {
	classes, err := p.list(ctx)
	if err != nil {
		return err // of every metric that is not recorded, hence of all three
	}
	readings.Integer("ingressCount", int64(len(classes)))
	counts := map[string]int64{}
	for _, class := range classes {
		if class != "kong" && class != "nginx" {
			class = "other"
		}
		counts[class]++
	}
	readings.Counts("ingressClasses", counts)

	seconds, err := p.change(ctx)
	if err != nil {
		readings.Fail("lastChangeSeconds", err)
		return nil
	}
	readings.Integer("lastChangeSeconds", seconds)
	return nil
}

func ExampleProvider() {
	names, err := telemetry.NewKeyedPseudonymizer("the cluster's ID", []byte("a key that stays in the cluster"))
	if err != nil {
		panic(err)
	}
	inventory, err := telemetry.NewInventory(0, ingresses{
		list:   func(context.Context) ([]string, error) { return []string{"kong", "kong", "kong", "acme-internal"}, nil },
		change: func(context.Context) (int64, error) { return 0, fs.ErrPermission },
	})
	if err != nil {
		panic(err)
	}
	properties, err := inventory.Collect(context.Background(), names)
	if err != nil {
		panic(err)
	}
	for _, p := range properties {
		fmt.Println(p.Name, p.Value)
	}
	// Output:
	// ingressCount 2
	// ingressClasses {"kong":2,"other":1}
	// lastChangeSecondsOutcome forbidden
}
