// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// An oracle says which events a set of objects stands for. It shares no code with
// the product: it decodes whole objects and follows the tables of the tracking
// plan, so that a mistake would have to be made twice.
type oracle struct {
	clusterID    string
	since, until time.Time
	// extra has the properties that every event has beside the cluster's hash.
	extra map[string]any
}

// event is a track call without its library.
type event struct {
	Event      string
	Timestamp  string
	Device     string
	Properties map[string]any
}

func (o oracle) hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(append(parts, o.clusterID), ":")))
	return hex.EncodeToString(sum[:])[:12]
}

// expect returns the events of the objects, by message ID.
func (o oracle) expect(t *testing.T, objects ...[]byte) map[string]event {
	t.Helper()
	events := map[string]event{}
	for _, text := range objects {
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		switch m["kind"] {
		case "PipelineRun":
			o.pipelineRun(events, m)
		case "Component":
			o.add(events, m, "-component-created", "Component Created", at(m, "metadata", "creationTimestamp"), map[string]any{
				"namespaceHash":   o.hash(str(m, "metadata", "namespace")),
				"componentHash":   o.hash(str(m, "metadata", "name"), str(m, "metadata", "namespace")),
				"applicationHash": o.hash(str(m, "spec", "application"), str(m, "metadata", "namespace")),
			})
		case "Namespace":
			if get(m, "metadata", "labels", "konflux-ci.dev/type") == "tenant" {
				o.add(events, m, "-namespace-created", "Namespace Created", at(m, "metadata", "creationTimestamp"), map[string]any{
					"namespaceHash": o.hash(str(m, "metadata", "name")),
				})
			}
		case "Konflux":
			o.installation(events, m)
		}
	}
	return events
}

func (o oracle) pipelineRun(events map[string]event, m map[string]any) {
	start, end := at(m, "status", "startTime"), at(m, "status", "completionTime")
	status, reason := condition(m, "Succeeded")
	children, _ := get(m, "status", "childReferences").([]any)
	labels, _ := get(m, "metadata", "labels").(map[string]any)
	properties := map[string]any{
		"namespaceHash": o.hash(str(m, "metadata", "namespace")),
		"taskCount":     float64(len(children)),
		"pipelineType":  nil,
	}
	_, properties["hasPipelineLabel"] = labels["tekton.dev/pipeline"]
	if kind, ok := labels["pipelines.appstudio.openshift.io/type"].(string); ok {
		if !slices.Contains([]string{"build", "test", "release", "tenant", "managed", "final"}, kind) {
			kind = "other"
		}
		properties["pipelineType"] = kind
	}
	sender := str(m, "metadata", "labels", "pipelinesascode.tekton.dev/sender")
	if sender == "" {
		sender = str(m, "metadata", "annotations", "pipelinesascode.tekton.dev/sender")
	}
	if sender != "" {
		properties["userHash"] = o.hash(sender)
	}
	o.add(events, m, "-started", "PipelineRun Started", start, properties)
	if status != "True" && status != "False" {
		return
	}
	outcome := map[string]string{"Cancelled": "cancelled", "PipelineRunTimeout": "timeout"}[reason]
	if status == "True" {
		outcome = "succeeded"
	} else if outcome == "" {
		outcome = "failed"
	}
	if !slices.Contains([]string{"Succeeded", "Completed", "Failed", "Cancelled", "PipelineRunTimeout", "CouldntGetTask"}, reason) {
		panic("the oracle does not know the reason " + reason)
	}
	o.add(events, m, "-completed", "PipelineRun Completed", end, with(properties, map[string]any{
		"startTime": start.Format(time.RFC3339), "completionTime": end.Format(time.RFC3339),
		"durationSeconds": end.Sub(start).Seconds(), "status": reason, "outcome": outcome,
	}))
}

func (o oracle) installation(events map[string]event, m map[string]any) {
	created := at(m, "metadata", "creationTimestamp")
	properties := map[string]any{"namespaceHash": o.hash("unknown")}
	o.add(events, m, "-started", "Operator Deployment Started", created, properties)
	since := time.Time{} // when Ready became what it is
	conditions, _ := get(m, "status", "conditions").([]any)
	for _, c := range conditions {
		if get(c, "type") == "Ready" {
			since = at(c, "lastTransitionTime")
		}
	}
	status, reason := condition(m, "Ready")
	late, deleted := created.Add(installTime), at(m, "metadata", "deletionTimestamp")
	switch {
	case status == "True":
		o.add(events, m, "-completed", "Operator Deployment Completed", since, with(properties, map[string]any{
			"startTime": created.Format(time.RFC3339), "completionTime": since.Format(time.RFC3339),
			"durationSeconds": since.Sub(created).Seconds(), "status": reason,
		}))
	case deleted.IsZero() && !since.After(late):
		o.add(events, m, "-failed", "Operator Deployment Failed", late, with(properties, map[string]any{"status": reason}))
	}
	o.add(events, m, "-removal-started", "Operator Removal Started", deleted, properties)
}

// installTime is how long an installation may take, unless the program is told otherwise.
const installTime = 2 * time.Hour

// add adds an event that lies within the window. Of two copies of a run, the one
// that was read later in its life has more tasks.
func (o oracle) add(events map[string]event, m map[string]any, suffix, name string, when time.Time, properties map[string]any) {
	if when.IsZero() || when.Before(o.since) || !when.Before(o.until) {
		return
	}
	id := str(m, "metadata", "uid") + suffix
	if before, ok := events[id]; ok && name == "PipelineRun Started" && tasks(before.Properties) > tasks(properties) {
		return
	}
	events[id] = event{
		Event: name, Timestamp: when.Format(time.RFC3339), Device: o.hash(),
		Properties: with(with(properties, map[string]any{"clusterIdHash": o.hash()}), o.extra),
	}
}

// heartbeat is the message ID of the heartbeat of a window that ends at until.
func (o oracle) heartbeat() string {
	return o.hash() + "-heartbeat-" + o.until.Format(time.RFC3339)
}

// inventory is the message ID of what the cluster is like at the end of the window.
func (o oracle) inventory() string {
	return o.hash() + "-inventory-" + o.until.Add(-time.Second).Truncate(time.Hour).Format(time.RFC3339)
}

func with(base, more map[string]any) map[string]any {
	sum := maps.Clone(base)
	maps.Copy(sum, more)
	return sum
}

func tasks(properties map[string]any) float64 {
	n, _ := properties["taskCount"].(float64)
	return n
}

func get(value any, path ...string) any {
	for _, key := range path {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[key]
	}
	return value
}

func str(m any, path ...string) string {
	s, _ := get(m, path...).(string)
	return s
}

func at(m any, path ...string) time.Time {
	t, _ := time.Parse(time.RFC3339, str(m, path...))
	return t.UTC()
}

func condition(m map[string]any, kind string) (status, reason string) {
	conditions, _ := get(m, "status", "conditions").([]any)
	for _, c := range conditions {
		if get(c, "type") == kind {
			return fmt.Sprint(get(c, "status")), fmt.Sprint(get(c, "reason"))
		}
	}
	return "", ""
}
