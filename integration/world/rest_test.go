// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

// restGet asks a Tekton Results server over REST, trusting its CA alone.
func restGet(r *world.ResultsServer, path, token string) (code int, body string, err error) {
	client := &http.Client{}
	if r.CAFile != "" {
		ca, err := os.ReadFile(r.CAFile)
		if err != nil {
			return 0, "", err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, r.URL+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}
