// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// given is what each container of the job gets: folders, and variables that hold a secret.
var given = map[string]struct{ mounts, secrets []string }{
	"window":    {[]string{"/spool", "/tmp"}, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}},
	"extract":   {[]string{"/etc/segment-bridge/results-ca", "/spool", "/var/run/secrets/kubernetes.io/serviceaccount"}, nil},
	"transform": {[]string{"/spool", "/tmp"}, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}},
	"load":      {[]string{"/tmp"}, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SEGMENT_WRITE_KEY"}},
}

// rights are what the job's account may do at least, by resource. Beyond that it may read more for the inventory; but
// nothing that is secret, nothing all the time, and it writes nowhere.
var rights = map[string]string{
	"pipelineruns.tekton.dev": "[list]", "components.appstudio.redhat.com": "[list]", "namespaces": "[list]",
	"konfluxes.konflux.konflux-ci.dev": "[list]", "records.results.tekton.dev": "[get list]", "configmaps [konflux-public-info]": "[get]",
}

// givesEachItsOwn asks containerd what the containers of the last run were started with, and the API server what their
// account may do.
func (p *product) givesEachItsOwn(t *testing.T) {
	pods := p.run(t)
	for _, status := range slices.Concat(pods[0].Status.InitContainerStatuses, pods[0].Status.ContainerStatuses) {
		p.checkGiven(t, status)
	}
	const account = "system:serviceaccount:segment-bridge:segment-bridge"
	everybodys := p.rightsOf(t, "system:serviceaccount:default:default")
	mine := p.rightsOf(t, account)
	maps.DeleteFunc(mine, func(resource, verbs string) bool { return everybodys[resource] == verbs })
	for resource, verbs := range rights {
		if mine[resource] != verbs {
			t.Errorf("the job's account may %s %s, want %s", mine[resource], resource, verbs)
		}
	}
	for resource, verbs := range mine {
		if !slices.Contains([]string{"[get]", "[list]", "[get list]", "[list get]"}, verbs) || strings.HasPrefix(resource, "secrets") {
			t.Errorf("the job's account may %s %s", verbs, resource)
		}
	}
}

func (p *product) checkGiven(t *testing.T, status corev1.ContainerStatus) {
	t.Helper()
	_, id, _ := strings.Cut(status.ContainerID, "://")
	out, err := p.ctr(t.Context(), nil, "containers", "info", id)
	if err != nil {
		t.Fatal(err)
	}
	var container struct {
		Spec struct {
			Process struct {
				Env          []string
				User         struct{ UID int }
				Capabilities map[string][]string
			}
			Root   struct{ Readonly bool }
			Mounts []struct{ Destination string }
			Linux  struct{ Seccomp any }
		}
	}
	if err := json.Unmarshal([]byte(out), &container); err != nil {
		t.Fatal(err)
	}
	spec := container.Spec
	var mounts, secrets []string
	for _, m := range spec.Mounts {
		// Every container has these.
		if !slices.Contains([]string{"/proc", "/dev", "/dev/pts", "/dev/mqueue", "/dev/shm", "/dev/termination-log", "/sys", "/sys/fs/cgroup", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}, m.Destination) {
			mounts = append(mounts, m.Destination)
		}
	}
	for _, variable := range spec.Process.Env {
		name, value, _ := strings.Cut(variable, "=")
		for _, secret := range []string{p.bucket.AccessKey, p.bucket.SecretKey, p.segment.Key} {
			if strings.Contains(value, secret) {
				secrets = append(secrets, name)
			}
		}
	}
	slices.Sort(mounts)
	slices.Sort(secrets)
	want := given[status.Name]
	if !slices.Equal(mounts, want.mounts) || !slices.Equal(secrets, want.secrets) {
		t.Errorf("container %s has the folders %v and the secrets %v, want %v", status.Name, mounts, secrets, want)
	}
	privileges := slices.Concat(slices.Collect(maps.Values(spec.Process.Capabilities))...)
	if spec.Process.User.UID == 0 || !spec.Root.Readonly || len(privileges) > 0 || spec.Linux.Seccomp == nil {
		t.Errorf("container %s runs as user %d, root read-only %t, capabilities %v, seccomp %v",
			status.Name, spec.Process.User.UID, spec.Root.Readonly, privileges, spec.Linux.Seccomp)
	}
}

// rightsOf returns what an account may do: verbs by resource, with the names that it is limited to.
func (p *product) rightsOf(t *testing.T, account string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(p.Kubectl(t, "auth", "can-i", "--list", "--no-headers", "-n", "quokka-tenant", "--as="+account)) {
		// RESOURCE [URLS] [NAMES] [VERBS]
		columns := strings.SplitAfter(strings.TrimSpace(line), "]")
		resource, urls, found := strings.Cut(columns[0], "[")
		if !found || len(columns) < 3 || urls != "]" {
			continue
		}
		resource = strings.TrimSpace(resource)
		if names := strings.TrimSpace(columns[1]); names != "[]" {
			resource += " " + names
		}
		all[resource] = strings.TrimSpace(columns[2])
	}
	return all
}

// note keeps what the containers of a pod have said, wants each line of it to be JSON, and keeps the highest peak of each.
func (p *product) note(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.State.Terminated == nil {
			continue // it never ran
		}
		logs := p.Kubectl(t, "logs", "-n", pod.Namespace, pod.Name, "-c", status.Name)
		for line := range strings.Lines(logs) {
			if !json.Valid([]byte(line)) || !strings.HasPrefix(line, "{") {
				t.Errorf("container %s writes a line that is no JSON: %s", status.Name, line)
			}
		}
		p.said.WriteString(logs + status.State.Terminated.Message + "\n")
		p.noteMemory(t, status)
	}
}

// noteOperator does so for the operator, as long as it has been running.
func (p *product) noteOperator(t *testing.T) {
	t.Helper()
	var pods corev1.PodList
	if err := p.api.List(t.Context(), &pods, client.InNamespace("segment-bridge-operator")); err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		p.said.WriteString(p.Kubectl(t, "logs", "-n", pods.Items[i].Namespace, pods.Items[i].Name))
		for _, status := range pods.Items[i].Status.ContainerStatuses {
			p.noteMemory(t, status)
		}
	}
}

func (p *product) noteMemory(t *testing.T, status corev1.ContainerStatus) {
	t.Helper()
	memory, seen := p.meter.Of(status.ContainerID)
	if end := status.State.Terminated; end != nil && end.Reason == "OOMKilled" || memory.Failures > 0 || memory.Limit > 0 && memory.Peak >= memory.Limit {
		t.Errorf("container %s ran out of memory: %+v", status.Name, memory)
	}
	if seen && memory.Peak > p.peaks[status.Name].Peak {
		p.peaks[status.Name] = memory
	}
}
