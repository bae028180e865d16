// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// TestReceiverAgainstAnalyticsNode lets Segment's own client for Node speak to the receiver that all other tests
// believe. Both must agree on what was sent and what was delivered.
func TestReceiverAgainstAnalyticsNode(t *testing.T) {
	const events, each = 12, 4
	folder := installClients(t)
	tests := []struct {
		name       string
		key        string
		faults     []segmenttest.Fault
		statuses   []int
		duplicates int
		failed     int // the client gives these up
		dropped    int // the client is told 200 and nothing is taken
	}{
		{name: "success", statuses: []int{200, 200, 200}},
		{name: "told to wait", faults: []segmenttest.Fault{{Status: 429, RetryAfter: "1"}}, statuses: []int{200, 200, 200, 429}},
		{name: "unavailable", faults: []segmenttest.Fault{{Status: 503}, {Status: 460}}, statuses: []int{200, 200, 200, 460, 503}},
		{name: "reset before", faults: []segmenttest.Fault{{Reset: true}}, statuses: []int{200, 200, 200}},
		{name: "reset after accepting", faults: []segmenttest.Fault{{Reset: true, Accept: true}}, statuses: []int{200, 200, 200}, duplicates: each},
		{name: "refused", faults: []segmenttest.Fault{{Status: 400}, {Status: 413}}, statuses: []int{200, 400, 413}, failed: 2 * each},
		{name: "wrong write key", key: "AnotherKey0000000000000000000000", statuses: []int{200, 200, 200}, dropped: events},
		{name: "short write key", key: "short", statuses: []int{400, 400, 400}, failed: events},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			receiver := segmenttest.New(segmenttest.Options{})
			address, stop, err := receiver.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			receiver.Inject(tt.faults...)
			if tt.key == "" {
				tt.key = segmenttest.Key
			}
			said := sendWithNode(t, folder, address, tt.key, events, each)

			slices.Sort(said.Statuses)
			if !slices.Equal(said.Statuses, tt.statuses) || len(said.Failed) != tt.failed || len(said.Delivered) != events-tt.failed {
				t.Errorf("the client saw %v, delivered %v and failed %v", said.Statuses, said.Delivered, said.Failed)
			}
			report := receiver.Report()
			if report.Duplicates != tt.duplicates || report.Drops["unknown_write_key"] != tt.dropped || len(report.Violations) > 0 ||
				report.Accepted+tt.dropped != len(said.Delivered) {
				t.Errorf("report %+v", report)
			}
			sent := said.calls(t)
			for _, e := range receiver.Events() {
				if !slices.Contains(said.Delivered, e.MessageID) {
					t.Errorf("the receiver took %s, of which the client does not know", e.MessageID)
				}
				if got := decodeJSON(t, e.JSON); !reflect.DeepEqual(got, sent[e.MessageID]) {
					t.Errorf("the receiver took %v, the client sent %v", got, sent[e.MessageID])
				}
			}
		})
	}
}

// clientReport is what send.mjs prints.
type clientReport struct {
	Delivered, Failed []string
	Statuses          []int
	Bodies            []struct{ Batch []json.RawMessage }
}

// calls returns the calls that were sent, by message ID.
func (r *clientReport) calls(t *testing.T) map[string]any {
	t.Helper()
	calls := map[string]any{}
	for _, body := range r.Bodies {
		for _, raw := range body.Batch {
			call := decodeJSON(t, raw)
			id, _ := call["messageId"].(string)
			calls[id] = call
		}
	}
	return calls
}

func decodeJSON(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var value map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func sendWithNode(t *testing.T, folder, address, key string, events, each int) *clientReport {
	t.Helper()
	script, err := filepath.Abs("clients/send.mjs")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", script, address, key, strconv.Itoa(events), strconv.Itoa(each))
	cmd.Dir, cmd.Stderr = folder, t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	var report clientReport
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("node printed %q: %v", out, err)
	}
	return &report
}

// installClients installs what clients/package-lock.json says into the cache, once for each such file, and returns
// the folder.
func installClients(t *testing.T) string {
	t.Helper()
	hash := sha256.New()
	files := map[string][]byte{}
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("clients", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = text
		fmt.Fprintf(hash, "%d %s", len(text), text)
	}
	cache := os.Getenv("SEGMENT_BRIDGE_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "segment-bridge")
	}
	folder := filepath.Join(cache, "clients", fmt.Sprintf("%x", hash.Sum(nil)[:8]))
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "installing-") //nolint:usetesting // it is renamed, which takes one file system
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(fresh, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir, cmd.Stdout, cmd.Stderr = fresh, t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Fatalf("npm ci: %v: it needs node, npm and a registry; `make install` installs the first two", err)
	}
	if err := os.Rename(fresh, folder); err != nil {
		if _, missing := os.Stat(folder); missing != nil { // no other process was faster
			t.Fatal(err)
		}
	}
	return folder
}
