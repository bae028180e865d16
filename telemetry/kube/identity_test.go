// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

func TestClusterID(t *testing.T) {
	const group, version, kubeSystem = "/apis/config.openshift.io", "/apis/config.openshift.io/v1/clusterversions/version", "/api/v1/namespaces/kube-system"
	namespace := map[string]string{kubeSystem: `{"metadata":{"uid":"of-kube-system"}}`}
	openShift := map[string]string{group: `{}`, version: `{"spec":{"clusterID":"of-openshift"}}`, kubeSystem: namespace[kubeSystem]}
	tests := map[string]struct {
		objects map[string]string
		status  map[string]int
		want    string
		wantErr error
	}{
		"Kubernetes":              {objects: namespace, want: "of-kube-system"},
		"OpenShift":               {objects: openShift, want: "of-openshift"},
		"OpenShift, no right":     {objects: openShift, status: map[string]int{version: 403}, wantErr: fs.ErrPermission},
		"Kubernetes, no right":    {objects: namespace, status: map[string]int{kubeSystem: 403}, wantErr: fs.ErrPermission},
		"what it is is not known": {objects: namespace, status: map[string]int{group: 403}, wantErr: fs.ErrPermission},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &cluster{objects: tt.objects, status: tt.status}
			got, err := c.client(t).ClusterID(t.Context())
			if got != tt.want || !errors.Is(err, tt.wantErr) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	if rules := kube.ClusterIDRules(); len(rules) != 2 || rules[0].ResourceNames[0] != "kube-system" || rules[1].ResourceNames[0] != "version" {
		t.Errorf("rules %+v", rules)
	}
}
