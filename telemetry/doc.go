// SPDX-License-Identifier: Apache-2.0

// Package telemetry is the contract of segment-bridge: what may be recorded
// about a cluster, what may leave it, and how names are hidden.
//
// Its words, as the rest of the program uses them:
//
//   - A [Pseudonym] stands for a name. Only a [Pseudonymizer] makes one, and
//     there is no way back.
//   - A record (package record) is what was learnt about one object.
//   - An [Event] is one thing that happened, with typed properties. There is no
//     property type that could hold free text.
//   - A [Plan], the tracking plan, lists every event and every property that
//     may leave, each with its type, unit, reason, sensitivity and source;
//     [Plan.Check] refuses the rest. The plan of the bridge is in package
//     catalogue; PLAN.md and plan.schema.json beside this file are made from it.
//   - A [Track] is an event as bytes: the track call that is staged, previewed
//     and sent, the same JSON each time.
//
// The package imports the standard library alone, so that a program embedding
// it takes on no other dependency.
package telemetry
