// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

var update = flag.Bool("update", false, "write the golden files")

// plain is an installation for which nothing is configured.
func plain() install.Settings {
	return install.Settings{
		ClusterID: "0b1f3c5e-cluster", Image: "registry.example.com/segment-bridge:v1.0.0",
		Results: &install.Results{Address: "tekton-results-api-service.tekton-pipelines.svc.cluster.local:8080", Namespace: "tekton-pipelines"},
	}
}

// full is one for which all is.
func full() install.Settings {
	s := install.Settings{
		ClusterID: "0b1f3c5e-cluster", Image: "not used", OpenShift: true,
		Results:    &install.Results{Address: "grpcs://results.example.com:8443"},
		APIServers: []netip.AddrPort{netip.MustParseAddrPort("[fd00::1]:6443"), netip.MustParseAddrPort("10.0.0.7:6443")},
		WriteKey:   "0123456789abcdefghijABCDEFGHIJ01", URL: "http://collector.example.com/segment", UINamespace: "konflux-ui",
		PseudonymKey: []byte("a key that only this cluster knows"),
	}
	s.Spec = v1alpha1.SegmentBridgeSpec{
		Schedule:   "*/20 * * * *",
		Window:     v1alpha1.Window{Lookback: &metav1.Duration{Duration: 6 * time.Hour}, MaxLookback: &metav1.Duration{Duration: 48 * time.Hour}},
		Pseudonyms: v1alpha1.Pseudonyms{Scheme: v1alpha1.SchemeHMAC},
		Stage: v1alpha1.Stage{S3: &v1alpha1.S3{
			Bucket: "telemetry", Prefix: "/prod/a b?c#d", Endpoint: "https://minio.storage.svc:9000", Region: "eu-west-1",
			Encryption: "aws:kms", KMSKey: "arn:aws:kms:eu-west-1:1:key/a&b", CredentialsSecret: "bucket",
		}},
		Retention: &v1alpha1.Retention{Compact: true, ExpireAfter: &metav1.Duration{Duration: 9528 * time.Hour}},
	}
	s.Spec.Sources.TektonResults.ServerName = "tekton-results-api-service.tekton-pipelines.svc.cluster.local"
	s.Spec.Sources.TektonResults.CAConfigMap = "results-ca"
	rate := int32(200)
	s.Spec.Segment.EventsPerSecond = &rate
	s.Spec.Job = v1alpha1.Job{
		Image: "registry.example.com/mirror/segment-bridge:v1.0.0", ImagePullPolicy: corev1.PullAlways,
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}},
		Resources: map[string]corev1.ResourceRequirements{install.ContainerLoad: {
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		}},
		Labels:       map[string]string{"team": "observability", install.LabelComponent: "not this"},
		Annotations:  map[string]string{"sidecar.istio.io/inject": "false"},
		NodeSelector: map[string]string{"kubernetes.io/arch": "arm64"}, PriorityClassName: "low",
		Tolerations: []corev1.Toleration{{Key: "infra", Operator: corev1.TolerationOpExists}},
		Proxy:       &v1alpha1.Proxy{HTTPSProxy: "http://proxy.example.com:3128", NoProxy: "10.0.0.0/8"},
	}
	return s
}

func TestGolden(t *testing.T) {
	for name, settings := range map[string]install.Settings{"plain": plain(), "full": full()} {
		t.Run(name, func(t *testing.T) {
			objects, err := install.Objects(settings)
			if err != nil {
				t.Fatal(err)
			}
			got, err := install.YAML(objects)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".yaml")
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
				t.Errorf("the objects differ from %s; look at the difference after go test ./operator/install -update", golden)
			}
		})
	}
}
