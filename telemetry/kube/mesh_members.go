// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// members are the pods that are in a mesh. Of each there are a few bytes.
type members struct {
	client *Client
	survey *meshSurvey
	tally  memberTally
}

type memberTally struct {
	pods    map[uint64]meshSet // by the hash of the pod's namespace and name
	samples [16][]ServiceName  // of pods, by mesh
}

// sampled is how many pods of a mesh are looked at in full.
const sampled = 10

func (m *members) read(ctx context.Context) error {
	var err error
	m.tally, err = fold(ctx, m.client, "/api/v1/pods", metadata, func(t *memberTally, pod *object) {
		set := meshesOf(&pod.Metadata, m.survey.kongMesh())
		for i, in := range meshes {
			if m.survey.namespaces.members[m.survey.key(pod.Metadata.Namespace, "")].has(i) && (in.optedOut == nil || !in.optedOut(&pod.Metadata)) {
				set |= 1 << i
			}
		}
		if set == 0 {
			return
		}
		if t.pods == nil {
			t.pods = map[uint64]meshSet{}
		}
		t.pods[m.survey.key(pod.Metadata.Namespace, pod.Metadata.Name)] = set
		for i := range meshes {
			if set.has(i) && len(t.samples[i]) < sampled {
				t.samples[i] = append(t.samples[i], ServiceName{pod.Metadata.Namespace, pod.Metadata.Name})
			}
		}
	})
	return err
}

// recordModes tells by their containers in which way pods are in their mesh. A pod that
// is gone by now is left out.
func (m *members) recordModes(ctx context.Context, readings *telemetry.Readings) {
	type container struct {
		Name  string `json:"name"`
		Image string `json:"image"`
	}
	var found []string
	var ofServices meshSet
	for _, set := range m.survey.services {
		ofServices |= set
	}
	for i := range meshes {
		samples := m.tally.samples[i]
		if meshes[i].mode != "" && (len(samples) > 0 || ofServices.has(i)) {
			found = append(found, meshes[i].word+":"+meshes[i].mode)
			continue
		}
		for _, sample := range samples {
			var pod struct {
				Spec struct {
					Containers     []container `json:"containers"`
					InitContainers []container `json:"initContainers"`
				} `json:"spec"`
			}
			path := "/api/v1/namespaces/" + url.PathEscape(sample.Namespace) + "/pods/" + url.PathEscape(sample.Name)
			if err := m.client.Get(ctx, path, &pod); err != nil && !errors.Is(err, fs.ErrNotExist) {
				readings.Fail("meshModes", err)
				return
			}
			sidecars := meshes[i].sidecars
			if meshes[i].word == "kong-mesh" {
				sidecars = meshes[meshIndex("kuma")].sidecars
			}
			is := func(c container) bool {
				return slices.Contains(sidecars, c.Name) && strings.Contains(c.Image, meshes[i].image)
			}
			if slices.ContainsFunc(pod.Spec.Containers, is) {
				found = append(found, meshes[i].word+":sidecar")
			}
			if slices.ContainsFunc(pod.Spec.InitContainers, is) {
				found = append(found, meshes[i].word+":native-sidecar")
			}
		}
	}
	readings.Set("meshModes", found...)
}

// recordShares goes through the EndpointSlices: which services have a pod in which
// mesh, and those of the gateway. The error is that of both metrics.
func (m *members) recordShares(ctx context.Context, readings *telemetry.Readings, gateway ServiceName) error {
	type slice struct {
		Metadata  objectMeta `json:"metadata"`
		Endpoints []struct {
			TargetRef struct {
				Kind string `json:"kind"`
				Name string `json:"name"`
			} `json:"targetRef"`
		} `json:"endpoints"`
	}
	type tally struct {
		services map[uint64]meshSet
		gateway  meshSet
	}
	t, err := fold(ctx, m.client, "/apis/discovery.k8s.io/v1/endpointslices", whole, func(t *tally, s *slice) {
		name := s.Metadata.Labels["kubernetes.io/service-name"]
		if t.services == nil {
			t.services = map[uint64]meshSet{}
		}
		for _, e := range s.Endpoints {
			if e.TargetRef.Kind != "Pod" || name == "" {
				continue
			}
			service := m.survey.key(s.Metadata.Namespace, name)
			set := m.tally.pods[m.survey.key(s.Metadata.Namespace, e.TargetRef.Name)] | m.survey.services[service]
			t.services[service] |= set
			if (ServiceName{s.Metadata.Namespace, name}) == gateway {
				t.gateway |= set
			}
		}
	})
	if err != nil {
		return err
	}
	shares := map[string]int64{}
	for i, mesh := range meshes {
		enrolled := int64(0)
		for _, set := range t.services {
			if set.has(i) {
				enrolled++
			}
		}
		if enrolled > 0 {
			shares[mesh.word] = max(1, 100*enrolled/int64(len(t.services))) // some is not none
		}
	}
	readings.Counts("meshServiceShare", shares)
	if gateway != (ServiceName{}) {
		readings.Set("meshGateway", t.gateway.words()...)
	}
	return nil
}
