// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	routers   = []string{"traditional", "traditional_compatible", "expressions", "other"}
	databases = []string{"off", "postgres", "other"}
)

// GatewayFacts are what a controller knows of itself and of the gateway that it
// configures. What is not known is left empty, or nil.
type GatewayFacts struct {
	// Controller and Gateway are versions, such as "3.5.1"; a suffix is left out.
	Controller, Gateway string
	// Router is the flavour of the gateway's router, and Database where it keeps its
	// configuration ("off" is nowhere). Words that are not in the plan become "other".
	Router, Database string
	// Instances is how many instances of the gateway there are.
	Instances *int
	// Pushed is when the last configuration reached the gateway.
	Pushed time.Time
}

// Gateway tells the versions of a controller and of its gateway, the flavour of the
// gateway's router, where it keeps its configuration, how many instances there are, and
// in steps how long ago it was last configured. Since is the version of the program that
// first reports this. Read is asked anew for each report; its error is that of all.
func Gateway(since string, read func(context.Context) (GatewayFacts, error)) telemetry.Provider {
	const question = "Which versions of the ingress and of the gateway are used, and how are they set up?"
	spec := func(s telemetry.PropertySpec) telemetry.PropertySpec {
		s.Question, s.Sensitivity, s.Since = question, telemetry.SensitivityTechnical, since
		return s
	}
	pushed := spec(telemetry.PropertySpec{
		Name: "lastPushSeconds", Type: telemetry.TypeInteger, Unit: "seconds", Buckets: []int64{0, 3600, 24 * 3600, 7 * 24 * 3600, 30 * 24 * 3600},
		Reason: "Tells clusters in use from abandoned ones.", Source: "time since the gateway last took a configuration",
	})
	pushed.Sensitivity = telemetry.SensitivityActivity
	specs := []telemetry.PropertySpec{
		spec(telemetry.PropertySpec{
			Name: "controllerVersion", Type: telemetry.TypeVersion,
			Reason: "Tells which releases of the controller have to be supported.", Source: "the program's own version",
		}),
		spec(telemetry.PropertySpec{
			Name: "proxyVersion", Type: telemetry.TypeVersion,
			Reason: "Tells which releases of the gateway have to be supported.", Source: "the version that the gateway says it has",
		}),
		spec(telemetry.PropertySpec{
			Name: "proxyRouter", Type: telemetry.TypeEnum, Words: routers,
			Reason: "Tells which routers have to be supported.", Source: "the gateway's configuration",
		}),
		spec(telemetry.PropertySpec{
			Name: "proxyDatabase", Type: telemetry.TypeEnum, Words: databases,
			Reason: "Tells which ways to keep the configuration have to be supported.", Source: "the gateway's configuration",
		}),
		spec(telemetry.PropertySpec{
			Name: "proxyCount", Type: telemetry.TypeInteger, Unit: "instances", Buckets: telemetry.Scale(1_000),
			Reason: "Tells which sizes of installations have to be tested.", Source: "number of instances of the gateway that the controller has found",
		}),
		pushed,
	}
	return telemetry.NewProvider("gateway", specs, func(ctx context.Context, readings *telemetry.Readings) error {
		facts, err := read(ctx)
		if err != nil {
			return err
		}
		version := func(metric, text string) {
			if text == "" {
				return
			}
			if v, err := telemetry.ParseRelease(text); err != nil {
				readings.Fail(metric, err)
			} else {
				readings.Version(metric, v)
			}
		}
		word := func(metric string, words []string, word string) {
			switch {
			case word == "":
			case slices.Contains(words, word):
				readings.Word(metric, word)
			default:
				readings.Word(metric, "other")
			}
		}
		version("controllerVersion", facts.Controller)
		version("proxyVersion", facts.Gateway)
		word("proxyRouter", routers, facts.Router)
		word("proxyDatabase", databases, facts.Database)
		if facts.Instances != nil {
			readings.Integer("proxyCount", int64(*facts.Instances))
		}
		if !facts.Pushed.IsZero() {
			readings.Integer("lastPushSeconds", max(0, int64(time.Since(facts.Pushed)/time.Second)))
		}
		return fmt.Errorf("ask the program about its gateway: it does not know: %w", fs.ErrNotExist) // of what was not recorded
	})
}
