// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Config returns how to reach the cluster: the kubeconfig file at the path given,
// else those that KUBECONFIG lists, else the service account of the pod that this
// process runs in, else ~/.kube/config. In a pod, client-go reads the token again
// as it is renewed.
func Config(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" && os.Getenv(clientcmd.RecommendedConfigPathEnvVar) == "" {
		config, err := rest.InClusterConfig()
		if err == nil {
			return config, nil
		}
		if !errors.Is(err, rest.ErrNotInCluster) {
			return nil, fmt.Errorf("read the pod's service account: mount its token, or pass --kubeconfig: %w", err)
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: pass --kubeconfig, set KUBECONFIG, or run in a pod: %w", err)
	}
	return config, nil
}

// HTTPClient returns a client that authenticates itself to the API server that config
// tells of, and the server's address, for what reads it without this package.
func HTTPClient(config *rest.Config) (*http.Client, string, error) {
	address, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, "", fmt.Errorf("make an HTTP client of the API server: check the kubeconfig: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, "", fmt.Errorf("make an HTTP client of the API server: check the kubeconfig: %w", err)
	}
	return client, address.String(), nil
}
