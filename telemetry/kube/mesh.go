// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"hash/maphash"
	"io/fs"
	"slices"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	namespaces     = kind{"", "namespaces"}
	daemonSets     = kind{"apps", "daemonsets"}
	webhooks       = kind{"admissionregistration.k8s.io", "mutatingwebhookconfigurations"}
	endpointSlices = kind{"discovery.k8s.io", "endpointslices"}
	configMaps     = kind{"", "configmaps"}
)

// Verdicts on a mesh: nothing of it is there; something is, but nothing that runs
// it, such as what an uninstallation leaves; what runs it is there.
const (
	verdictAbsent  = "absent"
	verdictPresent = "present"
	verdictActive  = "active"
)

// A ServiceName names a Service.
type ServiceName struct{ Namespace, Name string }

// Mesh answers three questions about service meshes: which are installed, whether the
// gateway is in one, and which share of the services is. The gateway is known by the
// Service that it is published by; without one, that question is left out.
//
// Installed is a verdict for each mesh, with the signs that led to it. A verdict that
// what may not be read could change has no value. A pod is in a mesh that has left its mark
// on it; in Cilium's and AWS App Mesh when its namespace is; in Traefik Mesh when its
// service is. Pods and EndpointSlices are only read where a mesh shows, and of pods the
// metadata; containers of ten of a mesh's pods tell in which way they are in it.
func Mesh(c *Client, gateway ServiceName) *Provider {
	joinable := meshesWith((*mesh).joinable)
	percent := func(name, reason, source string) telemetry.PropertySpec {
		return technical(telemetry.PropertySpec{
			Name: name, Type: telemetry.TypeCounts, Unit: "percent", Words: joinable.words(), Buckets: []int64{0, 1, 10, 25, 50, 75, 90, 100},
			Reason: reason, Question: "Which share of the services is in a mesh?", Source: source,
		})
	}
	p := &Provider{name: "mesh", rules: lists(services, namespaces, daemonSets, webhooks, pods, endpointSlices)}
	p.rules = append(p.rules, pods.rule("get"), configMaps.rule("get", "cilium-config"))
	for _, m := range meshes {
		p.metrics = append(p.metrics, technical(telemetry.PropertySpec{
			Name: m.stem, Type: telemetry.TypeEnum, Words: []string{verdictAbsent, verdictPresent, verdictActive},
			Reason: "Tells with which service meshes the product has to get along.", Question: "Is a service mesh deployed?",
			Source: "API groups, namespaces and what runs " + m.word + "; active when that is there, present when only the rest is",
		}))
	}
	p.metrics = append(p.metrics,
		technical(telemetry.PropertySpec{
			Name: "meshEvidence", Type: telemetry.TypeSet, Words: evidenceWords(),
			Reason: "Tells how sure the verdicts are.", Question: "Is a service mesh deployed?", Source: "what the verdicts on meshes are based on",
		}),
		technical(telemetry.PropertySpec{
			Name: "meshNamespaces", Type: telemetry.TypeCounts, Words: meshesWith(func(m *mesh) bool { return m.optedIn != nil || m.word == "kong-mesh" }).words(),
			Reason: "Tells how far meshes are adopted.", Question: "Which share of the services is in a mesh?",
			Source: "number of namespaces with the label or annotation that asks for their pods to be in the mesh",
		}),
		percent("meshServiceShare", "Tells how far meshes are adopted.", "services with a pod in the mesh, of all that have pods; EndpointSlices and metadata of pods"),
		technical(telemetry.PropertySpec{
			Name: "meshModes", Type: telemetry.TypeSet, Words: modeWords(),
			Reason: "Tells which ways into a mesh have to be tested.", Question: "How do pods join a mesh?", Source: "names of the containers and init containers of ten pods of each mesh",
		}),
	)
	if gateway != (ServiceName{}) {
		p.metrics = append(p.metrics, technical(telemetry.PropertySpec{
			Name: "meshGateway", Type: telemetry.TypeSet, Words: joinable.words(),
			Reason: "Tells whether the gateway runs inside of a mesh.", Question: "Is the gateway in a mesh?", Source: "metadata of the pods behind the gateway's Service",
		}))
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		s := lookForMeshes(ctx, served)
		s.record(readings)
		found := s.joined()&joinable != 0
		told := meshesWith(func(m *mesh) bool { return m.byNamespace() || m.service != nil }) // by what was looked at
		if !found && s.vague&joinable != 0 || s.joined()&s.vague&told != 0 {
			return s.err // of all that follows
		}
		if !found {
			readings.Counts("meshServiceShare", map[string]int64{})
			readings.Set("meshModes")
			if gateway != (ServiceName{}) {
				readings.Set("meshGateway")
			}
			return ctx.Err()
		}
		m := members{client: c, survey: s}
		if err := m.read(ctx); err != nil {
			return err
		}
		m.recordModes(ctx, readings)
		if err := m.recordShares(ctx, readings, gateway); err != nil {
			return err
		}
		return ctx.Err()
	}
	return p
}

