// SPDX-License-Identifier: Apache-2.0

package kube

import "strings"

// A mesh is how one service mesh shows.
type mesh struct {
	word string // in plans
	stem string // of its metric
	// groups are API groups that come with the mesh.
	groups []string
	// namespaces are where it is installed by default.
	namespaces []string
	// control recognises the Service of its control plane.
	control func(*objectMeta) bool
	// enrolled recognises the pods that are in the mesh, by what is put on them when they
	// get in.
	enrolled func(*objectMeta) bool
	// optedIn recognises the namespaces that ask for their pods to be in the mesh. Where
	// nothing is put on pods, all of such a namespace are, but those that optedOut
	// recognises.
	optedIn, optedOut func(*objectMeta) bool
	// service recognises the services that are in the mesh, where pods are not.
	service func(*objectMeta) bool
	// sidecars are the names of its proxy's container, whose image has image in its name.
	sidecars []string
	image    string
	// mode is how its pods are in the mesh where there is no such container.
	mode string
}

// byNamespace reports whether pods are in the mesh because their namespace is.
func (m *mesh) byNamespace() bool { return m.enrolled == nil && m.optedIn != nil }

// joinable reports whether it can be told which services are in the mesh.
func (m *mesh) joinable() bool {
	return m.enrolled != nil || m.byNamespace() || m.service != nil || m.word == "kong-mesh"
}

// meshes in the order of the plan. Those that have ended are there to be seen off.
var meshes = []mesh{
	{
		word: "istio", stem: "meshIstio", groups: []string{"networking.istio.io", "security.istio.io"}, namespaces: []string{"istio-system", "aks-istio-system"},
		control:  func(m *objectMeta) bool { return m.Labels["app"] == "istiod" || nameOr(m.Name, "istiod") },
		enrolled: func(m *objectMeta) bool { return m.Annotations["sidecar.istio.io/status"] != "" },
		optedIn: func(m *objectMeta) bool {
			return m.Labels["istio-injection"] == "enabled" || m.Labels["istio.io/rev"] != "" && m.Labels["istio-injection"] != "disabled"
		},
		sidecars: []string{"istio-proxy"},
	},
	{ // what runs is ztunnel, a DaemonSet
		word: "istio-ambient", stem: "meshIstioAmbient",
		enrolled: func(m *objectMeta) bool { return m.Annotations["ambient.istio.io/redirection"] == "enabled" },
		optedIn:  func(m *objectMeta) bool { return m.Labels["istio.io/dataplane-mode"] == "ambient" },
		mode:     "ambient",
	},
	{
		word: "linkerd", stem: "meshLinkerd", groups: []string{"linkerd.io", "policy.linkerd.io"}, namespaces: []string{"linkerd"},
		control: func(m *objectMeta) bool { return m.Name == "linkerd-proxy-injector" },
		enrolled: func(m *objectMeta) bool {
			return m.Annotations["linkerd.io/proxy-version"] != "" || m.Labels["linkerd.io/control-plane-ns"] != "" && m.Labels["linkerd.io/control-plane-component"] == ""
		},
		optedIn:  func(m *objectMeta) bool { return isTrue(m.Annotations["linkerd.io/inject"]) },
		sidecars: []string{"linkerd-proxy"},
	},
	{ // its pods cannot be told from those of Kong Mesh: meshesOf decides
		word: "kuma", stem: "meshKuma", groups: []string{"kuma.io"}, namespaces: []string{"kuma-system"},
		control:  func(m *objectMeta) bool { return m.Name == "kuma-control-plane" },
		enrolled: func(m *objectMeta) bool { return isTrue(m.Annotations["kuma.io/sidecar-injected"]) },
		optedIn:  func(m *objectMeta) bool { return isTrue(m.Labels["kuma.io/sidecar-injection"]) },
		sidecars: []string{"kuma-sidecar"},
	},
	{
		word: "kong-mesh", stem: "meshKongMesh", namespaces: []string{"kong-mesh-system"},
		control: func(m *objectMeta) bool { return m.Name == "kong-mesh-control-plane" },
	},
	{
		word: "consul", stem: "meshConsul", groups: []string{"consul.hashicorp.com", "mesh.consul.hashicorp.com"}, namespaces: []string{"consul"},
		control: func(m *objectMeta) bool {
			return nameOr(m.Name, "consul-server") || strings.HasSuffix(m.Name, "-consul-server")
		},
		enrolled: func(m *objectMeta) bool {
			return m.Annotations["consul.hashicorp.com/connect-inject-status"] == "injected"
		},
		sidecars: []string{"consul-dataplane", "envoy-sidecar"},
	},
	{ // a CNI plugin first: its configuration says whether it is a mesh
		word: "cilium", stem: "meshCilium", groups: []string{"cilium.io"},
		optedIn: func(m *objectMeta) bool { return isTrue(m.Labels["io.cilium/mtls-enabled"]) },
		mode:    "node-proxy",
	},
	{
		word: "traefik", stem: "meshTraefik", namespaces: []string{"traefik-mesh"},
		control: func(m *objectMeta) bool { return m.Name == "traefik-mesh-controller" },
		service: func(m *objectMeta) bool {
			traffic := strings.ToLower(m.Annotations["mesh.traefik.io/traffic-type"])
			return traffic == "http" || traffic == "tcp" || traffic == "udp"
		},
		mode: "node-proxy",
	},
	{
		word: "app-mesh", stem: "meshAppMesh", groups: []string{"appmesh.k8s.aws"}, namespaces: []string{"appmesh-system"},
		control:  func(m *objectMeta) bool { return m.Name == "appmesh-controller-webhook-service" },
		optedIn:  func(m *objectMeta) bool { return isTrue(m.Labels[appMeshInjection]) },
		optedOut: func(m *objectMeta) bool { return m.Annotations[appMeshInjection] == "disabled" },
		sidecars: []string{"envoy"}, image: "aws-appmesh-envoy",
	},
	{
		word: "osm", stem: "meshOsm", groups: []string{"config.openservicemesh.io"}, namespaces: []string{"osm-system"},
		control:  func(m *objectMeta) bool { return m.Name == "osm-controller" },
		enrolled: func(m *objectMeta) bool { return m.Labels["osm-proxy-uuid"] != "" },
		optedIn:  func(m *objectMeta) bool { return m.Labels["openservicemesh.io/monitored-by"] != "" },
		sidecars: []string{"envoy"},
	},
}

