// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	featureGates = kind{"config.openshift.io", "featuregates"}
	featureSets  = []string{"Default", "TechPreviewNoUpgrade", "DevPreviewNoUpgrade", "CustomNoUpgrade", "OKD"}
)

// Features tells which of the named feature gates of Kubernetes are on, and which set of
// features OpenShift has. Gates that are not named, and all but the API server's, are not
// told of. The API server says it in its own metrics, of which nothing else is kept.
func Features(c *Client, gates ...string) *Provider {
	const on, known, set = "kubernetesFeatures", "kubernetesFeaturesKnown", "openShiftFeatureSet"
	const reason, question = "Tells which features of Kubernetes can be relied on.", "Which features are switched on?"
	p := &Provider{name: "features", rules: []Rule{featureGates.rule("get", "cluster")}}
	if len(gates) > 0 {
		p.rules = append(p.rules, Rule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}})
		p.metrics = append(p.metrics,
			technical(telemetry.PropertySpec{
				Name: on, Type: telemetry.TypeSet, Words: gates, Reason: reason, Question: question,
				Source: "kubernetes_feature_enabled in /metrics of the API server: gates that are on",
			}),
			technical(telemetry.PropertySpec{
				Name: known, Type: telemetry.TypeSet, Words: gates, Reason: "Tells gates that are off from those that this release of Kubernetes does not have.", Question: question,
				Source: "kubernetes_feature_enabled in /metrics of the API server: gates that it has",
			}),
		)
	}
	p.metrics = append(p.metrics, technical(telemetry.PropertySpec{
		Name: set, Type: telemetry.TypeEnum, Words: withOther(featureSets), Reason: reason, Question: question,
		Source: "spec.featureSet of FeatureGate cluster (config.openshift.io)",
	}))
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		if len(gates) > 0 && (readings.Wants(on) || readings.Wants(known)) {
			has, enabled, err := c.gates(ctx, gates)
			if err != nil {
				failAll(readings, err, on, known)
			} else {
				readings.Set(on, enabled...)
				readings.Set(known, has...)
			}
		}
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		path, _, err := served.find(ctx, featureGates)
		if err != nil {
			return err
		}
		var gate struct {
			Spec struct {
				FeatureSet string `json:"featureSet"`
			} `json:"spec"`
		}
		if err := c.Get(ctx, path+"/cluster", &gate); err != nil {
			return err
		}
		if gate.Spec.FeatureSet == "" {
			gate.Spec.FeatureSet = featureSets[0]
		}
		readings.Word(set, listedOr(featureSets, gate.Spec.FeatureSet, other))
		return nil
	}
	return p
}

// gates reads the API server's metrics line by line.
func (c *Client) gates(ctx context.Context, gates []string) (has, enabled []string, err error) {
	const metric = "kubernetes_feature_enabled{"
	told := false
	err = c.read(ctx, "/metrics", "text/plain", func(body io.Reader) error {
		lines := bufio.NewScanner(body)
		lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
		for lines.Scan() {
			labels, value, found := strings.Cut(strings.TrimPrefix(lines.Text(), metric), "} ")
			if !found || !strings.HasPrefix(lines.Text(), metric) {
				continue
			}
			told = true
			_, name, _ := strings.Cut(labels, `name="`)
			name, _, _ = strings.Cut(name, `"`)
			if !slices.Contains(gates, name) {
				continue
			}
			has = append(has, name)
			if value == "1" {
				enabled = append(enabled, name)
			}
		}
		return lines.Err()
	})
	if err == nil && !told {
		err = fmt.Errorf("find the feature gates: the API server does not tell them: %w", fs.ErrNotExist)
	}
	return has, enabled, err
}
