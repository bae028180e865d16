// SPDX-License-Identifier: Apache-2.0

package install

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// goMemory is what the collector of each process is told to stay below.
const goMemory = "48MiB"

const (
	workSize  = "1Gi"
	spoolSize = "128Mi"
)

// runtimeEnv keeps memory on a node of 128 cores what it is on two, where it was measured.
func runtimeEnv() []corev1.EnvVar {
	return []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: goMemory}, {Name: "GOMAXPROCS", Value: "2"}}
}

func (s Settings) resources(container string) corev1.ResourceRequirements {
	if r, ok := s.Spec.Job.Resources[container]; ok {
		return r
	}
	limit := "128Mi"
	if container == ContainerExtract {
		limit = "256Mi"
	}
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)},
	}
}