const appMeshInjection = "appmesh.k8s.aws/sidecarInjectorWebhook"

// nameOr reports whether a name is that of the thing, or of one of its revisions.
func nameOr(name, thing string) bool { return name == thing || strings.HasPrefix(name, thing+"-") }

func isTrue(text string) bool { return text == "true" || text == "enabled" }

// A meshSet is a set of meshes: bit i is meshes[i].
type meshSet uint16

func (s meshSet) has(i int) bool { return s&(1<<i) != 0 }

func (s meshSet) words() []string {
	var words []string
	for i := range meshes {
		if s.has(i) {
			words = append(words, meshes[i].word)
		}
	}
	return words
}

// meshesOf returns the meshes that a pod is in. Pods of Kuma are those of Kong Mesh
// where the control plane is.
func meshesOf(pod *objectMeta, kongMesh bool) meshSet {
	var set meshSet
	for i := range meshes {
		if meshes[i].enrolled == nil || !meshes[i].enrolled(pod) {
			continue
		}
		if meshes[i].word == "kuma" && kongMesh {
			set |= 1 << (i + 1) // Kong Mesh comes next
		} else {
			set |= 1 << i
		}
	}
	return set
}

// meshesWith are those of which is is true.
func meshesWith(is func(*mesh) bool) meshSet {
	var set meshSet
	for i := range meshes {
		if is(&meshes[i]) {
			set |= 1 << i
		}
	}
	return set
}

// The signs by which a mesh shows.
const (
	signAPI       = "api-group"
	signNamespace = "namespace"
	signControl   = "control-plane"
)

var meshSigns = []string{signAPI, signNamespace, signControl}

func evidenceWords() []string {
	var words []string
	for _, m := range meshes {
		for _, sign := range meshSigns {
			if sign == signAPI && m.groups == nil || sign == signNamespace && m.namespaces == nil {
				continue // it has none
			}
			words = append(words, m.word+":"+sign)
		}
	}
	return words
}

func modeWords() []string {
	var words []string
	for i := range meshes {
		switch m := &meshes[i]; {
		case m.mode != "":
			words = append(words, m.word+":"+m.mode)
		case m.joinable():
			words = append(words, m.word+":sidecar", m.word+":native-sidecar")
		}
	}
	return words
}
