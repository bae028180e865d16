// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
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
	"github.com/segment-bridge/segment-bridge/operator"
)

// segmentWriteKey is the write key where nobody sets one. It is set by the linker: see `make image`.
var segmentWriteKey string

// The times of leader election. What is led wakes once an hour, so one request a minute to keep the lead is
// enough; a leader that ends gives it up at once.
const (
	leaseDuration = 4 * time.Minute
	renewDeadline = 3 * time.Minute
	leaseRetry    = time.Minute
)

// operatorFlags choose how the operator runs.
type operatorFlags struct {
	kubeconfig     string
	image          string
	uiNamespace    string
	metricsAddress string
	healthAddress  string
	leaderElection bool
	namespace      string
}

func (o *operatorFlags) register(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file (default: KUBECONFIG, the pod's service account, ~/.kube/config)")
	f.StringVar(&o.image, "image", "", "image of the jobs, where the SegmentBridge names none: the one this program is in (env SEGMENT_BRIDGE_IMAGE, required)")
	f.StringVar(&o.uiNamespace, "ui-namespace", operator.DefaultUINamespace, "namespace of the user interface, which gets key and URL while it exists")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8080", "where to serve /metrics; 0 does not")
	f.StringVar(&o.healthAddress, "health-address", ":8081", "where to serve /healthz and /readyz; 0 does not")
	f.BoolVar(&o.leaderElection, "leader-election", true, "let one of several replicas work at a time")
	f.StringVar(&o.namespace, "leader-election-namespace", "", "namespace of the lease (default: that of the pod)")
}

func (p program) operatorCommand() *cobra.Command {
	var flags operatorFlags
	c := &cobra.Command{
		Use:   "operator",
		Short: "Install and watch over the job in a cluster, as the SegmentBridge resource asks for it",
		Long: `operator runs until it is ended. It decides whether telemetry is on, installs the job or removes all of it, and writes
how it goes into the status of the SegmentBridge. What it does is described in docs/operator.md; the rights it needs are in
deploy/operator/rbac.yaml.`,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := p.logger(c)
			if err != nil {
				return err
			}
			config, err := kube.Config(flags.kubeconfig)
			if err != nil {
				return usageError{err}
			}
			config.UserAgent = "segment-bridge-operator/" + version
			return p.operate(c.Context(), config, flags, log)
		},
	}
	flags.register(c.Flags())
	return required(c, "image")
}

// operate runs the operator until ctx is done.
func (p program) operate(ctx context.Context, config *rest.Config, flags operatorFlags, log *slog.Logger) error {
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Logger:                        logr.FromSlogHandler(log.Handler()),
		Metrics:                       metricsserver.Options{BindAddress: flags.metricsAddress},
		HealthProbeBindAddress:        flags.healthAddress,
		LeaderElection:                flags.leaderElection,
		LeaderElectionID:              operator.Name,
		LeaderElectionNamespace:       flags.namespace,
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
	err = operator.SetupWithManager(mgr, operator.Options{
		Image: flags.image, WriteKey: segmentWriteKey, UINamespace: flags.uiNamespace, Now: p.now,
	})
	if err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run the operator: %w", err)
	}
	return nil
}
