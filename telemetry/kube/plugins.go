// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"slices"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	kongPlugins        = kind{kong, "kongplugins"}
	kongClusterPlugins = kind{kong, "kongclusterplugins"}
)

// bundled are the plugins that come with Kong 3.9 (BUNDLED_PLUGINS in kong/constants.lua).
// Kong 3.8 has them without redirect, Kong 3.7 without standard-webhooks as well. A newer
// list is another plan, to which people agree first.
var bundled = []string{
	"acl", "acme", "ai-prompt-decorator", "ai-prompt-guard", "ai-prompt-template", "ai-proxy", "ai-request-transformer", "ai-response-transformer",
	"aws-lambda", "azure-functions", "basic-auth", "bot-detection", "correlation-id", "cors", "datadog", "file-log", "grpc-gateway", "grpc-web",
	"hmac-auth", "http-log", "ip-restriction", "jwt", "key-auth", "ldap-auth", "loggly", "oauth2", "opentelemetry", "post-function", "pre-function",
	"prometheus", "proxy-cache", "rate-limiting", "redirect", "request-size-limiting", "request-termination", "request-transformer",
	"response-ratelimiting", "response-transformer", "session", "standard-webhooks", "statsd", "syslog", "tcp-log", "udp-log", "zipkin",
}

// enterprise are the further plugins of Kong Gateway Enterprise 3.7. Those of later
// releases count as custom until they are listed.
var enterprise = []string{
	"ai-azure-content-safety", "ai-rate-limiting-advanced", "application-registration", "canary", "degraphql", "exit-transformer", "forward-proxy",
	"graphql-proxy-cache-advanced", "graphql-rate-limiting-advanced", "jq", "jwe-decrypt", "jwt-signer", "kafka-log", "kafka-upstream", "key-auth-enc",
	"konnect-application-auth", "ldap-auth-advanced", "mocking", "mtls-auth", "oas-validation", "oauth2-introspection", "opa", "openid-connect",
	"proxy-cache-advanced", "rate-limiting-advanced", "request-transformer-advanced", "request-validator", "response-transformer-advanced",
	"route-by-header", "route-transformer-advanced", "saml", "statsd-advanced", "tls-handshake-modifier", "tls-metadata-headers", "upstream-timeout",
	"vault-auth", "websocket-size-limit", "websocket-validator", "xml-threat-protection",
}

// KongPlugins tells which of the plugins that come with Kong are configured. The names
// of others do not leave, since they may tell whose they are: they are one number.
func KongPlugins(c *Client) *Provider {
	const question = "Which plugins are used?"
	number := func(name, reason, source string) telemetry.PropertySpec {
		return technical(telemetry.PropertySpec{Name: name, Type: telemetry.TypeInteger, Buckets: telemetry.Scale(10_000), Reason: reason, Question: question, Source: source})
	}
	const both = "KongPlugins and KongClusterPlugins (configuration.konghq.com)"
	p := &Provider{name: "kong-plugins", rules: lists(kongPlugins, kongClusterPlugins)}
	p.metrics = []telemetry.PropertySpec{
		number("kongPluginCount", "Tells how much plugins are used.", "number of KongPlugins"),
		number("kongClusterPluginCount", "Tells how much plugins are used.", "number of KongClusterPlugins"),
		technical(telemetry.PropertySpec{
			Name: "kongPlugins", Type: telemetry.TypeCounts, Words: bundled, Buckets: telemetry.Scale(10_000),
			Reason: "Tells which plugins matter most.", Question: question, Source: "field plugin of " + both + ", where it is a plugin that comes with Kong 3.9",
		}),
		number("kongEnterprisePluginCount", "Tells whether people use what only Kong Gateway Enterprise has.", "number of "+both+" of a plugin that comes with Kong Gateway Enterprise 3.7 alone"),
		number("kongCustomPluginCount", "Tells whether people write plugins of their own.", "number of "+both+" of any other plugin"),
		number("kongDisabledPluginCount", "Tells plugins in use from those that are switched off.", "number of "+both+" with disabled"),
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		type plugin struct {
			Plugin   string `json:"plugin"`
			Disabled bool   `json:"disabled"`
		}
		type tally struct {
			all, enterprise, custom, disabled int64
			names                             tallies
		}
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		read := func(k kind, metric string) (tally, error) {
			t, err := foldKind(ctx, served, k, func(t *tally, p *plugin) {
				t.all++
				if p.Disabled {
					t.disabled++
				}
				switch {
				case slices.Contains(bundled, p.Plugin):
					t.names.add(p.Plugin)
				case slices.Contains(enterprise, p.Plugin):
					t.enterprise++
				default:
					t.custom++
				}
			})
			if err != nil {
				readings.Fail(metric, err)
			} else {
				readings.Integer(metric, t.all)
			}
			return t, err
		}
		local, err := read(kongPlugins, "kongPluginCount")
		global, globalErr := read(kongClusterPlugins, "kongClusterPluginCount")
		if err != nil {
			return err
		}
		if globalErr != nil {
			return globalErr
		}
		names := map[string]int64{}
		for _, t := range []tally{local, global} {
			for name, n := range t.names {
				names[name] += n
			}
		}
		readings.Counts("kongPlugins", names)
		readings.Integer("kongEnterprisePluginCount", local.enterprise+global.enterprise)
		readings.Integer("kongCustomPluginCount", local.custom+global.custom)
		readings.Integer("kongDisabledPluginCount", local.disabled+global.disabled)
		return nil
	}
	return p
}
