// SPDX-License-Identifier: Apache-2.0

// Package plancheck holds events against the tracking plan's JSON Schema with a library that the program does not use, so
// that the plan's own check is not its only one.
package plancheck

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// schema is what telemetry/plan.schema.json holds. Formats, which a validator may pass over, are checked too.
var schema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(catalogue.Plan().JSONSchema()))
	if err != nil {
		return nil, fmt.Errorf("parse the tracking plan's schema: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("plan.schema.json", document); err != nil {
		return nil, fmt.Errorf("add the tracking plan's schema: %w", err)
	}
	return compiler.Compile("plan.schema.json")
})

// Track says why a track call, as it was sent, is not one that may leave.
func Track(call []byte) error {
	schema, err := schema()
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(call))
	if err != nil {
		return fmt.Errorf("parse a track call: %w", err)
	}
	return schema.Validate(value)
}

// Events fails the test for each event that a receiver took although it may not leave.
func Events(t testing.TB, events []segmenttest.Event) {
	t.Helper()
	for _, e := range events {
		if err := Track(e.Raw); err != nil {
			t.Errorf("event %s breaks the tracking plan's schema:\n%s\n%v", e.MessageID, e.Raw, err)
		}
	}
}
