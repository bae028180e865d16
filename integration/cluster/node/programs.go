// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"text/template"
)

// The cluster's addresses. They are the same in every cluster on a machine, since each has a network of its own.
const (
	nodeName   = "node"
	nodeIP     = "10.77.0.1"     // also PostgreSQL's
	podCIDR    = "10.244.0.0/16" // one address for each pod
	serviceIPs = "10.96.0.0/16"
	dnsIP      = "10.96.0.10"
)

// As the node sees them: on the machine they are below the cluster's folder.
const (
	kubernetes = "/var/lib/kubernetes" // programs, certificates, configuration
	pkiFolder  = kubernetes + "/pki"
	postgresql = "/var/lib/postgresql"
	socket     = "/run/containerd/containerd.sock"
)

// controlPlane are the programs of the control plane, first etcd, then the API server, then its clients.
func controlPlane() []program {
	return []program{
		{name: "etcd", args: []string{
			tool("etcd"), "--data-dir=/var/lib/etcd", "--log-level=warn",
			"--unsafe-no-fsync", // the cluster does not outlive its machine
		}},
		{name: "kube-apiserver", args: []string{
			tool("kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379",
			"--advertise-address=" + nodeIP, "--service-cluster-ip-range=" + serviceIPs,
			"--tls-cert-file=" + pkiFolder + "/apiserver.crt", "--tls-private-key-file=" + pkiFolder + "/apiserver.key",
			"--client-ca-file=" + pkiFolder + "/ca.crt",
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + pkiFolder + "/sa.pub", "--service-account-signing-key-file=" + pkiFolder + "/sa.key",
			"--kubelet-preferred-address-types=InternalIP", "--kubelet-certificate-authority=" + pkiFolder + "/ca.crt",
			"--kubelet-client-certificate=" + pkiFolder + "/apiserver-kubelet-client.crt",
			"--kubelet-client-key=" + pkiFolder + "/apiserver-kubelet-client.key",
		}},
		{name: "kube-controller-manager", args: []string{
			tool("kube-controller-manager"), "--kubeconfig=" + kubernetes + "/controller-manager.kubeconfig",
			"--use-service-account-credentials", "--leader-elect=false",
			"--root-ca-file=" + pkiFolder + "/ca.crt", "--service-account-private-key-file=" + pkiFolder + "/sa.key",
			"--flex-volume-plugin-dir=/var/lib/kubelet/volumeplugins", // it would be made in the machine's /usr
		}},
		{name: "kube-scheduler", args: []string{
			tool("kube-scheduler"), "--kubeconfig=" + kubernetes + "/scheduler.kubeconfig", "--leader-elect=false",
		}},
	}
}

// The programs of a node.
func containerd() program {
	return program{name: "containerd", args: []string{tool("containerd"), "--config=" + kubernetes + "/containerd.toml"}}
}

func kubelet() program {
	return program{name: "kubelet", args: []string{
		tool("kubelet"), "--config=" + kubernetes + "/kubelet.yaml", "--kubeconfig=" + kubernetes + "/node.kubeconfig",
		"--hostname-override=" + nodeName, "--node-ip=" + nodeIP,
		"--oom-score-adj=0", // some machines let nobody lower it
	}}
}

func kubeProxy() program {
	return program{name: "kube-proxy", args: []string{tool("kube-proxy"), "--config=" + kubernetes + "/proxy.yaml"}}
}

// postgres is the database server, for pods too, which asks nobody for a password. It has the database that Tekton
// Results has by default.
func postgres() (program, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return program{}, errors.New("find PostgreSQL: nothing in /usr/lib/postgresql; run integration/install.sh")
	}
	account, err := user.Lookup("postgres") // it refuses to be root
	if err != nil {
		return program{}, fmt.Errorf("find who runs PostgreSQL: run integration/install.sh: %w", err)
	}
	uid, err1 := strconv.ParseUint(account.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(err1, err2, os.Chown(postgresql, int(uid), int(gid))); err != nil {
		return program{}, fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	const script = `set -e; cd ` + postgresql + `; PATH=$0:$PATH
		if [ ! -e data/made ]; then
			rm -rf data; initdb -D data -A trust -U postgres -E UTF8 --locale=C --no-sync
			echo 'host all all 10.0.0.0/8 trust' >>data/pg_hba.conf
			echo 'CREATE DATABASE "tekton-results"' | postgres --single -D data postgres
			touch data/made
		fi
		rm -f data/postmaster.pid
		exec postgres -D data -c listen_addresses=` + nodeIP + ` -c unix_socket_directories= -c fsync=off -c full_page_writes=off`
	return program{
		name: "postgres", args: []string{"/bin/sh", "-c", script, slices.Max(found)},
		user: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
	}, nil
}

// configurations are the files that the programs read, by name. {{.Cgroup}} is the cgroup that pods' cgroups are in.
var configurations = map[string]string{
	"containerd.toml": `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"] # it would make a folder in the machine's /opt
[grpc]
  address = "` + socket + `"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "localhost/pause:dev"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true # some machines let nobody lower it
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "` + kubernetes + `/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = false
`,
	// Each pod has a cable to the node and a route through it. Unlike on a bridge, all that pods say to each other passes
	// the node's packet filter, so that answers from behind a service address find back without bridge-nf-call-iptables,
	// which is a setting of the whole machine.
	"cni/10-pods.conflist": `{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {
    "type": "host-local", "ranges": [[{"subnet": "` + podCIDR + `"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`,
	"kubelet.yaml": `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://` + socket + `
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: ` + pkiFolder + `/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: ` + pkiFolder + `/node.crt
tlsPrivateKeyFile: ` + pkiFolder + `/node.key
clusterDomain: cluster.local
clusterDNS: [` + dnsIP + `]
resolvConf: ` + kubernetes + `/resolv.conf
volumePluginDir: /var/lib/kubelet/volumeplugins
maxPods: 250
# The machine is shared with others: pods stay in their cgroup, swap and version of cgroups are as they are.
cgroupDriver: cgroupfs
cgroupRoot: /{{.Cgroup}}
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
# No image can be had twice, and a full disk is the machine's affair.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: "0%", imagefs.available: "0%"}
`,
	"proxy.yaml": `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: ` + kubernetes + `/proxy.kubeconfig}
hostnameOverride: ` + nodeName + `
nodePortAddresses: [primary]
mode: iptables
clusterCIDR: ` + podCIDR + `
# The connection table has the size that the machine gave it.
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
oomScoreAdj: 0
`,
	"resolv.conf":                   "# There is nothing to be found outside.\nnameserver " + dnsIP + "\n",
	"controller-manager.kubeconfig": kubeconfig,
	"scheduler.kubeconfig":          kubeconfig,
	"proxy.kubeconfig":              kubeconfig,
	"node.kubeconfig":               kubeconfig,
	"admin.kubeconfig":              kubeconfig, // the only one for use outside of the node
}

const kubeconfig = `apiVersion: v1
kind: Config
current-context: segment-bridge
contexts: [{name: segment-bridge, context: {cluster: segment-bridge, user: {{.User}}}}]
clusters: [{name: segment-bridge, cluster: {server: "{{.Server}}", certificate-authority-data: {{.CA}}}}]
users: [{name: {{.User}}, user: {client-certificate-data: {{.Cert}}, client-key-data: {{.Key}}}}]
`

// fill fills in a configuration.
func fill(text string, values any) ([]byte, error) {
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("write a configuration: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, values); err != nil {
		return nil, fmt.Errorf("write a configuration: %w", err)
	}
	return out.Bytes(), nil
}
