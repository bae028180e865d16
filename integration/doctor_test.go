// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
)

// Doctor finds nothing where all is set up as deploy/ says, and each thing that was
// taken away.
func TestDoctor(t *testing.T) {
	s := newSite(t, samplecluster.Config{Seed: 5, Runs: 20}, world.ResultsOptions{PartialResponse: true})
	env := append(s.extractEnv(), s.loadEnv()...)
	ca := "--results-ca-file=" + s.results.CAFile

	code, findings := s.doctor(env, ca)
	if code != 0 || len(findings) < 13 {
		t.Errorf("exit code %d: %v", code, findings)
	}
	for check, found := range findings {
		if found.Status != "ok" {
			t.Errorf("%s: %+v", check, found)
		}
	}
	for object := range s.bucket.Client.ListObjectsIter(t.Context(), s.bucket.Name, minio.ListObjectsOptions{Recursive: true}) {
		t.Errorf("doctor left %s: %v", object.Key, object.Err)
	}

	t.Run("without rights", func(t *testing.T) {
		bindings := s.cluster.Dynamic.Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"})
		if err := bindings.Delete(t.Context(), "segment-bridge", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		want := []string{"source kube/pipelineruns", "source kube/components", "source kube/namespaces", "source kube/konfluxes", "source results"}
		for deadline := time.Now().Add(time.Minute); ; { // both servers keep what they know of rights for a moment
			code, findings = s.doctor(env, ca)
			missing := 0
			for _, check := range want {
				if found := findings[check]; found.Status == "fix" && strings.Contains(found.Text, "grant this account") {
					missing++
				}
			}
			if code == 1 && missing == len(want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("exit code %d: %v", code, findings)
			}
		}
		if found := findings["stage, writing"]; found.Status != "ok" {
			t.Errorf("the stage is not to blame: %+v", found)
		}
	})

	t.Run("without credentials, CA and key", func(t *testing.T) {
		code, findings = s.doctor(append(env, "AWS_SECRET_ACCESS_KEY=wrong-secret", "SEGMENT_WRITE_KEY="), "--destination=segment")
		for check, says := range map[string]string{
			"source results": "certificate is not trusted", "stage, history": "AWS_SECRET_ACCESS_KEY", "stage, writing": "AWS_SECRET_ACCESS_KEY",
			"destination segment": "SEGMENT_WRITE_KEY",
		} {
			if found := findings[check]; found.Status != "fix" || !strings.Contains(found.Text, says) {
				t.Errorf("%s: %+v, want %q", check, found, says)
			}
		}
		if code != 2 {
			t.Errorf("exit code %d, want 2", code)
		}
	})

	token, err := os.ReadFile(s.tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{string(token), writeKey, s.bucket.SecretKey, "wrong-secret", s.sample.ID, samplecluster.Marker} {
		if bytes.Contains(s.output.Bytes(), []byte(secret)) {
			t.Errorf("doctor printed a secret or a name:\n%s", s.output.Bytes())
		}
	}
}

// A finding is one entry of what doctor prints.
type finding struct{ Check, Status, Text string }

// doctor runs the command and returns its findings by their checks, those that are
// to fix before others.
func (s *site) doctor(env []string, args ...string) (code int, findings map[string]finding) {
	s.t.Helper()
	r := s.run(env, append([]string{"doctor", "--format=json"}, args...)...)
	var report struct{ Checks []finding }
	if err := json.Unmarshal(r.stdout, &report); err != nil {
		s.t.Fatalf("doctor printed no JSON: %v\n%s%s", err, r.stdout, r.stderr)
	}
	findings = map[string]finding{}
	for _, f := range report.Checks {
		if findings[f.Check].Status != "fix" {
			findings[f.Check] = f
		}
	}
	return r.code, findings
}
