// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// The properties of every report, beside the metrics.
const (
	signalProperty  = "signal"
	clusterProperty = "clusterIdHash"
)

// inventoryEvent is the plan's entry for the event of a reporter.
func inventoryEvent(c *Config, inventory *Inventory) EventSpec {
	return EventSpec{
		Name: c.Event, MessageID: c.Product + "-<clusterIdHash>-<signal>-<timestamp>", Timestamp: "when the report was made",
		Question: "In which environments is " + c.Product + " used, and how?",
		Source:   "the cluster and the product itself, once each period and when the product signals", Since: c.Since,
		Properties: append([]PropertySpec{
			{
				Name: signalProperty, Type: TypeEnum, Words: append([]string{PeriodicSignal}, c.Signals...),
				Reason: "Tells what a report was made for.",
				Source: "the product", Sensitivity: SensitivityActivity, Since: c.Since,
			},
			{
				Name: clusterProperty, Type: TypePseudonym,
				Reason: "Counts clusters, and tells one cluster's reports from another's.",
				Source: "the cluster's ID", Sensitivity: SensitivityPseudonym, Since: c.Since,
			},
		}, inventory.Properties()...),
	}
}

// report makes a report and queues it for every destination.
func (r *Reporter) report(ctx context.Context, signal string) (*Receipt, error) {
	p := r.permission(ctx, true)
	if !r.allows(p, signal) {
		return nil, ErrOff
	}
	e, found, err := r.collect(ctx, signal, p)
	if err != nil {
		if ctx.Err() == nil && r.news("report", "fails") {
			r.logger.WarnContext(ctx, "telemetry is not reported; it is tried again in the next period", slog.Any("error", err))
		}
		return nil, fmt.Errorf("report %s: %w", signal, err)
	}
	if r.news("report", "") {
		r.logger.InfoContext(ctx, "telemetry is reported again")
	}
	for _, provider := range r.inventory.providers {
		switch fault := found.faults[provider.Name()]; {
		case !r.news("provider "+provider.Name(), fault):
		case fault == "":
			r.logger.InfoContext(ctx, "provider of telemetry is well again", slog.String("provider", provider.Name()))
		default:
			r.logger.WarnContext(ctx, "provider of telemetry is at fault; its metrics say so",
				slog.String("provider", provider.Name()), slog.String("fault", fault))
		}
	}
	r.mu.Lock()
	r.last, r.outcomes = e.Time, found.outcomes
	r.mu.Unlock()
	receipt := newReceipt(e.MessageID, r.outlets, r.stopped)
	track := e.Track(r.library())
	for _, o := range r.outlets {
		o.put(queued{track, receipt})
	}
	return receipt, nil
}

// collect makes the event of a report, of what p allows, and checks it against the plan.
func (r *Reporter) collect(ctx context.Context, signal string, p permission) (*Event, *survey, error) {
	found, err := r.inventory.survey(ctx, r.config.Identity, func(metric string) bool { return r.may(p, metric) })
	if err != nil {
		return nil, nil, err
	}
	cluster, now := found.names.Cluster(), time.Now().UTC().Truncate(time.Second)
	e := &Event{
		Name: r.config.Event, Time: now, Cluster: cluster,
		MessageID: r.config.Product + "-" + cluster.String() + "-" + signal + "-" + now.Format(time.RFC3339),
		Properties: append([]Property{
			{signalProperty, Value{typ: TypeEnum, text: signal}},
			{clusterProperty, PseudonymValue(cluster)},
		}, found.properties...),
	}
	if err := r.plan.Check(e); err != nil {
		return nil, nil, err
	}
	return e, found, nil
}

// allows reports whether p allows any report with the signal.
func (r *Reporter) allows(p permission, signal string) bool {
	if p.plan == nil {
		return false
	}
	agreed := p.plan.Event(r.config.Event).property(signalProperty)
	return agreed != nil && slices.Contains(agreed.Words, signal) && p.may(r.plan, r.config.Event, clusterProperty)
}

// may reports whether the metric and its outcome are in the plan agreed to as they are
// in this release's.
func (r *Reporter) may(p permission, metric string) bool {
	return p.may(r.plan, r.config.Event, metric) && p.may(r.plan, r.config.Event, metric+outcomeSuffix)
}

// permission asks what may be sent, and says when that has changed.
func (r *Reporter) permission(ctx context.Context, save bool) permission {
	p := r.gate.permission(ctx, save)
	waiting := r.waiting(p)
	switch {
	case ctx.Err() != nil:
	case p.err != nil:
		if r.news("consent", "unknown") {
			r.logger.WarnContext(ctx, "whether telemetry may be sent is not known; the last decision stays, and before there is one that is off", slog.Any("error", p.err))
		}
	case p.plan == nil:
		if r.news("consent", "off by "+p.decision.By) {
			r.logger.InfoContext(ctx, "telemetry is off", slog.String("by", p.decision.By))
		}
	case r.news("consent", fmt.Sprint("on by ", p.decision.By, waiting)):
		r.logger.InfoContext(ctx, "telemetry is on", slog.String("by", p.decision.By),
			slog.String("plan", r.plan.Hash()), slog.String("agreed", p.plan.Hash()), slog.Any("waiting", waiting))
	}
	return p
}

// waiting returns the metrics that wait for consent to this release's plan.
func (r *Reporter) waiting(p permission) []string {
	if p.plan == nil || p.plan == r.plan {
		return nil
	}
	var waiting []string
	for _, provider := range r.inventory.providers {
		for i := range provider.metrics {
			if name := provider.metrics[i].Name; !r.may(p, name) {
				waiting = append(waiting, name)
			}
		}
	}
	return waiting
}

// news remembers the state of a thing and reports whether it is another than before;
// at first it is "".
func (r *Reporter) news(about, state string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.said[about]
	r.said[about] = state
	return before != state
}

func isShortSlug(s string) bool { return isSlug(s) && len(s) <= maxSlugBytes }
