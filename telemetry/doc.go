// SPDX-License-Identifier: Apache-2.0

// Package telemetry lets a program that runs in Kubernetes report how it is used:
// what is collected is listed beforehand with the reason for each item, people can see
// what would be sent before they agree, and what an upgrade adds waits until they
// agree again.
//
// # Embedding it
//
// Four things make a [Reporter]: what is collected, where it goes, who may turn it on, and
// whose cluster it is.
//
//	client, err := kube.NewClient(authenticated, config.Host, "acme-gateway") // package kube
//	...
//	reporter, err := telemetry.NewReporter(telemetry.Config{
//		Product: "acme-gateway", Version: version, Since: "1.0.0", Signals: []string{"start"},
//		Providers:    []telemetry.Provider{kube.Platform(client), kube.Objects(client)},
//		Destinations: []telemetry.Destination{vendor}, // of load/otlp, splunk, segment, kongline or file
//		Consent:      telemetry.Consent{Cluster: kube.ConfigMapConsent(client, "acme", "settings", "telemetry")},
//		Identity: func(ctx context.Context) (*telemetry.Pseudonymizer, error) {
//			id, err := client.ClusterID(ctx)
//			if err != nil {
//				return nil, err
//			}
//			return telemetry.NewPseudonymizer(id)
//		},
//	})
//	...
//	err = manager.Add(reporter) // controller-runtime; elsewhere: go reporter.Run(ctx)
//
// examples/minimal in the repository is a whole controller, examples/gateway a larger one.
//
// A [Reporter] asks each [Provider] for its metrics, once each period and whenever
// [Reporter.Report] is called, and hands one event to each [Destination]. On the way:
//
//   - Collecting: a provider records each metric in [Readings]: its value, or an
//     [Outcome] that says why there is none. Zero never stands for "not known". One
//     that fails, panics, is slow or hangs costs its own metrics and nothing else.
//   - Policy: numbers are rounded down to buckets, words come from closed lists, and
//     names become pseudonyms as they are recorded. [Consent] says who may turn
//     telemetry on and off, and to which plan they agreed.
//   - Queues: each destination has its own, of bounded length. The oldest report gives
//     way, and is counted.
//   - Delivery: each destination is tried until it takes the reports, ever more rarely,
//     and does not keep the others waiting. An outage is one warning.
//
// [NewReporter] starts nothing, [Reporter.Run] owns every goroutine, and while
// telemetry is off nothing is collected, dialled, looked up or written. A Reporter can
// be added to a controller-runtime manager as it is: it runs in the leader only.
// [Reporter.Preview] shows what would be sent, and [Reporter.Status] says whether
// anything is, and who decided so. The zero [Consent] is off.
//
// # What may leave
//
//   - A [Plan], the tracking plan, lists every event and every property that may leave,
//     each with its type, unit, allowed words or buckets, reason, sensitivity and
//     source; [Plan.Check] refuses the rest. A metric is a property of the reporter's
//     event. The data dictionary, as Markdown or JSON Schema, is made from the plan;
//     its hash is what people agree to, and [Plan.Diff] what changed between two.
//   - An [Event] is one thing that happened, with typed properties. There is no
//     property type that could hold free text.
//   - A [Pseudonym] stands for a name. Only a [Pseudonymizer] makes one, and there is
//     no way back.
//   - A [Track] is an event as bytes: the track call that is staged, previewed and
//     sent, the same JSON each time.
//
// They are also the contract between the parts of segment-bridge, whose plan is in
// package catalogue (PLAN.md and plan.schema.json beside this file are made from it)
// and whose records, what was learnt about one object, are in package record.
//
// The package imports the standard library alone, so that a program embedding it takes
// on no other dependency. What it promises to stay is in api.txt and docs/library.md.
package telemetry
