// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the deep copies and the resource definition again")

// TestGenerated checks that the deep copies and the custom resource definition are those of the types.
func TestGenerated(t *testing.T) {
	out := t.TempDir()
	generate := exec.CommandContext(t.Context(), "go", "tool", "-modfile=go.tool.mod", "controller-gen",
		"object", "crd:maxDescLen=400", "paths=./operator/api/...",
		"output:object:dir="+out, "output:crd:dir="+out)
	generate.Dir = filepath.Join("..", "..", "..")
	if text, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("controller-gen: %v: %s", err, text)
	}
	for _, file := range []string{"zz_generated.deepcopy.go", filepath.Join(generate.Dir, "deploy", "crd", "segment-bridge.dev_segmentbridges.yaml")} {
		want, err := os.ReadFile(filepath.Join(out, filepath.Base(file)))
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(file) == ".go" {
			want = append([]byte("// SPDX-License-Identifier: Apache-2.0\n\n"), bytes.TrimPrefix(want, []byte("// SPDX-License-Identifier: Apache-2.0\n\n"))...)
		}
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types say (error %v): run make generate", file, err)
		}
	}
}

// A resource that another operator builds says what it means and nothing else.
func TestNew(t *testing.T) {
	got, err := yaml.Marshal(v1alpha1.New().Enable(true).SendTo("https://example.com").SendWith("segment", "key").StageIn(v1alpha1.S3{Bucket: "telemetry"}))
	if err != nil {
		t.Fatal(err)
	}
	want := `apiVersion: segment-bridge.dev/v1alpha1
kind: SegmentBridge
metadata:
  name: segment-bridge
spec:
  enabled: true
  segment:
    url: https://example.com
    writeKeySecretRef:
      key: key
      name: segment
  stage:
    s3:
      bucket: telemetry
`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
	if b := v1alpha1.New().StageIn(v1alpha1.S3{}).StageOn(v1alpha1.Volume{}); b.Spec.Stage.S3 != nil || b.Spec.Stage.Volume == nil {
		t.Error("a stage is a bucket and a volume")
	}
}
