// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// configuration are the kinds that people change to change what a gateway does.
var configuration = []kind{
	ingresses, gateways, httpRoutes, grpcRoutes,
	{gatewayAPI, "tlsroutes"},
	{gatewayAPI, "tcproutes"},
	{gatewayAPI, "udproutes"},
	{gatewayAPI, "referencegrants"},
	kongPlugins, kongClusterPlugins,
	kongConsumers,
	{kong, "kongingresses"},
	{kong, "kongroutes"},
	{kong, "kongservices"},
	{kong, "tcpingresses"},
	{kong, "udpingresses"},
}

// LastChange tells, in steps of an hour, a day, a week and 30 days, how long ago the
// routes, gateways and plugins were last changed, so far as the objects that are there
// show it: of one that was deleted nothing is left. A change of an object's status is
// none. Where none of these objects exists, the metric is absent.
func LastChange(c *Client) *Provider {
	const metric = "lastConfigurationChangeSeconds"
	p := &Provider{name: "last-change", rules: lists(configuration...)}
	p.metrics = []telemetry.PropertySpec{{
		Name: metric, Type: telemetry.TypeInteger, Unit: "seconds", Buckets: ages(),
		Reason: "Tells clusters in use from abandoned ones.", Question: "When was the configuration last changed?",
		Source:      "newest time in metadata.managedFields of routes, gateways and plugins, changes of status aside",
		Sensitivity: telemetry.SensitivityActivity, Since: since,
	}}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		var newest time.Time
		for _, k := range configuration {
			path, _, err := served.find(ctx, k)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
			changed, err := fold(ctx, c, path, metadata, func(latest *time.Time, o *object) {
				if t := o.Metadata.changed(); t.After(*latest) {
					*latest = t
				}
			})
			if err != nil { // the newest may be here
				return err
			}
			if changed.After(newest) {
				newest = changed
			}
		}
		if newest.IsZero() {
			return fmt.Errorf("find the last change: there is nothing that could have been changed: %w", fs.ErrNotExist)
		}
		readings.Integer(metric, age(newest))
		return nil
	}
	return p
}

// ages are the steps in which it is told how long ago something was: an hour, a day, a
// week, 30 days.
func ages() []int64 { return []int64{0, 3600, 24 * 3600, 7 * 24 * 3600, 30 * 24 * 3600} }

// age returns how many seconds ago t was; the server's clock may be ahead.
func age(t time.Time) int64 { return max(0, int64(time.Since(t)/time.Second)) }

// changed returns when somebody last changed the object, or zero.
func (m *objectMeta) changed() time.Time {
	latest := parseTime(m.CreationTimestamp)
	for _, f := range m.ManagedFields {
		if t := parseTime(f.Time); f.Subresource == "" && t.After(latest) {
			latest = t
		}
	}
	return latest
}

func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
