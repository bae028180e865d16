// SPDX-License-Identifier: Apache-2.0

// Command gateway is a controller of the shape of Kong's ingress controller, to show what reporting takes there: it
// configures a proxy from Ingresses, several replicas elect a leader, and the leader reports at its start and each hour
// to Splunk and to a receiver of Kong's lines.
//
//	gateway --preview     prints what a report would send now, and sends nothing
//	gateway --plan        prints what may ever be sent, and why
//	gateway --rules       prints the rules of the ClusterRole that the report takes
//	gateway               runs
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	networkingv1 "k8s.io/api/networking/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

type settings struct {
	preview, plan, rules bool
	namespace            string
	reports              bool
	period               time.Duration
	features             string
	splunkURL            string
	lines, linesCA       string
}

func main() {
	var s settings
	flag.BoolVar(&s.preview, "preview", false, "print what a report would send now, and send nothing")
	flag.BoolVar(&s.plan, "plan", false, "print everything that may be sent, and why")
	flag.BoolVar(&s.rules, "rules", false, "print the rules of the ClusterRole that the report takes, as JSON")
	flag.StringVar(&s.namespace, "namespace", "gateway", "namespace of the controller, with its ConfigMap gateway-settings")
	flag.BoolVar(&s.reports, "anonymous-reports", true, "report how the gateway is used; the key telemetry of the ConfigMap decides too")
	flag.DurationVar(&s.period, "period", time.Hour, "time from one report to the next")
	flag.StringVar(&s.features, "feature-gates", "", "features to switch on, separated by commas: "+strings.Join(features, ", "))
	flag.StringVar(&s.splunkURL, "splunk-url", "", "Splunk's HTTP Event Collector; its token is in SPLUNK_HEC_TOKEN")
	flag.StringVar(&s.lines, "lines-address", "", "host:port of a receiver of Kong's lines")
	flag.StringVar(&s.linesCA, "lines-ca-file", "", "certificates that this receiver is verified with")
	flag.Parse()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(&s, logger, os.Stdout); err != nil {
		logger.Error("gateway ends", slog.Any("error", err))
		os.Exit(1)
	}
}

func run(s *settings, logger *slog.Logger, out io.Writer) error {
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	replicas, err := ctrl.NewManager(config, ctrl.Options{
		LeaderElection: true, LeaderElectionID: "gateway", LeaderElectionNamespace: s.namespace, LeaderElectionReleaseOnCancel: true,
		Metrics: server.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	reader, err := kube.NewClient(replicas.GetHTTPClient(), config.Host, "gateway")
	if err != nil {
		return err
	}
	var pushes latency
	if s.rules {
		return json.NewEncoder(out).Encode(append(kube.Rules(clusterProviders(reader)...), kube.ClusterIDRules()...))
	}
	reporter, err := newReporter(s, replicas, reader, &pushes, logger)
	if err != nil {
		return err
	}
	switch {
	case s.plan:
		_, err := out.Write(reporter.Plan().Markdown())
		return err
	case s.preview:
		sent, err := reporter.Preview(ctrl.SetupSignalHandler(), startSignal)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", sent)
		return err
	}
	if err := errors.Join(replicas.Add(reporter), replicas.Add(reportStart(reporter, logger))); err != nil {
		return err
	}
	work := reconcile.Func(func(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
		return reconcile.Result{}, configure(ctx, replicas.GetClient(), &pushes)
	})
	if err := ctrl.NewControllerManagedBy(replicas).For(&networkingv1.Ingress{}).Complete(work); err != nil {
		return err
	}
	return replicas.Start(ctrl.SetupSignalHandler())
}

// reportStart reports once when this replica leads, and says in the log what waits for consent.
func reportStart(reporter *telemetry.Reporter, logger *slog.Logger) manager.Runnable {
	return manager.RunnableFunc(func(ctx context.Context) error {
		if waiting := reporter.Status(ctx).Waiting; len(waiting) > 0 {
			logger.InfoContext(ctx, "new metrics wait until somebody agrees to the plan: see --plan", slog.Int("metrics", len(waiting)), slog.String("plan", reporter.Plan().Hash()))
		}
		if _, err := reporter.Report(ctx, startSignal); err != nil && !errors.Is(err, telemetry.ErrOff) && ctx.Err() == nil {
			logger.WarnContext(ctx, "the start is not reported", slog.Any("error", err))
		}
		return nil
	})
}

// configure stands for what a controller does: it writes a configuration of all Ingresses, and takes the time.
func configure(ctx context.Context, c client.Client, pushes *latency) error {
	began := time.Now()
	var ingresses networkingv1.IngressList
	if err := c.List(ctx, &ingresses); err != nil {
		return err
	}
	if err := json.NewEncoder(io.Discard).Encode(ingresses); err != nil {
		return err
	}
	pushes.observe(time.Since(began))
	return nil
}
