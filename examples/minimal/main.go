// SPDX-License-Identifier: Apache-2.0

// Command minimal is a controller that does next to nothing but say how it is used: newReporter is all that it takes.
//
//	ACME_TELEMETRY_URL=https://telemetry.acme.example/v1/logs ACME_TELEMETRY_TOKEN=... minimal --kubeconfig FILE
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	runnable "sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/segment-bridge/segment-bridge/load/otlp"
	"github.com/segment-bridge/segment-bridge/load/secret"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// newReporter embeds the library. Telemetry is off until ACME_TELEMETRY or the key "telemetry" of ConfigMap acme-settings
// in namespace acme says "on".
func newReporter(manager ctrl.Manager, logger *slog.Logger) (*telemetry.Reporter, error) {
	client, err := kube.NewClient(manager.GetHTTPClient(), manager.GetConfig().Host, "acme-controller")
	if err != nil {
		return nil, err
	}
	token := secret.New("Bearer " + os.Getenv("ACME_TELEMETRY_TOKEN"))
	vendor, err := otlp.New(otlp.Options{URL: os.Getenv("ACME_TELEMETRY_URL"), Headers: map[string]secret.Secret{"Authorization": token}, Service: "acme-controller"})
	if err != nil {
		return nil, err
	}
	return telemetry.NewReporter(telemetry.Config{
		Product: "acme-controller", Version: "1.0.0", Since: "1.0.0", Signals: []string{"start"}, Logger: logger,
		Identity: func(ctx context.Context) (*telemetry.Pseudonymizer, error) {
			cluster, err := client.ClusterID(ctx)
			if err != nil {
				return nil, err
			}
			return telemetry.NewPseudonymizer(cluster)
		},
		Providers:    []telemetry.Provider{kube.Platform(client), kube.Versions(client), kube.Objects(client)},
		Destinations: []telemetry.Destination{vendor},
		Consent:      telemetry.Consent{Variable: "ACME_TELEMETRY", Cluster: kube.ConfigMapConsent(client, "acme", "acme-settings", "telemetry")},
	})
}

func main() {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(logger); err != nil {
		logger.Error("acme-controller ends", slog.Any("error", err))
		os.Exit(1)
	}
}

func run(logger *slog.Logger) error {
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{Metrics: server.Options{BindAddress: "0"}})
	if err != nil {
		return err
	}
	reporter, err := newReporter(manager, logger)
	if err != nil {
		return err
	}
	start := runnable.RunnableFunc(func(ctx context.Context) error {
		_, _ = reporter.Report(ctx, "start") // the reporter logs what is wrong: that telemetry fails is no reason to end
		return nil
	})
	if err := errors.Join(manager.Add(reporter), manager.Add(start)); err != nil {
		return err
	}
	work := reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) { return reconcile.Result{}, nil })
	if err := ctrl.NewControllerManagedBy(manager).For(&corev1.Service{}).Complete(work); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}
