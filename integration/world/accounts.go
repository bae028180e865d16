// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ServiceAccount makes sure that a service account and its namespace exist. An account may do nothing until a role is
// bound to it: see Bind, or apply the product's own manifests.
func (c *Cluster) ServiceAccount(t testing.TB, namespace, name string) {
	t.Helper()
	c.Namespace(t, namespace, nil)
	c.ApplyObjects(t, object("v1", "ServiceAccount", namespace, name))
}

// Token asks the API server for a token of a service account that exists. The server takes no less than ten minutes.
// Without audiences the token is for the API server itself, whose audience is [TokenIssuer].
func (c *Cluster) Token(t testing.TB, namespace, name string, valid time.Duration, audiences ...string) string {
	t.Helper()
	token, err := c.token(t.Context(), namespace, name, valid, audiences...)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (c *Cluster) token(ctx context.Context, namespace, name string, valid time.Duration, audiences ...string) (string, error) {
	request := object("authentication.k8s.io/v1", "TokenRequest", "", name)
	list := make([]any, len(audiences))
	for i, audience := range audiences {
		list[i] = audience
	}
	request.Object["spec"] = map[string]any{"expirationSeconds": int64(valid.Seconds()), "audiences": list}
	accounts := c.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}).Namespace(namespace)
	answer, err := accounts.Create(ctx, request, metav1.CreateOptions{}, "token")
	if err != nil {
		return "", fmt.Errorf("ask for a token of %s/%s: %w", namespace, name, err)
	}
	token, _, err := unstructured.NestedString(answer.Object, "status", "token")
	if err != nil || token == "" {
		return "", fmt.Errorf("ask for a token of %s/%s: the answer has none", namespace, name)
	}
	return token, nil
}

// Bind binds a cluster role that exists, or will, to a service account in all namespaces.
func (c *Cluster) Bind(t testing.TB, clusterRole, namespace, account string) {
	t.Helper()
	if err := c.bind(t.Context(), clusterRole, namespace, account); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) bind(ctx context.Context, clusterRole, namespace, account string) error {
	binding := object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", clusterRole+":"+namespace+":"+account)
	binding.Object["roleRef"] = map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": clusterRole}
	binding.Object["subjects"] = []any{map[string]any{"kind": "ServiceAccount", "namespace": namespace, "name": account}}
	return c.apply(ctx, binding)
}

// ConfigFor returns how to reach the cluster as the bearer of a token.
func (c *Cluster) ConfigFor(token string) *rest.Config {
	config := rest.AnonymousClientConfig(c.Config)
	config.BearerToken = token
	return config
}

// Kubeconfig writes a kubeconfig file for the bearer of a token, with an empty token for the administrator, and returns
// its path. It ends with the test.
func (c *Cluster) Kubeconfig(t testing.TB, token string) string {
	t.Helper()
	user := &clientcmdapi.AuthInfo{Token: token}
	if token == "" {
		user.ClientCertificateData, user.ClientKeyData = c.Config.CertData, c.Config.KeyData
	}
	const name = "world"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: c.Config.Host, CertificateAuthorityData: c.Config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: user},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}, path)
	if err != nil {
		t.Fatalf("write a kubeconfig: %v", err)
	}
	return path
}
