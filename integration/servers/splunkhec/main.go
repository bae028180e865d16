// SPDX-License-Identifier: Apache-2.0

// Command splunkhec is both ends of Splunk's HTTP Event Collector as the OpenTelemetry Collector has them.
//
//	splunkhec receive [-cert FILE -key FILE] ADDRESS   prints each event that arrives as JSON on a line
//	splunkhec send [-gzip] URL TOKEN EVENTS            sends that many events in one batch; exits 1 when it gives up
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/splunkhecexporter"
	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/ackextension"
	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/splunkhecreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "splunkhec: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say receive or send")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	cert := flags.String("cert", "", "certificate to serve with")
	key := flags.String("key", "", "its key")
	gzip := flags.Bool("gzip", false, "compress what is sent")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch {
	case args[0] == "receive" && flags.NArg() == 1:
		return receive(ctx, flags.Arg(0), *cert, *key)
	case args[0] == "send" && flags.NArg() == 3:
		events, err := strconv.Atoi(flags.Arg(2))
		if err != nil {
			return err
		}
		return send(ctx, flags.Arg(0), flags.Arg(1), events, *gzip)
	default:
		return errors.New("usage: receive ADDRESS, or send URL TOKEN EVENTS")
	}
}

// components is what the receiver sees of its collector.
type components map[component.ID]component.Component

func (c components) GetExtensions() map[component.ID]component.Component { return c }

func receive(ctx context.Context, address, cert, key string) (err error) {
	acks, ackID := ackextension.NewFactory(), component.MustNewID("ack")
	ack, err := acks.Create(ctx, extension.Settings{ID: ackID, TelemetrySettings: componenttest.NewNopTelemetrySettings()}, acks.CreateDefaultConfig())
	if err != nil {
		return err
	}
	factory := splunkhecreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*splunkhecreceiver.Config)
	config.NetAddr.Endpoint, config.Extension = address, &ackID
	if cert != "" {
		config.TLS = configoptional.Some(configtls.ServerConfig{Config: configtls.Config{CertFile: cert, KeyFile: key}})
	}
	p := &printer{out: json.NewEncoder(os.Stdout)}
	logs, err := consumer.NewLogs(p.print)
	if err != nil {
		return err
	}
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	server, err := factory.CreateLogs(ctx, settings, config, logs)
	if err != nil {
		return err
	}
	host := components{ackID: ack}
	for _, c := range []component.Component{ack, server} {
		if err := c.Start(ctx, host); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Shutdown(context.Background())) }()
	}
	<-ctx.Done()
	return nil
}

// printer prints events under the keys that they have in HEC.
type printer struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (p *printer) print(_ context.Context, logs plog.Logs) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				line := map[string]any{"time": float64(record.Timestamp()) / 1e9, "event": record.Body().AsRaw()}
				for attribute, name := range map[string]string{
					"host.name": "host", "com.splunk.source": "source", "com.splunk.sourcetype": "sourcetype", "com.splunk.index": "index",
				} {
					if value, ok := find(attribute, resource.Resource().Attributes(), record.Attributes()); ok {
						line[name] = value
					}
				}
				if err := p.out.Encode(line); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func find(name string, places ...pcommon.Map) (string, bool) {
	for _, place := range places {
		if value, ok := place.Get(name); ok {
			return value.AsString(), true
		}
	}
	return "", false
}

func send(ctx context.Context, url, token string, events int, gzip bool) (err error) {
	factory := splunkhecexporter.NewFactory()
	config := factory.CreateDefaultConfig().(*splunkhecexporter.Config)
	config.Endpoint, config.Token, config.DisableCompression = url, configopaque.String(token), !gzip
	config.Source, config.SourceType = "splunkhec", "otel"
	config.QueueSettings = configoptional.None[exporterhelper.QueueBatchConfig]() // the outcome is wanted at once
	config.InitialInterval, config.MaxElapsedTime = 100*time.Millisecond, 20*time.Second
	settings := exporter.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	client, err := factory.CreateLogs(ctx, settings, config)
	if err != nil {
		return err
	}
	if err := client.Start(ctx, components{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Shutdown(context.Background())) }()
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range events {
		record := records.AppendEmpty()
		record.SetTimestamp(pcommon.NewTimestampFromTime(time.Unix(1_700_000_000+int64(i), 0)))
		record.Body().SetStr("event " + strconv.Itoa(i))
	}
	return client.ConsumeLogs(ctx, logs)
}
