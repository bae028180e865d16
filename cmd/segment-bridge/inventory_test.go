// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// cluster is an API server with some nodes, pods, services and one Ingress, of which some
// paths are forbidden; it returns a kubeconfig of it.
func cluster(t *testing.T, forbidden ...string) (kubeconfig string) {
	t.Helper()
	answers := map[string]string{
		"/version": `{"gitVersion":"v1.36.3-acme.1","platform":"linux/arm64"}`,
		"/apis": `{"groups":[{"name":"networking.k8s.io","versions":[{"version":"v1"}],"preferredVersion":{"version":"v1"}},
			{"name":"discovery.k8s.io","versions":[{"version":"v1"}],"preferredVersion":{"version":"v1"}}]}`,
		"/api/v1":                    `{"resources":[{"name":"pods"},{"name":"services"},{"name":"nodes"},{"name":"namespaces"}]}`,
		"/apis/networking.k8s.io/v1": `{"resources":[{"name":"ingresses"},{"name":"ingressclasses"}]}`,
		"/api/v1/pods":               `{"metadata":{"continue":"x","remainingItemCount":1233},"items":[{"metadata":{"name":"secret-name"}}]}`,
		"/api/v1/services":           `{"items":[{"metadata":{"name":"secret-name"},"spec":{"type":"LoadBalancer","ports":[{"appProtocol":"grpc"}]}}]}`,
		"/api/v1/namespaces":         `{"items":[{"metadata":{"name":"secret-name","labels":{"istio-injection":"enabled"}}}]}`,
		"/api/v1/nodes": `{"items":[{"metadata":{"name":"secret-name","labels":{"kubernetes.io/arch":"amd64","kubernetes.io/os":"linux"}},"spec":{"providerID":"kind://docker/secret-name"},"status":{"nodeInfo":{"kubeletVersion":"v1.36.0"}}},
			{"metadata":{"labels":{"kubernetes.io/arch":"arm64","kubernetes.io/os":"linux"}},"spec":{"providerID":"kind://docker/x"},"status":{"nodeInfo":{"kubeletVersion":"v1.35.1"}}}]}`,
		"/apis/networking.k8s.io/v1/ingresses":      `{"items":[{"metadata":{"name":"secret-name","creationTimestamp":"2020-01-01T00:00:00Z"},"spec":{"rules":[{"host":"secret-name","http":{"paths":[{},{}]}}]}}]}`,
		"/apis/networking.k8s.io/v1/ingressclasses": `{"items":[{"spec":{"controller":"k8s.io/ingress-nginx"}}]}`,
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, status := answers[r.URL.Path], http.StatusOK
		switch {
		case slices.Contains(forbidden, r.URL.Path):
			status = http.StatusForbidden
		case answer == "":
			status = http.StatusNotFound
		}
		if status != http.StatusOK {
			answer = fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"secret-name","code":%d}`, status)
		}
		if r.Method != http.MethodGet || !strings.HasPrefix(r.UserAgent(), "segment-bridge/") {
			t.Errorf("unexpected request: %s %s by %s", r.Method, r.URL, r.UserAgent())
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(api.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
		"clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":{"token":"token"}}]}`, api.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// What the cluster is like is one event an hour, and the wire has it as the golden file
// does.
func TestInventory(t *testing.T) {
	dir, kubeconfig := t.TempDir(), cluster(t)
	staged := func(args ...string) int64 {
		t.Helper()
		code, stdout, stderr := try(t, nil, append([]string{
			"run", "--source", "inventory", "--kubeconfig", kubeconfig, "--cluster-id", "cluster-1", "--stage", "file://" + dir + "/stage", "--destination", "file:" + dir + "/out",
		}, args...)...)
		var s summary
		if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != cli.ExitDone {
			t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
		}
		if strings.Contains(stdout+stderr, "secret-name") {
			t.Errorf("a name is printed:\n%s%s", stdout, stderr)
		}
		if s.Staged == nil {
			return 0
		}
		return s.Staged.ByName[catalogue.Inventory]
	}
	if n := staged(); n != 1 {
		t.Errorf("%d inventories are staged", n)
	}
	if n := staged(); n != 0 {
		t.Errorf("%d inventories are staged by the same run again", n)
	}
	if n := staged("--until", noon.Add(-20*time.Minute).Format(time.RFC3339)); n != 0 {
		t.Errorf("%d inventories are staged by a run in the same hour", n)
	}
	if n := staged("--until", noon.AddDate(0, 0, -7).Format(time.RFC3339)); n != 0 {
		t.Errorf("%d inventories are staged of a week ago, which nobody looked at", n)
	}
	out, err := os.ReadFile(dir + "/out")
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for line := range bytes.Lines(out) {
		if bytes.Contains(line, []byte("Cluster Inventory")) {
			if got != nil {
				t.Error("there are two inventories")
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, bytes.Replace(line, []byte(`"version":"`+cli.Version+`"`), []byte(`"version":"0.0.0"`), 1), "", "  "); err != nil {
				t.Fatal(err)
			}
			got = indented.Bytes()
		}
	}
	const golden = "testdata/inventory.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the event is\n%s; compare with %s", got, golden)
	}
	if bytes.Contains(out, []byte("secret-name")) {
		t.Error("a name is on the wire")
	}
}

func TestDoctorLooksAtTheCluster(t *testing.T) {
	args := []string{"--source", "inventory", "--cluster-id", "cluster-1", "--stage", "mem:", "--kubeconfig"}
	code, statuses, output := diagnose(t, nil, append(args, cluster(t))...)
	wantStatuses(t, statuses, map[string]string{"source inventory": "ok"})
	if code != cli.ExitDone || !strings.Contains(output, "metrics may be read") {
		t.Errorf("exit code %d\n%s", code, output)
	}
	code, statuses, output = diagnose(t, nil, append(args, cluster(t, "/api/v1/nodes"))...)
	wantStatuses(t, statuses, map[string]string{"source inventory": "fix"})
	if code != cli.ExitFailed || !strings.Contains(output, "metrics may not be read, such as platformDistribution") || strings.Contains(output, "secret-name") {
		t.Errorf("exit code %d\n%s", code, output)
	}
}
