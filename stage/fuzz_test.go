// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

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

// Whatever lies where the newest batch was, runs go on, unless it is of a newer
// release, stage nothing that is in another batch, and lose count of nothing.
func FuzzDamage(f *testing.F) {
	base := new(mem.Bucket)
	events := collect(stagetest.Runs(3, stagetest.Noon.Add(-time.Hour), 20*time.Minute))
	var m *stage.Manifest
	for i, until := range []time.Time{stagetest.Noon, stagetest.Noon.Add(time.Hour)} {
		staged, err := stagetest.NewLedger(f, base).Stage(f.Context(), stagetest.Report(since, until), stagetest.Of(events[2*i:2*i+2]...))
		if err != nil {
			f.Fatal(err)
		}
		m = staged.Manifest
	}
	key := "v1/manifests/" + m.ID().String() + ".json"
	whole := content(f, base)
	manifest, data := []byte(whole[key]), []byte(whole[m.Files[0].Key])
	f.Add(manifest, data)
	f.Add(manifest, data[:len(data)-9])
	f.Add([]byte("{}"), data)
	f.Add([]byte{}, []byte{})
	f.Add([]byte(`{"format":2}`), data)
	f.Fuzz(func(t *testing.T, manifest, data []byte) {
		b := mem.Over(base)
		for at, text := range map[string][]byte{key: manifest, m.Files[0].Key: data} {
			if err := stagetest.Tamper(t.Context(), b, at, string(text)); err != nil {
				t.Fatal(err)
			}
		}
		staged, err := stagetest.NewLedger(t, b).Stage(t.Context(), stagetest.Report(since, stagetest.Noon.Add(2*time.Hour)), stagetest.Of(events...))
		if errors.Is(err, stage.ErrNewer) {
			return
		}
		// One run is in the batch that is whole.
		if err != nil || staged.AlreadyStaged < 2 || staged.Events+staged.AlreadyStaged+staged.Withheld != 6 {
			t.Errorf("staged %+v, %v", staged, err)
		}
	})
}

// What is said of the store is for people: nothing depends on it.
func FuzzStoreRecord(f *testing.F) {
	f.Add([]byte(`{"format":1,"semantics":{"createOnly":true}}`))
	f.Add([]byte{})
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b := new(mem.Bucket)
		if err := stagetest.Tamper(t.Context(), b, "v1/store.json", string(text)); err != nil {
			t.Fatal(err)
		}
		l := stagetest.NewLedger(t, b)
		l.FirstUse(t.Context())
		if left := content(t, b); len(left) != 1 || left["v1/store.json"] != string(text) {
			t.Errorf("the bucket has %q", left)
		}
		if _, err := l.Stage(t.Context(), stagetest.Report(since, until), stagetest.Of(stagetest.Heartbeat(stagetest.Noon))); err != nil {
			t.Error(err)
		}
	})
}
