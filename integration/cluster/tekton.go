// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	_ "embed"

	"github.com/segment-bridge/segment-bridge/integration/servers/binaries"
	"github.com/segment-bridge/segment-bridge/integration/world"
)

// InstallTekton installs Tekton Pipelines from the manifests of its module: custom resource definitions, controller,
// webhook. Afterwards PipelineRuns run; their steps may use [BusyboxImage].
func (c *Cluster) InstallTekton(t testing.TB) {
	t.Helper()
	c.LoadBusybox(t)
	c.LoadImage(t,
		server(t, "tekton-controller", "/ko-app/controller"), server(t, "tekton-webhook", "/ko-app/webhook"),
		server(t, "tekton-entrypoint", "/ko-app/entrypoint"), server(t, "tekton-nop", "/ko-app/nop"),
		server(t, "tekton-workingdirinit", "/ko-app/workingdirinit"))
	config := moduleFolder(t, binaries.TektonModule, "config")
	var manifests []string
	for _, pattern := range []string{"100-namespace/*.yaml", "300-crds/*.yaml", "*.yaml"} {
		found, err := filepath.Glob(filepath.Join(config, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("find Tekton's manifests: no %s in %s", pattern, config)
		}
		for _, file := range found {
			if slices.Contains([]string{"events.yaml", "webhook-hpa.yaml"}, filepath.Base(file)) {
				continue // CloudEvents, which is another controller, and replicas of the webhook by load
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			manifests = append(manifests, string(data))
		}
	}
	c.ApplyText(t, withLocalImages(strings.Join(manifests, "\n---\n")))
	c.Await(t, "tekton-pipelines", "tekton-pipelines-webhook", "tekton-pipelines-controller")
}

// Results is what is needed to read from the Tekton Results of a cluster.
type Results struct {
	Address string // host and port inside the cluster; TLS
	CA      []byte // PEM that its certificate is verified with
}

//go:embed results.yaml
var resultsYAML string

// InstallResults installs Tekton Results from the manifests of its module: the API server with TLS and RBAC on, and the
// watcher, which deletes a run from the cluster some five seconds after it has stored it. Tekton must be installed.
func (c *Cluster) InstallResults(t testing.TB) *Results {
	t.Helper()
	c.LoadImage(t, server(t, "results-api", "/ko-app/api"), server(t, "results-watcher", "/ko-app/watcher"))
	cert, key := selfSigned(t, world.ResultsServiceName)
	encode := base64.StdEncoding.EncodeToString
	c.ApplyText(t, strings.NewReplacer("CERTIFICATE", encode(cert), "KEY", encode(key)).Replace(resultsYAML))

	text := c.Kubectl(t, "kustomize", moduleFolder(t, binaries.ResultsModule, "config/overlays/base-only"))
	var manifests []string
	for manifest := range strings.SplitSeq(text, "\n---\n") {
		if !strings.Contains(manifest, "retention-policy-agent") { // it deletes what is old, which nothing is here
			manifests = append(manifests, manifest)
		}
	}
	text = withLocalImages(strings.Join(manifests, "\n---\n"))
	const last = "        - $(AUTH_MODE)\n" // of the watcher's arguments
	if strings.Count(text, last) != 1 {
		t.Fatal("install Tekton Results: the watcher's arguments are not where they were")
	}
	text = strings.Replace(text, last, last+"        - -completed_run_grace_period=5s\n        - -requeue_interval=5s\n", 1)
	c.ApplyText(t, text)
	c.Await(t, "tekton-pipelines", "tekton-results-api", "tekton-results-watcher")
	return &Results{Address: world.ResultsServiceName + ":8080", CA: cert}
}

var (
	// shell is the image of a shell in Tekton's manifests.
	shell = regexp.MustCompile(`cgr\.dev/chainguard/busybox@sha256:[0-9a-f]+`)
	// sources are images in Tekton's manifests: Go packages, which its release process turns into images.
	sources = regexp.MustCompile(`ko://[a-z0-9./-]+`)
)

// withLocalImages replaces the images that manifests ask for by ours.
func withLocalImages(manifests string) string {
	manifests = shell.ReplaceAllLiteralString(manifests, BusyboxImage)
	return sources.ReplaceAllStringFunc(manifests, func(source string) string {
		for _, s := range slices.Concat(binaries.Servers, binaries.ClusterServers) {
			if "ko://"+s.Package == source {
				return "localhost/" + s.Name + ":dev"
			}
		}
		return "localhost/none:dev" // of what tests do not use: logs as results
	})
}

func moduleFolder(t testing.TB, module binaries.Module, folder string) string {
	t.Helper()
	root, err := binaries.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := module.Dir(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, folder)
}

// selfSigned returns a certificate that vouches for itself, as PEM: so Tekton Results' instructions make it.
func selfSigned(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	var certPEM, keyPEM bytes.Buffer
	pem.Encode(&certPEM, &pem.Block{Type: "CERTIFICATE", Bytes: der})  //nolint:errcheck // to memory
	pem.Encode(&keyPEM, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}) //nolint:errcheck // to memory
	return certPEM.Bytes(), keyPEM.Bytes()
}
