// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// newHost is what an embedding program does once.
func newHost(consent telemetry.Consent, destinations ...telemetry.Destination) (*telemetry.Reporter, error) {
	gateways := telemetry.NewProvider("gateways", []telemetry.PropertySpec{{
		Name: "gatewayCount", Type: telemetry.TypeInteger, Unit: "objects", Buckets: telemetry.Scale(1000),
		Reason: "Tells which sizes have to be tested.", Question: "How many gateways does an installation have?",
		Source: "the controller's own cache", Sensitivity: telemetry.SensitivityTechnical, Since: "1.0.0",
	}}, func(_ context.Context, r *telemetry.Readings) error {
		r.Integer("gatewayCount", 7) // from where the program keeps them
		return nil
	})
	return telemetry.NewReporter(telemetry.Config{
		Product: "acme-gateway", Version: "1.4.0", Since: "1.0.0", Signals: []string{"start"},
		Identity: func(context.Context) (*telemetry.Pseudonymizer, error) {
			// The cluster's ID and the key are read from the cluster; see package identity.
			return telemetry.NewKeyedPseudonymizer("3f2a0b1f", []byte("a key that stays in the cluster"))
		},
		Providers: []telemetry.Provider{gateways}, Destinations: destinations, Consent: consent,
	})
}

// A program runs the reporter as long as it lives, or adds it to its
// controller-runtime manager.
func ExampleReporter() {
	reporter, err := newHost(telemetry.Consent{OnByDefault: true, Variable: "ACME_TELEMETRY", Getenv: func(string) string { return "" }}, lines{os.Stdout})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = reporter.Run(ctx) }) // the error is that of a second Run

	receipt, err := reporter.Report(ctx, "start")
	if err != nil {
		panic(err)
	}
	verdicts, err := receipt.Wait(ctx)
	fmt.Println(verdicts["stdout"].Status == telemetry.Delivered, err)
	stop()
	running.Wait()
	// Output:
	// a report of acme-gateway, or several
	// true <nil>
}

// lines is a destination that writes to a stream.
type lines struct{ w io.Writer }

func (lines) Name() string { return "stdout" }

func (l lines) Deliver(_ context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	verdicts := make([]telemetry.Verdict, len(events))
	// A real one writes the Payload of each event.
	if _, err := fmt.Fprintln(l.w, "a report of acme-gateway, or several"); err != nil {
		return verdicts, err // all are Pending, and come again
	}
	for i := range events {
		verdicts[i].Status = telemetry.Delivered
	}
	return verdicts, nil
}

func ExampleDestination() {
	verdicts, err := lines{os.Stdout}.Deliver(context.Background(), []telemetry.Track{{Payload: []byte("{}")}})
	fmt.Println(len(verdicts), err)
	// Output:
	// a report of acme-gateway, or several
	// 1 <nil>
}

// remembered is an Agreement; a real one keeps the plan in a ConfigMap.
type remembered struct{ plan []byte }

func (r *remembered) Load(context.Context) ([]byte, error) {
	if r.plan == nil {
		return nil, fs.ErrNotExist
	}
	return r.plan, nil
}

func (r *remembered) Save(_ context.Context, plan []byte) error { r.plan = plan; return nil }

// The administrator of a cluster decides by a setting in a ConfigMap: "on", "off", or
// the hash of the plan that was read. What an upgrade adds waits.
func ExampleConsent() {
	configMap := map[string]string{"telemetry": "off"}
	reporter, err := newHost(telemetry.Consent{
		Variable: "ACME_TELEMETRY",
		Cluster: func(context.Context) (telemetry.Decision, error) {
			return telemetry.ParseDecision(configMap["telemetry"])
		},
		Agreement: &remembered{},
		Getenv:    func(string) string { return "" },
	})
	if err != nil {
		panic(err)
	}
	for _, setting := range []string{"off", reporter.Plan().Hash(), "0123456789abcdef"} {
		configMap["telemetry"] = setting
		s := reporter.Status(context.Background())
		fmt.Println(s.Decision.By, s.Decision.Choice == telemetry.On, s.Agreed == s.Plan, s.Err)
	}
	// Output:
	// cluster false false <nil>
	// cluster true true <nil>
	// cluster true false the plan agreed to is neither this release's nor one that is remembered: read the plan and agree to its hash
}

// The preview works while telemetry is off.
func ExampleReporter_Preview() {
	reporter, err := newHost(telemetry.Consent{Off: true})
	if err != nil {
		panic(err)
	}
	preview, err := reporter.Preview(context.Background(), "start")
	if err != nil {
		panic(err)
	}
	var call struct{ Properties json.RawMessage }
	if err := json.Unmarshal(preview, &call); err != nil {
		panic(err)
	}
	fmt.Println(string(call.Properties))
	// Output: {"signal":"start","clusterIdHash":"be8bcbaed703","gatewayCount":5}
}

// What the plan says is the data dictionary. A test that compares it with a file in the
// repository fails when the file is stale.
func ExamplePlan_Markdown() {
	reporter, err := newHost(telemetry.Consent{})
	if err != nil {
		panic(err)
	}
	for _, p := range reporter.Plan().Event("Cluster Inventory").Properties {
		fmt.Printf("%s: %s\n", p.Name, p.Reason)
	}
	_ = os.WriteFile(os.DevNull, reporter.Plan().Markdown(), 0o644) // such as to docs/telemetry.md
	// Output:
	// signal: Tells what a report was made for.
	// clusterIdHash: Counts clusters, and tells one cluster's reports from another's.
	// gatewayCount: Tells which sizes have to be tested.
	// gatewayCountOutcome: Says why gatewayCount is missing, so that zero never stands for "not known".
}

// Numbers without buckets say more than most questions need.
func ExampleExact() {
	provider := telemetry.NewProvider("pods", []telemetry.PropertySpec{{
		Name: "podCount", Type: telemetry.TypeInteger, Unit: "objects", Buckets: telemetry.Scale(100_000),
		Reason: "Tells which sizes have to be tested.", Source: "number of Pods",
		Sensitivity: telemetry.SensitivityTechnical, Since: "1.0.0",
	}}, func(_ context.Context, r *telemetry.Readings) error { r.Integer("podCount", 1234); return nil })
	names, err := telemetry.NewPseudonymizer("3f2a0b1f")
	if err != nil {
		panic(err)
	}
	for _, p := range []telemetry.Provider{provider, telemetry.Exact(provider)} {
		inventory, err := telemetry.NewInventory(0, p)
		if err != nil {
			panic(err)
		}
		properties, err := inventory.Collect(context.Background(), names)
		fmt.Println(properties[0].Value, err)
	}
	// Output:
	// 1000 <nil>
	// 1234 <nil>
}
