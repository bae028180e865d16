// SPDX-License-Identifier: Apache-2.0

// Command otlp is both ends of OTLP for logs over HTTP as OpenTelemetry has them: the Collector's receiver, and the exporter of
// the SDK for Go.
//
//	otlp receive [-cert FILE -key FILE] [-busy N] ADDRESS   prints each request in OTLP's JSON form on a line; takes none of the first N
//	otlp send RECORDS                                       sends that many in one batch; exits 1 when the exporter says that it failed
//
// The exporter is set by OpenTelemetry's standard variables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "otlp: %v\n", err)
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
	busy := flags.Int("busy", 0, "how many requests find the collector busy")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch {
	case args[0] == "receive" && flags.NArg() == 1:
		return receive(ctx, flags.Arg(0), *cert, *key, *busy)
	case args[0] == "send" && flags.NArg() == 1:
		records, err := strconv.Atoi(flags.Arg(0))
		if err != nil {
			return err
		}
		return send(ctx, records)
	default:
		return errors.New("usage: receive ADDRESS, or send RECORDS")
	}
}

// nothing is what the receiver sees of its collector.
type nothing struct{}

func (nothing) GetExtensions() map[component.ID]component.Component { return nil }

func receive(ctx context.Context, address, cert, key string, busy int) error {
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	http := config.Protocols.HTTP.GetOrInsertDefault() // and no gRPC
	http.ServerConfig.NetAddr.Endpoint = address
	if cert != "" {
		http.ServerConfig.TLS = configoptional.Some(configtls.ServerConfig{Config: configtls.Config{CertFile: cert, KeyFile: key}})
	}
	p := &printer{busy: busy}
	logs, err := consumer.NewLogs(p.print)
	if err != nil {
		return err
	}
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	server, err := factory.CreateLogs(ctx, settings, config, logs)
	if err != nil {
		return err
	}
	if err := server.Start(ctx, nothing{}); err != nil {
		return err
	}
	<-ctx.Done()
	return server.Shutdown(context.Background())
}

// printer is what stands behind the receiver.
type printer struct {
	mu   sync.Mutex
	busy int
}

func (p *printer) print(_ context.Context, logs plog.Logs) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy > 0 {
		p.busy--
		return errors.New("the queue is full") // one that is not permanent: the client is to try again
	}
	line, err := (&plog.JSONMarshaler{}).MarshalLogs(logs)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(line, '\n'))
	return err
}

// A keeper is a processor that keeps records, so that they can be exported at once and the outcome be seen.
type keeper struct{ records []sdklog.Record }

func (k *keeper) OnEmit(_ context.Context, r *sdklog.Record) error {
	k.records = append(k.records, r.Clone())
	return nil
}
func (*keeper) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (*keeper) Shutdown(context.Context) error                         { return nil }
func (*keeper) ForceFlush(context.Context) error                       { return nil }

func send(ctx context.Context, records int) error {
	exporter, err := otlploghttp.New(ctx, otlploghttp.WithRetry(otlploghttp.RetryConfig{
		Enabled: true, InitialInterval: 100 * time.Millisecond, MaxInterval: time.Second, MaxElapsedTime: 20 * time.Second,
	}))
	if err != nil {
		return err
	}
	kept := &keeper{}
	logger := sdklog.NewLoggerProvider(sdklog.WithProcessor(kept)).Logger("otlp-send")
	for i := range records {
		var r log.Record
		r.SetEventName("Sent")
		r.SetTimestamp(time.Unix(1_700_000_000+int64(i), 0))
		r.SetSeverity(log.SeverityInfo)
		r.AddAttributes(attribute.String("messageId", fmt.Sprintf("sent-%d", i)))
		logger.Emit(ctx, r)
	}
	return errors.Join(exporter.Export(ctx, kept.records), exporter.Shutdown(ctx))
}
