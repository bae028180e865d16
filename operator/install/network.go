// SPDX-License-Identifier: Apache-2.0

package install

import (
	"cmp"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (s Settings) networkPolicies() []Object {
	deny := policy(DenyPolicy, "", nil)
	deny.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	policies := []Object{deny, policy(CronJob, componentJob, s.jobEgress())}
	if s.maintained() {
		policies = append(policies, policy(MaintenanceCronJob, componentMaintenance, s.stageEgress()))
	}
	return policies
}

// policy lets the pods of a component open connections as the rules say; "" is every pod of the namespace.
func policy(name, component string, egress []networkingv1.NetworkPolicyEgressRule) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: meta(Namespace, name, component),
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}},
	}
	if component != "" {
		p.Spec.PodSelector.MatchLabels = map[string]string{LabelName: "segment-bridge", LabelComponent: component}
	}
	for _, rule := range egress {
		if !slices.ContainsFunc(p.Spec.Egress, func(have networkingv1.NetworkPolicyEgressRule) bool { return reflect.DeepEqual(have, rule) }) {
			p.Spec.Egress = append(p.Spec.Egress, rule)
		}
	}
	return p
}

func (s Settings) jobEgress() []networkingv1.NetworkPolicyEgressRule {
	rules := s.stageEgress()
	if s.kube() || s.inventory() || s.Results != nil && s.Results.Namespace == "" {
		rules = append(rules, s.apiServerEgress()...)
	}
	switch {
	case s.Results == nil:
	case s.Results.Namespace != "":
		rules = append(rules, toNamespace(s.Results.Namespace))
	default:
		rules = append(rules, toURL(s.Results.Address))
	}
	return append(rules, toURL(cmp.Or(s.URL, segmentURL)))
}

// stageEgress is for names, the bucket and the proxy on the way there.
func (s Settings) stageEgress() []networkingv1.NetworkPolicyEgressRule {
	rules := []networkingv1.NetworkPolicyEgressRule{dns()}
	if s3 := s.Spec.Stage.S3; s3 != nil {
		rules = append(rules, toURL(cmp.Or(s3.Endpoint, "https://s3.amazonaws.com")))
		if s3.CredentialsSecret == "" {
			// The platform's credentials: those of the machine, those of the pod, and the token service of AWS.
			rules = append(rules, to(ports(corev1.ProtocolTCP, 80), block("169.254.169.254/32"), block("169.254.170.23/32")), to(ports(corev1.ProtocolTCP, 443)))
		}
	}
	if p := s.Spec.Job.Proxy; p != nil && p.HTTPSProxy != "" {
		rules = append(rules, toURL(p.HTTPSProxy))
	}
	return rules
}

func (s Settings) apiServerEgress() []networkingv1.NetworkPolicyEgressRule {
	if len(s.APIServers) == 0 {
		return []networkingv1.NetworkPolicyEgressRule{to(ports(corev1.ProtocolTCP, 443, 6443))}
	}
	var rules []networkingv1.NetworkPolicyEgressRule
	addresses := slices.Clone(s.APIServers)
	slices.SortFunc(addresses, netip.AddrPort.Compare)
	for _, a := range addresses {
		rules = append(rules, to(ports(corev1.ProtocolTCP, int32(a.Port())), address(a.Addr())))
	}
	return rules
}

// dns is to the cluster's own servers: they listen on 53, on OpenShift on 5353, and a cache on each node has an address of
// that node alone.
func dns() networkingv1.NetworkPolicyEgressRule {
	namespaces := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: []string{"kube-system", "openshift-dns"}},
	}}}
	return to(append(ports(corev1.ProtocolUDP, 53, 5353), ports(corev1.ProtocolTCP, 53, 5353)...), namespaces, block("169.254.0.0/16"))
}

// toNamespace allows every port: policies see that of the pod, which need not be that of its service.
func toNamespace(name string) networkingv1.NetworkPolicyEgressRule {
	return to(nil, networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}})
}

// toURL is to the host and the port of a URL, or of host:port, as closely as policies can say it: the namespace of a
// service in the cluster, an address, or the port alone.
func toURL(raw string) networkingv1.NetworkPolicyEgressRule {
	u, err := parseAddress(raw)
	if err != nil {
		return to(ports(corev1.ProtocolTCP, 443)) // what takes the URL says what is wrong with it
	}
	if namespace := serviceNamespace(u); namespace != "" {
		return toNamespace(namespace)
	}
	port := map[string]int32{"http": 80, "grpc": 80}[u.Scheme]
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		port = int32(n)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		return to(ports(corev1.ProtocolTCP, cmp.Or(port, 443)), address(ip))
	}
	return to(ports(corev1.ProtocolTCP, cmp.Or(port, 443)))
}

// ServiceNamespace returns the namespace of the service that a URL, or host:port, names, such as api.results.svc:8080; ""
// when it names none.
func ServiceNamespace(address string) string {
	u, err := parseAddress(address)
	if err != nil {
		return ""
	}
	return serviceNamespace(u)
}

func serviceNamespace(u *url.URL) string {
	if labels := strings.Split(u.Hostname(), "."); len(labels) >= 3 && labels[2] == "svc" {
		return labels[1]
	}
	return ""
}

func parseAddress(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	return url.Parse(raw)
}

func to(ports []networkingv1.NetworkPolicyPort, peers ...networkingv1.NetworkPolicyPeer) networkingv1.NetworkPolicyEgressRule {
	return networkingv1.NetworkPolicyEgressRule{Ports: ports, To: peers}
}

func ports(protocol corev1.Protocol, numbers ...int32) []networkingv1.NetworkPolicyPort {
	all := make([]networkingv1.NetworkPolicyPort, len(numbers))
	for i, n := range numbers {
		all[i] = networkingv1.NetworkPolicyPort{Protocol: new(protocol), Port: new(intstr.FromInt32(n))}
	}
	return all
}

func address(ip netip.Addr) networkingv1.NetworkPolicyPeer {
	ip = ip.Unmap().WithZone("")
	return block(netip.PrefixFrom(ip, ip.BitLen()).String())
}

func block(cidr string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr}}
}
