// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/segment-bridge/segment-bridge/extract/kube"
	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/operator"
)

// The times of leader election. What is led wakes once an hour, so one request a minute to keep the lead is
// enough; a leader that ends gives it up at once.
const (
	leaseDuration = 4 * time.Minute
	renewDeadline = 3 * time.Minute
	leaseRetry    = time.Minute
)

// flags choose how the operator runs.
type flags struct {
	kubeconfig     string
	image          string
	uiNamespace    string
	metricsAddress string
	healthAddress  string
	leaderElection bool
	namespace      string
}

func (o *flags) register(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file (default: KUBECONFIG, the pod's service account, ~/.kube/config)")
	f.StringVar(&o.image, "image", "", "image of the jobs, where the SegmentBridge names none (env SEGMENT_BRIDGE_IMAGE, required)")
	f.StringVar(&o.uiNamespace, "ui-namespace", operator.DefaultUINamespace, "namespace of the user interface, which gets key and URL while it exists")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8080", "where to serve /metrics; 0 does not")
	f.StringVar(&o.healthAddress, "health-address", ":8081", "where to serve /healthz and /readyz; 0 does not")
	f.BoolVar(&o.leaderElection, "leader-election", true, "let one of several replicas work at a time")
	f.StringVar(&o.namespace, "leader-election-namespace", "", "namespace of the lease (default: that of the pod)")
}

// command is the whole program.
func command(stdout, stderr io.Writer, getenv func(string) (string, bool)) *cobra.Command {
	var o flags
	root := &cobra.Command{
		Use:   "segment-bridge-operator",
		Short: "Install and watch over the job in a cluster, as the SegmentBridge resource asks for it",
		Long: `segment-bridge-operator runs until it is ended. It decides whether telemetry is on, installs the job or removes all of it,
and writes how it goes into the status of the SegmentBridge. What it does is described in docs/operator.md; the rights it needs
are in deploy/operator/rbac.yaml.`,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := cli.Logger(c)
			if err != nil {
				return err
			}
			config, err := kube.Config(o.kubeconfig)
			if err != nil {
				return cli.Usage(err)
			}
			config.UserAgent = "segment-bridge-operator/" + cli.Version
			return o.run(c.Context(), config, log)
		},
	}
	o.register(root.Flags())
	return cli.Prepare(cli.Required(root, "image"), stdout, stderr, getenv)
}

// run runs the operator until ctx is done.
func (o *flags) run(ctx context.Context, config *rest.Config, log *slog.Logger) error {
	logger := logr.FromSlogHandler(ending{log.Handler(), ctx})
	ctrl.SetLogger(logger)
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Logger:                        logger,
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.healthAddress,
		LeaderElection:                o.leaderElection,
		LeaderElectionID:              operator.Name,
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 new(leaseDuration),
		RenewDeadline:                 new(renewDeadline),
		RetryPeriod:                   new(leaseRetry),
	})
	if err != nil {
		return fmt.Errorf("start the operator: %w", err)
	}
	if err := mgr.AddHealthzCheck("alive", healthz.Ping); err != nil {
		return fmt.Errorf("start the operator: %w", err)
	}
	if err := mgr.AddReadyzCheck("ready", healthz.Ping); err != nil {
		return fmt.Errorf("start the operator: %w", err)
	}
	err = operator.SetupWithManager(mgr, operator.Options{Image: o.image, WriteKey: cli.SegmentWriteKey, UINamespace: o.uiNamespace})
	if err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run the operator: %w", err)
	}
	return nil
}

// ending is a handler that leaves out what is no error once the program was told to end: that it gave up the lead.
type ending struct {
	slog.Handler

	told context.Context //nolint:containedctx // it is asked whether it is done, and no more
}

// Handle implements [slog.Handler].
func (e ending) Handle(ctx context.Context, r slog.Record) error {
	gaveUp := false
	r.Attrs(func(a slog.Attr) bool {
		err, _ := a.Value.Any().(error)
		gaveUp = err != nil && err.Error() == "leader election lost"
		return !gaveUp
	})
	if gaveUp && e.told.Err() != nil {
		return nil
	}
	return e.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (e ending) WithAttrs(attrs []slog.Attr) slog.Handler {
	return ending{e.Handler.WithAttrs(attrs), e.told}
}

// WithGroup implements [slog.Handler].
func (e ending) WithGroup(name string) slog.Handler { return ending{e.Handler.WithGroup(name), e.told} }
