// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/internal/cli"
)

// diagnose runs doctor and returns the status of each check, and all that it said.
func diagnose(t *testing.T, env map[string]string, args ...string) (code int, statuses map[string]string, output string) {
	t.Helper()
	code, stdout, stderr := try(t, env, append([]string{"doctor", "--format", "json"}, args...)...)
	var report struct {
		OK     bool
		Checks []finding
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("doctor printed no JSON: %v\n%s%s", err, stdout, stderr)
	}
	if report.OK != (code == cli.ExitDone) {
		t.Errorf("ok is %t and the exit code %d", report.OK, code)
	}
	statuses = map[string]string{}
	for _, f := range report.Checks {
		statuses[f.Check] = f.Status
		if f.Text == "" {
			t.Errorf("check %s says nothing", f.Check)
		}
	}
	return code, statuses, stdout + stderr
}

// wantStatuses checks the statuses of some checks.
func wantStatuses(t *testing.T, got, want map[string]string) {
	t.Helper()
	for check, status := range want {
		if got[check] != status {
			t.Errorf("%s: %q, want %q", check, got[check], status)
		}
	}
}

func TestDoctor(t *testing.T) {
	const key = "0123456789abcdefghijABCDEFGHIJ01"
	dir := t.TempDir()
	stage := "file://" + filepath.Join(dir, "stage")
	objects := []string{"--source", "dir:" + dir, "--cluster-id", "the-cluster"}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		want map[string]string
		says string
	}{
		{
			name: "all is well", env: map[string]string{"SEGMENT_WRITE_KEY": key}, args: append(objects, "--stage", stage),
			want: map[string]string{
				"configuration": "ok", "identity": "ok", "source dir": "ok", "stage, history": "ok", "stage, writing": "ok", "stage, reading": "ok",
				"stage, listing": "ok", "stage, creating": "ok", "stage, replacing": "ok", "destination segment": "ok",
			}, says: "not even 200",
		},
		{
			name: "a key of another shape, in the clear", env: map[string]string{"SEGMENT_WRITE_KEY": key[1:], "SEGMENT_BATCH_API": "http://example.com"},
			args: append(objects, "--stage", stage), want: map[string]string{"destination segment": "note"}, says: "32 letters",
		},
		{
			name: "no destination", args: append(objects, "--stage", stage),
			want: map[string]string{"destination": "note"}, says: "SEGMENT_WRITE_KEY",
		},
		{
			name: "no key", args: append(objects, "--stage", stage, "--destination", "segment"),
			code: cli.ExitUsage, want: map[string]string{"destination segment": "fix", "stage, writing": "ok"}, says: "SEGMENT_WRITE_KEY",
		},
		{
			name: "a destination without a folder", args: append(objects, "--stage", stage, "--destination", "file:"+dir+"/no/file"),
			code: cli.ExitUsage, want: map[string]string{"destination file": "fix"}, says: "create it",
		},
		{
			name: "no stage", args: objects,
			code: cli.ExitUsage, want: map[string]string{"stage": "fix", "identity": "ok"}, says: "SEGMENT_BRIDGE_STAGE",
		},
		{
			name: "a stage that cannot be written", args: append(objects, "--stage", "file://"+dir+"/file/stage"),
			code: cli.ExitFailed, want: map[string]string{"stage, writing": "fix"},
		},
		{
			name: "no objects", args: []string{"--source", "dir:" + dir + "/missing", "--cluster-id", "the-cluster", "--stage", stage},
			code: cli.ExitUsage, want: map[string]string{"source dir": "fix", "stage, writing": "ok"},
		},
		{
			name: "no Tekton Results", args: []string{"--source", "results", "--cluster-id", "the-cluster", "--stage", stage},
			code: cli.ExitUsage, want: map[string]string{"source results": "fix", "identity": "ok"}, says: "address is empty",
		},
		{
			name: "no such source", args: []string{"--source", "etcd", "--stage", stage},
			code: cli.ExitUsage, want: map[string]string{"sources": "fix", "stage, history": "ok"}, says: "use kube, inventory, results or dir:PATH",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, statuses, output := diagnose(t, test.env, test.args...)
			wantStatuses(t, statuses, test.want)
			if code != test.code || !strings.Contains(output, test.says) {
				t.Errorf("exit code %d, want %d and %q in:\n%s", code, test.code, test.says, output)
			}
			if strings.Contains(output, key[1:]) || strings.Contains(output, "the-cluster") {
				t.Errorf("the key or the ID of the cluster is printed:\n%s", output)
			}
		})
	}
	if code, _, stderr := try(t, nil, "doctor", "--format", "pdf"); code != cli.ExitUsage {
		t.Errorf("--format pdf: exit code %d\n%s", code, stderr)
	}
	code, stdout, _ := try(t, nil, append([]string{"doctor", "--stage", "mem:"}, objects...)...)
	if code != cli.ExitDone || !strings.Contains(stdout, "ok    stage, writing") {
		t.Errorf("as text: exit code %d\n%s", code, stdout)
	}
	for _, file := range []string{"stage/v1/manifests", "events.ndjson"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			t.Errorf("doctor made %s", file)
		}
	}
}

// Each right is checked by the request that needs it.
func TestDoctorChecksRights(t *testing.T) {
	const canary = "tenant-name-that-leaks"
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := http.StatusNotFound, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":404}`
		switch r.URL.Path {
		case "/apis/tekton.dev/v1/pipelineruns":
			status, body = http.StatusOK, fmt.Sprintf(`{"metadata":{"continue":"more"},"items":[{"metadata":{"uid":"u","namespace":%q},"status":{"startTime":"2025-01-01T00:00:00Z"}}]}`, canary)
		case "/apis/appstudio.redhat.com/v1alpha1/components":
			status, body = http.StatusForbidden, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":%q}`, canary)
		case "/api/v1/namespaces":
			status, body = http.StatusOK, `{"metadata":{},"items":[]}`
		case "/api/v1/namespaces/kube-system":
			status, body = http.StatusOK, `{"metadata":{"uid":"uid-of-the-cluster"}}`
		case "/version":
			status, body = http.StatusOK, `{"gitVersion":"v1.36.3"}`
		}
		if r.Method != http.MethodGet || r.URL.Query().Get("continue") != "" {
			t.Errorf("unexpected request: %s %s", r.Method, r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer api.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
		"clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":{"token":"token-that-leaks"}}]}`, api.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, statuses, output := diagnose(t, nil, "--source", "kube", "--kubeconfig", kubeconfig, "--stage", "mem:")
	wantStatuses(t, statuses, map[string]string{
		"identity": "ok", "source kube/pipelineruns": "ok", "source kube/components": "fix", "source kube/namespaces": "ok", "source kube/konfluxes": "ok",
	})
	for _, says := range []string{"v1.36.3", "allows to list components.appstudio.redhat.com", "not installed", "1 of"} {
		if !strings.Contains(output, says) {
			t.Errorf("it does not say %q", says)
		}
	}
	if code != cli.ExitFailed || strings.Contains(output, "that-leaks") || strings.Contains(output, "uid-of-the-cluster") {
		t.Errorf("exit code %d, or a name, the token or the cluster's ID is printed:\n%s", code, output)
	}
}
