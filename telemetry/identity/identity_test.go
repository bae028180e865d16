// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
)

const (
	infoPath      = "/api/v1/namespaces/konflux-info/configmaps/konflux-public-info"
	groupPath     = "/apis/config.openshift.io"
	openShiftPath = "/apis/config.openshift.io/v1/clusterversions/version"
	systemPath    = "/api/v1/namespaces/kube-system"
	versionPath   = "/version"
)

// cluster maps paths to JSON, or to an HTTP status. What is missing is not found.
type cluster map[string]any

func (c cluster) Get(_ context.Context, path string, object any) error {
	switch answer := c[path].(type) {
	case string:
		return json.Unmarshal([]byte(answer), object)
	case int:
		if answer == 403 {
			return fmt.Errorf("get %s: %w: general advice", path, fs.ErrPermission)
		}
		return fmt.Errorf("get %s: HTTP %d", path, answer)
	default:
		return fmt.Errorf("get %s: %w", path, fs.ErrNotExist)
	}
}

// published returns the ConfigMap with the given info.json.
func published(info string) string { return fmt.Sprintf(`{"data":{"info.json":%q}}`, info) }

func TestResolve(t *testing.T) {
	const (
		full      = `{"clusterId":"published-id","konfluxVersion":"v1.2.3","kubernetesVersion":"v1.35.0","environment":"x"}`
		openShift = `{"metadata":{"uid":"not-this"},"spec":{"clusterID":"openshift-id"}}`
		system    = `{"metadata":{"uid":"system-id"}}`
		version   = `{"gitVersion":"v1.36.3+k3s1"}`
	)
	for _, test := range []struct {
		name    string
		api     Getter
		options Options
		want    string // ID, version of Konflux, version of Kubernetes
		wantErr string
		warns   bool
	}{
		{
			name: "no cluster, all given",
			options: Options{
				ClusterID: "given-id", KonfluxVersion: "v9.9.9", KubernetesVersion: "v1.30.0",
			},
			want: "given-id v9.9.9 v1.30.0",
		},
		{name: "no cluster, nothing given", wantErr: "none is given"},
		{
			name:    "what is given wins and nothing is read",
			api:     cluster{infoPath: 500, versionPath: 500},
			options: Options{ClusterID: "given-id", KonfluxVersion: "v9.9.9", KubernetesVersion: "v1.30.0"},
			want:    "given-id v9.9.9 v1.30.0",
		},
		{
			name: "published wins over OpenShift",
			api:  cluster{infoPath: published(full), groupPath: `{}`, openShiftPath: openShift, systemPath: system, versionPath: version},
			want: "published-id v1.2.3 v1.35.0",
		},
		{
			name:    "an ID is given, the versions are published",
			api:     cluster{infoPath: published(full)},
			options: Options{ClusterID: "given-id"},
			want:    "given-id v1.2.3 v1.35.0",
		},
		{
			name: "published without an ID, on OpenShift",
			api:  cluster{infoPath: published(`{"konfluxVersion":"v1.2.3"}`), groupPath: `{}`, openShiftPath: openShift, systemPath: system, versionPath: version},
			want: "openshift-id v1.2.3 v1.36.3+k3s1",
		},
		{
			name: "nothing published, not OpenShift",
			api:  cluster{systemPath: system, versionPath: version},
			want: "system-id  v1.36.3+k3s1",
		},
		{
			name: "published without info.json",
			api:  cluster{infoPath: `{"data":{}}`, systemPath: system, versionPath: version},
			want: "system-id  v1.36.3+k3s1",
		},
		{
			name:    "published may not be read",
			api:     cluster{infoPath: 403, systemPath: system, versionPath: version},
			wantErr: "konflux-public-info in namespace konflux-info",
		},
		{
			name:    "published may not be read, an ID is given",
			api:     cluster{infoPath: 403, versionPath: version},
			options: Options{ClusterID: "given-id"},
			want:    "given-id  v1.36.3+k3s1",
			warns:   true,
		},
		{
			name:    "published cannot be read",
			api:     cluster{infoPath: 500, systemPath: system, versionPath: version},
			wantErr: "HTTP 500",
		},
		{
			name:    "published is not JSON",
			api:     cluster{infoPath: published(`{"clusterId":`), systemPath: system, versionPath: version},
			wantErr: "info.json",
		},
		{
			name:    "published is not a text",
			api:     cluster{infoPath: published(`{"clusterId":["acme"]}`), systemPath: system, versionPath: version},
			wantErr: "info.json",
		},
		{
			name:    "OpenShift with an empty ID",
			api:     cluster{groupPath: `{}`, openShiftPath: `{"metadata":{"uid":"not-this"},"spec":{}}`, systemPath: system, versionPath: version},
			wantErr: "spec.clusterID",
		},
		{
			name:    "OpenShift without a ClusterVersion",
			api:     cluster{groupPath: `{}`, systemPath: system, versionPath: version},
			wantErr: "clusterversions/version",
		},
		{
			name:    "OpenShift with a ClusterVersion that may not be read",
			api:     cluster{groupPath: `{}`, openShiftPath: 403, systemPath: system, versionPath: version},
			wantErr: "clusterversions.config.openshift.io",
		},
		{
			name:    "whether it is OpenShift cannot be told",
			api:     cluster{groupPath: 503, systemPath: system, versionPath: version},
			wantErr: "HTTP 503",
		},
		{
			name:    "kube-system may not be read",
			api:     cluster{systemPath: 403, versionPath: version},
			wantErr: "kube-system",
		},
		{
			name:    "kube-system without a UID",
			api:     cluster{systemPath: `{}`, versionPath: version},
			wantErr: "metadata.uid",
		},
		{
			name:  "no version can be read",
			api:   cluster{systemPath: system, versionPath: 500},
			want:  "system-id  ",
			warns: true,
		},
		{
			name: "versions that are none",
			api:  cluster{infoPath: published(`{"clusterId":"published-id","konfluxVersion":"acme's own","kubernetesVersion":"latest"}`)},
			want: "published-id  ",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var logged bytes.Buffer
			test.options.Logger = slog.New(slog.NewTextHandler(&logged, nil))
			got, err := Resolve(t.Context(), test.api, test.options)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("error is %v, want one with %q", err, test.wantErr)
				}
				if got.ClusterID.Reveal() != "" {
					t.Errorf("ID is %q in spite of the error", got.ClusterID.Reveal())
				}
				checkSilent(t, err.Error())
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if text := fmt.Sprint(got.ClusterID.Reveal(), " ", got.KonfluxVersion, " ", got.KubernetesVersion); text != test.want {
				t.Errorf("identity is %q, want %q", text, test.want)
			}
			if warned := logged.Len() > 0; warned != test.warns {
				t.Errorf("log is %q", &logged)
			}
			checkSilent(t, logged.String())
		})
	}
}

// checkSilent checks that no ID, and nothing that people wrote, is in the text.
func checkSilent(t *testing.T, text string) {
	t.Helper()
	for _, word := range []string{"-id ", "not-this", "acme"} {
		if strings.Contains(text, word) {
			t.Errorf("%q says %q", text, word)
		}
	}
}

func TestClusterIDDoesNotShow(t *testing.T) {
	id, err := Resolve(t.Context(), nil, Options{ClusterID: "canary"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("resolved", "identity", id, "id", id.ClusterID)
	for _, shown := range []string{
		fmt.Sprintf("%v %+v %#v %s %q %x", id, id, id, id, id, id), fmt.Sprint(id.ClusterID, &id.ClusterID), string(text), logged.String(),
		fmt.Sprintf("%v", struct{ id ClusterID }{id.ClusterID}),
	} {
		if strings.Contains(shown, "canary") || strings.Contains(shown, fmt.Sprintf("%x", "canary")) {
			t.Errorf("the ID shows: %s", shown)
		}
	}
	if id.ClusterID.Reveal() != "canary" || (ClusterID{}).Reveal() != "" {
		t.Error("the ID is not revealed on demand")
	}
}
