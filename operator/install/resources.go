// SPDX-License-Identifier: Apache-2.0

package install

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	// workSize bounds temporary files: the events of one batch, 60 MB for a million runs. They appear in a back-fill; an
	// ordinary run needs a few kilobytes.
	workSize = "1Gi"
	// spoolSize bounds what extract hands to transform in memory: 50 bytes for a run, so that a million runs take half of it.
	spoolSize = "128Mi"

	// With the collector told to stay below 40 MiB, and the mapped program of 20 MiB counted, extract, transform and load peak at
	// 26, 50 and 38 MiB on 600 MB of objects that nobody should have made (TestHostileFiles), and at 29, 57 and 51 MiB on a million
	// runs at once. Memory does not grow with their number beyond that.
	goMemory    = "40MiB"
	memory      = "64Mi"
	memoryLimit = "128Mi"
	// extractMemoryLimit adds the spool, which counts for whom writes it.
	extractMemoryLimit = "192Mi"
	// cpu is for the scheduler: an ordinary run takes two seconds of it. There is no limit, so that a back-fill is not held up.
	cpu = "50m"
)

// runtimeEnv keeps memory on a node with 128 cores what it is with two, where it was measured.
func runtimeEnv() []corev1.EnvVar {
	return []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: goMemory}, {Name: "GOMAXPROCS", Value: "2"}}
}

func (s Settings) resources(container string) corev1.ResourceRequirements {
	if r, ok := s.Spec.Job.Resources[container]; ok {
		return r
	}
	limit := memoryLimit
	if container == ContainerExtract {
		limit = extractMemoryLimit
	}
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)},
	}
}
