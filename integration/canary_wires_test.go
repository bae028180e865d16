// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/load/otlp/otlptest"
	"github.com/segment-bridge/segment-bridge/load/splunk/splunktest"
)

// wires delivers what was staged by hand to every other server that events can go to. Splunk refuses the events of
// objects with canaries, so that these are in its rejections too.
func (c *canaries) wires(t *testing.T) {
	c.t = t
	hec, collector, lines := splunktest.New(splunktest.Options{}), otlptest.New(), world.NewRsyslog(t)
	hec.Refuse(func(e splunktest.Event) bool { return strings.HasPrefix(e.MessageID, "ca9a0000") })
	lines.Start(t)
	record := func(next http.Handler) (*recorder, string) {
		r := &recorder{next: next}
		server := httptest.NewServer(r)
		t.Cleanup(server.Close)
		return r, server.URL
	}
	toSplunk, splunkURL := record(hec)
	toCollector, collectorURL := record(collector)
	env := append(c.loadEnv(), "SEGMENT_BRIDGE_STAGE="+c.bucket.URL("by-hand"), "KONG_LINE_ADDRESS="+lines.Address,
		"SPLUNK_HEC_URL="+splunkURL, "SPLUNK_HEC_TOKEN="+splunktest.Token,
		"OTEL_EXPORTER_OTLP_ENDPOINT="+collectorURL, "OTEL_EXPORTER_OTLP_HEADERS=authorization="+url.PathEscape(otlptest.Token))
	for _, destination := range []string{"splunk", "otlp", "kong"} {
		r := c.try("load to "+destination, env, "load", "--destination", destination, "--kong-ca-file", lines.CAFile)
		if r.code != 0 || r.summary.Destinations[0].Delivered < 50 {
			t.Errorf("%s: exit code %d\n%s%s", destination, r.code, r.stdout, r.stderr)
		} else if rejected := r.summary.Destinations[0].Rejected; (rejected > 0) != (destination == "splunk") {
			t.Errorf("%s: %d events were rejected", destination, rejected)
		}
	}
	lines.Stop() // what it has in memory is on the disk when it has ended
	c.output("wire to Splunk", toSplunk.bytes())
	c.output("wire to a collector", toCollector.bytes())
	c.output("wire of lines", []byte(strings.Join(lines.Lines(t), "\n")))
	for name, content := range c.readBucket() {
		if _, known := c.outputs["bucket "+name]; !known {
			c.output("bucket "+name, append([]byte(name+"\n"), content...))
		}
	}
}