func meshIndex(word string) int {
	return slices.IndexFunc(meshes, func(m mesh) bool { return m.word == word })
}

// meshSurvey is what is known of which meshes are installed.
type meshSurvey struct {
	signs map[string]meshSet // by sign
	err   error              // of what could not be read, if anything
	// vague are the meshes on which that would have a say.
	vague meshSet

	seed          maphash.Seed
	namespaces    namespaceTally
	namespacesErr error
	services      map[uint64]meshSet // that are in a mesh themselves, by the hash of their namespace and name
}

// namespaceTally is what namespaces tell. Of those in which all pods are in a mesh there
// is a hash each.
type namespaceTally struct {
	byName  meshSet
	optedIn tallies
	members map[uint64]meshSet
}

func (s *meshSurvey) key(namespace, name string) uint64 {
	return maphash.String(s.seed, namespace+"/"+name)
}

func (s *meshSurvey) add(sign string, i int) { s.signs[sign] |= 1 << i }

func (s *meshSurvey) found() meshSet {
	return s.signs[signAPI] | s.signs[signNamespace] | s.signs[signControl]
}

// kongMesh reports whether what is Kuma's is Kong Mesh's.
func (s *meshSurvey) kongMesh() bool { return s.signs[signControl].has(meshIndex("kong-mesh")) }

// joined are the meshes that pods may be in. Cilium is in many clusters as the network
// alone.
func (s *meshSurvey) joined() meshSet {
	cilium := meshIndex("cilium")
	if s.signs[signControl].has(cilium) || s.namespaces.optedIn["cilium"] > 0 {
		return s.found()
	}
	return s.found() &^ (1 << cilium)
}

// fail notes that the meshes could not be looked for. What is not served is not there.
func (s *meshSurvey) fail(err error, meshes meshSet) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.err, s.vague = err, s.vague|meshes
	}
}

const allMeshes = ^meshSet(0)

