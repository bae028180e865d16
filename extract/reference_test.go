// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// reference makes a record the plain way: the whole object becomes a tree, and what is
// needed is looked up in it. A Projector has to come to the same.
type reference struct {
	names *telemetry.Pseudonymizer
	err   error // the first thing that is wrong with the object
}

// node is a value in the tree.
type node struct{ value any }

func (n node) at(keys ...string) node {
	for _, key := range keys {
		object, _ := n.value.(map[string]any)
		n = node{object[key]}
	}
	return n
}

func (n node) text() string {
	s, _ := n.value.(string)
	return s[:min(len(s), scan.MaxText)]
}

// proper reports whether the value is a string that is not too long, or none.
func (n node) proper() bool {
	s, ok := n.value.(string)
	return n.value == nil || ok && len(s) <= scan.MaxText
}

func (n node) isObject() bool {
	_, ok := n.value.(map[string]any)
	return ok || n.value == nil
}

func (n node) list() (elements []any, ok bool) {
	elements, ok = n.value.([]any)
	return elements, ok || n.value == nil
}

func (r *reference) project(document []byte, kind Kind) (record.Record, error) {
	var o node
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	if err := decoder.Decode(&o.value); err != nil {
		return nil, err
	}
	if kind == "" {
		if !o.at("apiVersion").proper() || !o.at("kind").proper() {
			return nil, nil
		}
		group, version, named := strings.Cut(o.at("apiVersion").text(), "/")
		if !named {
			group, version = "", group
		}
		switch kind = Kind(o.at("kind").text()); {
		case kind == KindPipelineRun && group == "tekton.dev" && (version == "v1" || version == "v1beta1"):
		case kind == KindComponent && group == "appstudio.redhat.com":
		case kind == KindInstallation && group == "konflux.konflux-ci.dev":
		case kind == KindNamespace && group == "" && version == "v1":
		default:
			return nil, nil
		}
	}
	r.err = nil
	made := r.record(o, kind)
	if r.err != nil {
		return nil, errors.Join(ErrInvalid, r.err)
	}
	return made, nil
}

func (r *reference) need(ok bool, what string) {
	if !ok && r.err == nil {
		r.err = errors.New(what)
	}
}

func (r *reference) record(o node, kind Kind) record.Record {
	meta, status := o.at("metadata"), o.at("status")
	_, isObject := o.value.(map[string]any)
	r.need(isObject, "not an object")
	for _, n := range []node{meta, meta.at("labels"), meta.at("annotations"), o.at("spec"), status} {
		r.need(n.isObject(), "not an object within")
	}
	conditions, ok := status.at("conditions").list()
	r.need(ok, "conditions are no list")
	for _, c := range conditions {
		r.need(node{c}.isObject(), "condition is no object")
	}
	children, ok := status.at("childReferences").list()
	r.need(ok, "children are no list")
	uid, err := telemetry.ParseUID([]byte(meta.at("uid").text()))
	r.need(err == nil && meta.at("uid").proper(), "uid")

	if kind == KindNamespace && meta.at("labels", "konflux-ci.dev/type").text() != "tenant" {
		return nil
	}
	name, application := meta.at("name"), o.at("spec", "application")
	scope := meta.at("namespace")
	r.need(scope.proper() || kind == KindNamespace, "namespace")
	namespace := []byte(scope.text())
	if len(namespace) == 0 {
		namespace = []byte("unknown")
	}
	switch kind {
	case KindPipelineRun:
		p := &record.PipelineRun{
			UID:       uid,
			Namespace: r.names.Namespace(namespace),
			Started:   r.time(status.at("startTime")),
			Tasks:     len(children),
		}
		completed := r.time(status.at("completionTime"))
		if c, ok := firstOf(conditions, "Succeeded"); ok {
			p.Status = record.ParseConditionStatus([]byte(c.at("status").text()))
			p.Reason = record.ParseRunReason([]byte(c.at("reason").text()))
			if p.Status != record.StatusUnknown {
				p.Completed = completed
			}
		}
		labels, _ := meta.at("labels").value.(map[string]any)
		_, p.HasPipelineLabel = labels["tekton.dev/pipeline"]
		if label := meta.at("labels", "pipelines.appstudio.openshift.io/type"); label.value != nil {
			p.Type = record.ParsePipelineType([]byte(label.text()))
		}
		for _, in := range []string{"annotations", "labels"} {
			if sender := meta.at(in, "pipelinesascode.tekton.dev/sender"); sender.proper() && sender.text() != "" {
				p.User = r.names.User([]byte(sender.text()))
			}
		}
		return p
	case KindComponent:
		r.need(name.proper() && name.text() != "" && application.proper(), "name")
		created := r.time(meta.at("creationTimestamp"))
		r.need(!created.IsZero(), "created")
		return &record.Component{
			UID:         uid,
			Namespace:   r.names.Namespace(namespace),
			Component:   r.names.Component([]byte(name.text()), namespace),
			Application: r.names.Application([]byte(application.text()), namespace),
			Created:     created,
		}
	case KindNamespace:
		r.need(name.proper() && name.text() != "", "name")
		created := r.time(meta.at("creationTimestamp"))
		r.need(!created.IsZero(), "created")
		return &record.Namespace{UID: uid, Namespace: r.names.Namespace([]byte(name.text())), Created: created}
	case KindInstallation:
		created := r.time(meta.at("creationTimestamp"))
		r.need(!created.IsZero(), "created")
		i := &record.Installation{
			UID: uid, Namespace: r.names.Namespace(namespace), Created: created, Deleted: r.time(meta.at("deletionTimestamp")),
		}
		if c, ok := firstOf(conditions, "Ready"); ok {
			i.Ready = record.ParseConditionStatus([]byte(c.at("status").text()))
			i.ReadySince = r.time(c.at("lastTransitionTime"))
			i.ReadyReason = record.ParseInstallReason([]byte(c.at("reason").text()))
		}
		return i
	}
	return nil
}

func firstOf(conditions []any, kind string) (node, bool) {
	for _, c := range conditions {
		if (node{c}).at("type").value == kind {
			return node{c}, true
		}
	}
	return node{}, false
}

func (r *reference) time(n node) time.Time {
	if n.value == nil {
		return time.Time{}
	}
	quoted, err := json.Marshal(n.value)
	var at time.Time
	if err == nil && n.proper() {
		err = at.UnmarshalJSON(quoted)
	}
	at = at.UTC().Truncate(time.Second)
	r.need(err == nil && n.proper() && strings.HasPrefix(string(quoted), `"`) && 1 <= at.Year() && at.Year() <= 9999, "time")
	return at
}
