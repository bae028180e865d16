// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

// gauges shows the status to Prometheus. It holds nothing of its own, so that both cannot differ.
type gauges struct {
	status atomic.Pointer[v1alpha1.SegmentBridgeStatus]
}

var (
	conditionDesc = prometheus.NewDesc("segment_bridge_condition",
		"1 while the condition of the SegmentBridge has this status: true, false or unknown.", []string{"type", "status"}, nil)
	lastRunTimeDesc = prometheus.NewDesc("segment_bridge_last_run_timestamp_seconds",
		"When the last run ended.", nil, nil)
	lastRunEventsDesc = prometheus.NewDesc("segment_bridge_last_run_events",
		"Events of the last run by what became of them: staged, delivered, rejected, pending.", []string{"outcome"}, nil)
	lastRunDegradedDesc = prometheus.NewDesc("segment_bridge_last_run_degraded_sources",
		"Sources that the last run could not read.", nil, nil)
)

// show shows this status from now on; nil shows nothing.
func (g *gauges) show(status *v1alpha1.SegmentBridgeStatus) { g.status.Store(status) }

// Describe implements [prometheus.Collector].
func (*gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{conditionDesc, lastRunTimeDesc, lastRunEventsDesc, lastRunDegradedDesc} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	status := g.status.Load()
	if status == nil {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionTelemetryEnabled, v1alpha1.ConditionDegraded, v1alpha1.ConditionLastRunSucceeded} {
		condition := meta.FindStatusCondition(status.Conditions, kind)
		for value, label := range map[string]string{"True": "true", "False": "false", "Unknown": "unknown"} {
			is := 0.0
			if condition != nil && string(condition.Status) == value {
				is = 1
			}
			gauge(conditionDesc, is, kind, label)
		}
	}
	run := status.LastRun
	if run == nil {
		return
	}
	if run.Finished != nil {
		gauge(lastRunTimeDesc, float64(run.Finished.Unix()))
	}
	gauge(lastRunEventsDesc, float64(run.Staged), "staged")
	gauge(lastRunEventsDesc, float64(run.Delivered), "delivered")
	gauge(lastRunEventsDesc, float64(run.Rejected), "rejected")
	gauge(lastRunEventsDesc, float64(run.Pending), "pending")
	gauge(lastRunDegradedDesc, float64(len(run.Degraded)))
}