func lookForMeshes(ctx context.Context, served *discovery) *meshSurvey {
	c, s := served.client, &meshSurvey{signs: map[string]meshSet{}, seed: maphash.MakeSeed()}
	istio, ambient, cilium := meshIndex("istio"), meshIndex("istio-ambient"), meshIndex("cilium")
	for i := range meshes {
		if slices.ContainsFunc(meshes[i].groups, served.serves) {
			s.add(signAPI, i)
		}
	}
	s.namespaces, s.namespacesErr = fold(ctx, c, "/api/v1/namespaces", metadata, func(t *namespaceTally, n *object) {
		for i := range meshes {
			m := &meshes[i]
			if slices.Contains(m.namespaces, n.Metadata.Name) {
				t.byName |= 1 << i
			}
			if m.optedIn == nil || !m.optedIn(&n.Metadata) {
				continue
			}
			t.optedIn.add(m.word)
			if m.byNamespace() {
				if t.members == nil {
					t.members = map[uint64]meshSet{}
				}
				t.members[s.key(n.Metadata.Name, "")] |= 1 << i
			}
		}
	})
	s.fail(s.namespacesErr, allMeshes)
	s.signs[signNamespace] = s.namespaces.byName
	type serviceTally struct {
		control meshSet
		members map[uint64]meshSet
	}
	inServices, err := fold(ctx, c, "/api/v1/services", metadata, func(t *serviceTally, service *object) {
		for i := range meshes {
			m := &meshes[i]
			if m.control != nil && m.control(&service.Metadata) {
				t.control |= 1 << i
			}
			if m.service != nil && m.service(&service.Metadata) {
				if t.members == nil {
					t.members = map[uint64]meshSet{}
				}
				t.members[s.key(service.Metadata.Namespace, service.Metadata.Name)] |= 1 << i
			}
		}
	})
	s.fail(err, allMeshes&^(1<<ambient|1<<cilium))
	s.signs[signControl] |= inServices.control
	s.services = inServices.members
	// A control plane outside of the cluster shows by its webhook.
	injects, err := foldKindMetadata(ctx, served, webhooks, func(found *bool, hook *object) {
		*found = *found || hook.Metadata.Labels["app"] == "sidecar-injector" || nameOr(hook.Metadata.Name, "istio-sidecar-injector")
	})
	s.fail(err, 1<<istio)
	if injects {
		s.add(signControl, istio)
	}
	tunnels, err := foldKindMetadata(ctx, served, daemonSets, func(found *bool, set *object) {
		*found = *found || set.Metadata.Labels["app"] == "ztunnel" || set.Metadata.Name == "ztunnel"
	})
	s.fail(err, 1<<ambient)
	if tunnels {
		s.add(signControl, ambient)
	}
	if s.signs[signAPI].has(cilium) {
		active, err := ciliumIsMesh(ctx, c)
		s.fail(err, 1<<cilium)
		if active {
			s.add(signControl, cilium)
		}
	}
	return s
}

// ciliumIsMesh reports whether Cilium is more than the network.
func ciliumIsMesh(ctx context.Context, c *Client) (bool, error) {
	var config struct {
		Data map[string]string `json:"data"`
	}
	err := c.Get(ctx, "/api/v1/namespaces/kube-system/configmaps/cilium-config", &config)
	for _, key := range []string{"enable-ztunnel", "mesh-auth-mutual-enabled", "enable-envoy-config", "enable-gateway-api"} {
		if isTrue(config.Data[key]) {
			return true, err
		}
	}
	return false, err
}

func (s *meshSurvey) record(readings *telemetry.Readings) {
	var evidence []string
	for i, m := range meshes {
		verdict := verdictAbsent
		for _, sign := range meshSigns {
			if s.signs[sign].has(i) {
				verdict = verdictPresent
				evidence = append(evidence, m.word+":"+sign)
			}
		}
		switch {
		case s.signs[signControl].has(i):
			readings.Word(m.stem, verdictActive)
		case s.vague.has(i):
			readings.Fail(m.stem, s.err)
		default:
			readings.Word(m.stem, verdict)
		}
	}
	readings.Set("meshEvidence", evidence...)
	if s.namespacesErr != nil {
		readings.Fail("meshNamespaces", s.namespacesErr)
		return
	}
	if n, kuma := s.namespaces.optedIn["kuma"]; kuma && s.kongMesh() {
		delete(s.namespaces.optedIn, "kuma")
		s.namespaces.optedIn["kong-mesh"] = n
	}
	readings.Counts("meshNamespaces", s.namespaces.optedIn)
}

// foldKindMetadata folds the metadata of the objects of a kind.
func foldKindMetadata[S any](ctx context.Context, served *discovery, k kind, add func(*S, *object)) (S, error) {
	path, _, err := served.find(ctx, k)
	if err != nil {
		var none S
		return none, err
	}
	return fold(ctx, served.client, path, metadata, add)
}
