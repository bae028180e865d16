// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

// Whatever the bytes are, a manifest is either refused or agrees with its key.
func FuzzManifest(f *testing.F) {
	text, err := os.ReadFile("testdata/manifest.json")
	if err != nil {
		f.Fatal(err)
	}
	var golden stage.Manifest
	if err := json.Unmarshal(text, &golden); err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":1,"files":[{}],"files":[]}`))
	key := "v1/manifests/" + golden.ID().String() + ".json"
	f.Fuzz(func(t *testing.T, text []byte) {
		b := new(mem.Bucket)
		if err := stagetest.Tamper(t.Context(), b, key, string(text)); err != nil {
			t.Fatal(err)
		}
		m, err := stagetest.NewLedger(t, b).Manifest(t.Context(), golden.ID())
		if err != nil && errors.Is(err, stage.ErrCorrupt) == errors.Is(err, stage.ErrNewer) {
			t.Errorf("error is neither ErrCorrupt nor ErrNewer: %v", err)
		}
		if err == nil && (m.ID() != golden.ID() || m.Files[0].Key != golden.Files[0].Key || !m.Window.Until.Equal(golden.Window.Until)) {
			t.Errorf("another batch: %+v", m)
		}
	})
}

func FuzzReceipt(f *testing.F) {
	text, err := os.ReadFile("testdata/receipt.json")
	if err != nil {
		f.Fatal(err)
	}
	var golden stage.Receipt
	if err := json.Unmarshal(text, &golden); err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":1}`))
	key := "v1/receipts/segment/" + golden.ID().String() + ".json"
	f.Fuzz(func(t *testing.T, text []byte) {
		b := new(mem.Bucket)
		if err := stagetest.Tamper(t.Context(), b, key, string(text)); err != nil {
			t.Fatal(err)
		}
		r, err := stagetest.NewLedger(t, b).Receipt(t.Context(), "segment", golden.ID())
		if err != nil && errors.Is(err, stage.ErrCorrupt) == errors.Is(err, stage.ErrNewer) {
			t.Errorf("error is neither ErrCorrupt nor ErrNewer: %v", err)
		}
		if err == nil && (r.ID() != golden.ID() || r.Delivered+r.Rejected != r.Events) {
			t.Errorf("does not add up: %+v", r)
		}
	})
}
