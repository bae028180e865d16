// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/segment-bridge/segment-bridge/load/kongline"
	"github.com/segment-bridge/segment-bridge/load/secret"
	"github.com/segment-bridge/segment-bridge/load/splunk"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/host"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

const (
	product, version, since = "acme-gateway", "3.4.0", "3.0.0"
	startSignal             = "start"
)

// features are those that are registered: no other can be switched on, and no other is reported.
var features = []string{"fallback-configuration", "fill-ids", "gateway-alpha"}

// clusterProviders read the cluster; their rules are the report's part of the ClusterRole.
func clusterProviders(c *kube.Client) []*kube.Provider {
	return []*kube.Provider{kube.Platform(c), kube.Versions(c), kube.Nodes(c), kube.Objects(c), kube.Routes(c), kube.Gateways(c), kube.KongPlugins(c)}
}

// newReporter says what is reported, to whom, and who decides about it.
func newReporter(s *settings, replicas ctrl.Manager, reader *kube.Client, pushes *latency, logger *slog.Logger) (*telemetry.Reporter, error) {
	on := strings.FieldsFunc(s.features, func(r rune) bool { return r == ',' })
	if unknown := slices.DeleteFunc(slices.Clone(on), func(f string) bool { return slices.Contains(features, f) }); len(unknown) > 0 {
		return nil, fmt.Errorf("--feature-gates: %q is not one of %q", unknown, features)
	}
	var providers []telemetry.Provider
	for _, p := range clusterProviders(reader) {
		providers = append(providers, p)
	}
	providers = append(providers, host.FeatureFlags(since, features, func(f string) bool { return slices.Contains(on, f) }), pushes.provider())
	destinations, err := destinations(s, logger)
	if err != nil {
		return nil, err
	}
	return telemetry.NewReporter(telemetry.Config{
		Product: product, Version: version, Since: since, Signals: []string{startSignal}, Period: s.period, Logger: logger,
		Identity: func(ctx context.Context) (*telemetry.Pseudonymizer, error) {
			cluster, err := reader.ClusterID(ctx)
			if err != nil {
				return nil, err
			}
			return telemetry.NewPseudonymizer(cluster)
		},
		Providers: providers, Destinations: destinations,
		Consent: telemetry.Consent{
			Off: !s.reports, Variable: "ACME_GATEWAY_TELEMETRY", Cluster: kube.ConfigMapConsent(reader, s.namespace, "gateway-settings", "telemetry"),
			OnByDefault: true, Agreement: &agreement{replicas.GetAPIReader(), replicas.GetClient(), s.namespace},
		},
	})
}

func destinations(s *settings, logger *slog.Logger) ([]telemetry.Destination, error) {
	var all []telemetry.Destination
	if s.splunkURL != "" {
		hec, err := splunk.New(splunk.Options{
			URL: s.splunkURL, Token: secret.New(os.Getenv("SPLUNK_HEC_TOKEN")), Source: product, UserAgent: product + "/" + version, Logger: logger,
		})
		if err != nil {
			return nil, err
		}
		all = append(all, hec)
	}
	if s.lines != "" {
		lines, err := kongline.New(kongline.Options{Address: s.lines, CAFile: s.linesCA, Logger: logger})
		if err != nil {
			return nil, err
		}
		all = append(all, lines)
	}
	return all, nil
}

// An agreement keeps the plan that was agreed to in a ConfigMap of its own.
type agreement struct {
	reader    client.Reader // past the cache, which would watch every ConfigMap
	writer    client.Client
	namespace string
}

const planKey = "plan.json"

func (a *agreement) object() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "gateway-telemetry-plan"}}
}

// Load implements [telemetry.Agreement].
func (a *agreement) Load(ctx context.Context) ([]byte, error) {
	kept := a.object()
	err := a.reader.Get(ctx, client.ObjectKeyFromObject(kept), kept)
	switch plan := kept.Data[planKey]; {
	case apierrors.IsNotFound(err), err == nil && plan == "":
		return nil, fs.ErrNotExist
	case err != nil: // its text may hold names
		return nil, errors.New("get ConfigMap gateway-telemetry-plan: allow it in the controller's Role")
	default:
		return []byte(plan), nil
	}
}

// Save implements [telemetry.Agreement].
func (a *agreement) Save(ctx context.Context, plan []byte) error {
	kept := a.object()
	kept.Data = map[string]string{planKey: string(plan)}
	err := a.writer.Update(ctx, kept)
	if apierrors.IsNotFound(err) {
		err = a.writer.Create(ctx, kept)
	}
	if err != nil {
		return errors.New("write ConfigMap gateway-telemetry-plan: allow create and update in the controller's Role")
	}
	return nil
}

// A latency is a histogram of how long it took to configure the proxy. The zero latency is empty.
type latency struct {
	mu     sync.Mutex
	counts [len(latencyBounds) + 1]uint64
}

// latencyBounds are milliseconds.
var latencyBounds = [...]float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000}

func (l *latency) observe(took time.Duration) {
	ms := float64(took) / float64(time.Millisecond)
	i, _ := slices.BinarySearch(latencyBounds[:], ms)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[i]++
}

// provider reports the median and the 95th percentile. A histogram that a program keeps for Prometheus is read the same
// way.
func (l *latency) provider() telemetry.Provider {
	return host.Quantiles(host.Histogram{
		Metric: "configurationPush", Provider: "configuration-push", Unit: "milliseconds", Buckets: telemetry.Scale(10_000),
		Reason: "Tells how the time of a push grows with the number of routes.", Question: "How fast is a change live?",
		Source: "the time that writing a configuration took", Since: since,
		Read: func(context.Context) (host.Snapshot, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return host.Snapshot{Bounds: latencyBounds[:], Counts: slices.Clone(l.counts[:])}, nil
		},
	})
}
