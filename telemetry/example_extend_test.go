// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// An upgrade adds a metric. What was agreed to goes on, and the new metric waits until
// somebody agrees to the new plan by its hash. The memory of that outlives the program:
// a real Agreement keeps it in a ConfigMap.
func ExampleAgreement() {
	release := func(version string, setting string, kept *remembered, metrics ...string) telemetry.Status {
		var providers []telemetry.Provider
		for _, name := range metrics {
			providers = append(providers, constant(name, 1))
		}
		reporter, err := telemetry.NewReporter(telemetry.Config{
			Product: "acme-gateway", Version: version, Since: "1.0.0", Providers: providers, Signals: []string{"start"},
			Identity: func(context.Context) (*telemetry.Pseudonymizer, error) { return telemetry.NewPseudonymizer("3f2a0b1f") },
			Consent: telemetry.Consent{
				Cluster:   func(context.Context) (telemetry.Decision, error) { return telemetry.ParseDecision(setting) },
				Agreement: kept, Getenv: func(string) string { return "" },
			},
		})
		if err != nil {
			panic(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = reporter.Run(ctx) })
		if _, err := reporter.Report(ctx, "start"); err != nil { // the first report is what makes the plan one that was agreed to
			panic(err)
		}
		stop()
		running.Wait()
		return reporter.Status(context.Background())
	}
	kept := &remembered{}
	fmt.Println("1.0:", release("1.0.0", "on", kept, "gateways").Waiting)
	upgraded := release("1.1.0", "on", kept, "gateways", "routes")
	fmt.Println("1.1:", upgraded.Waiting)
	fmt.Println("1.1, agreed:", release("1.1.0", upgraded.Plan, kept, "gateways", "routes").Waiting)
	// Output:
	// 1.0: []
	// 1.1: [routes]
	// 1.1, agreed: []
}

// flavours is a closed list of words, and Flavour one of them.
type flavours struct{}

func (flavours) Words() []string { return []string{"sweet", "sour", "other"} }

// Flavour is the type that fields have.
type Flavour = telemetry.Enum[flavours]

// What is read from a cluster becomes a word only if it is in the list.
func ExampleList() {
	for _, text := range []string{"sour", "acme-secret"} {
		var flavour Flavour
		var known bool
		if flavour, known = telemetry.ParseEnum[flavours](text); !known {
			flavour = telemetry.MustEnum[flavours]("other")
		}
		fmt.Println(flavour)
	}
	// Output:
	// sour
	// other
}

// The same name is the same pseudonym within a cluster, and another in the next.
func ExamplePseudonymizer() {
	for _, clusterID := range []string{"3f2a0b1f", "77c1d2e3"} {
		names, err := telemetry.NewPseudonymizer(clusterID)
		if err != nil {
			panic(err)
		}
		fmt.Println(names.Cluster(), names.Namespace([]byte("payments")), names.Namespace([]byte("payments")))
	}
	// Output:
	// be8bcbaed703 6845badfd530 6845badfd530
	// 10e78104aa7f 04495d666e91 04495d666e91
}

// A signal is a reason to report beside the period: the start of the program, or that
// something was switched on. It is in the plan, so people see which there are.
func ExampleReporter_Report() {
	reporter, err := newHost(telemetry.Consent{OnByDefault: true, Getenv: func(string) string { return "" }}, &sink{name: "memory"})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = reporter.Run(ctx) })

	receipt, err := reporter.Report(ctx, "start") // accepted: it is in the queue of every destination
	if err != nil {
		panic(err) // ErrOff while telemetry is off
	}
	verdicts, err := receipt.Wait(ctx) // acknowledged: each destination has decided
	fmt.Println(verdicts["memory"].Status == telemetry.Delivered, err)
	_, err = reporter.Report(ctx, "something-else")
	fmt.Println(err)
	stop()
	running.Wait()
	// Output:
	// true <nil>
	// signal is not one of the configuration's: add it to Signals, and so to the tracking plan
}
