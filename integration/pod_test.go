// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/segment-bridge/segment-bridge/operator/install"
)

// A pod runs the containers of a pod's specification as processes, one after the other, as a kubelet would: as the
// image's user, in a root of its own that cannot be written to, with the environment, the files and the token that the
// specification gives to each, and nothing else.
type pod struct {
	site *site
	spec corev1.PodSpec
	// volumes are the folders of the volumes, by name.
	volumes map[string]string
	// given is all that each container was given: its environment, and every file mounted when it started.
	given map[string]string
	// said are the termination messages.
	said map[string]string
}

// newPod makes the volumes. Claims are folders that outlive the pod, by name.
func (s *site) newPod(spec corev1.PodSpec, claims map[string]string) *pod {
	s.t.Helper()
	p := &pod{s, spec, map[string]string{}, map[string]string{}, map[string]string{}}
	for _, v := range spec.Volumes {
		dir := s.t.TempDir()
		switch {
		case v.EmptyDir != nil:
		case v.PersistentVolumeClaim != nil:
			dir = claims[v.PersistentVolumeClaim.ClaimName]
		case v.Secret != nil:
			p.write(dir, v.Secret.Items, p.values("secrets", v.Secret.SecretName, false))
		case v.ConfigMap != nil:
			p.write(dir, v.ConfigMap.Items, p.values("configmaps", v.ConfigMap.Name, false))
		case v.Projected != nil:
			for _, source := range v.Projected.Sources {
				if c := source.ConfigMap; c != nil {
					p.write(dir, c.Items, p.values("configmaps", c.Name, c.Optional != nil && *c.Optional))
				} else if token := source.ServiceAccountToken; token != nil {
					text := s.cluster.Token(s.t, install.Namespace, spec.ServiceAccountName, time.Duration(*token.ExpirationSeconds)*time.Second)
					p.put(filepath.Join(dir, token.Path), text)
				} else {
					s.t.Fatalf("volume %s projects what no kubelet here knows", v.Name)
				}
			}
		default:
			s.t.Fatalf("volume %s is of a kind that no kubelet here knows", v.Name)
		}
		if v.EmptyDir != nil || v.PersistentVolumeClaim != nil {
			p.open(dir)
		}
		p.volumes[v.Name] = dir
	}
	return p
}

// open lets the container's user write to a folder.
func (p *pod) open(dir string) {
	p.site.t.Helper()
	if err := os.Chmod(dir, 0o777); err != nil {
		p.site.t.Fatal(err)
	}
}

// values returns what a Secret or a ConfigMap in the job's namespace holds.
func (p *pod) values(resource, name string, optional bool) map[string]string {
	p.site.t.Helper()
	found, err := p.site.cluster.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: resource}).
		Namespace(install.Namespace).Get(p.site.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		if optional {
			return nil
		}
		p.site.t.Fatal(err)
	}
	values := map[string]string{}
	if resource == "configmaps" {
		values, _, err = unstructured.NestedStringMap(found.Object, "data")
	} else {
		var secret corev1.Secret
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, &secret)
		for key, value := range secret.Data {
			values[key] = string(value)
		}
	}
	if err != nil {
		p.site.t.Fatal(err)
	}
	return values
}

func (p *pod) write(dir string, items []corev1.KeyToPath, values map[string]string) {
	p.site.t.Helper()
	if values == nil {
		return
	}
	for _, item := range items {
		value, ok := values[item.Key]
		if !ok {
			p.site.t.Fatalf("key %s is missing", item.Key)
		}
		p.put(filepath.Join(dir, item.Path), value)
	}
}

func (p *pod) put(file, text string) {
	p.site.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o444); err != nil {
		p.site.t.Fatal(err)
	}
}

// run runs all containers in their order, and expects each to end well.
func (p *pod) run() map[string]result {
	p.site.t.Helper()
	results := map[string]result{}
	for _, c := range slices.Concat(p.spec.InitContainers, p.spec.Containers) {
		r := p.container(c)
		if r.code != 0 {
			p.site.t.Fatalf("container %s: exit code %d\n%s%s", c.Name, r.code, r.stdout, r.stderr)
		}
		results[c.Name] = r
	}
	return results
}

// container runs one container.
func (p *pod) container(c corev1.Container) result {
	t := p.site.t
	t.Helper()
	root := t.TempDir()
	p.install(root)
	environment := p.environment(c)
	given := strings.Join(environment, "\n")
	for _, m := range c.VolumeMounts {
		from := filepath.Join(p.volumes[m.Name], m.SubPath)
		if m.SubPath != "" {
			if err := os.MkdirAll(from, 0o777); err != nil {
				t.Fatal(err)
			}
			p.open(from)
		}
		at := filepath.Join(root, m.MountPath)
		before := contents(t, from)
		for name, text := range before {
			given += "\n" + name + ": " + text
		}
		p.move(from, at)
		defer func() {
			p.move(at, from)
			if m.ReadOnly && !maps.Equal(before, contents(t, from)) {
				t.Errorf("container %s wrote to %s, which is to be read only", c.Name, m.MountPath)
			}
		}()
	}
	p.given[c.Name] = given

	cmd := exec.CommandContext(t.Context(), "/segment-bridge", c.Args...)
	cmd.Env, cmd.Dir = environment, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	const user = 65532 // of the image
	if uid := os.Getuid(); uid == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: user}
	} else {
		// Who is not root may change the root in a user namespace.
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getgid(), Size: 1}}
	}
	r := p.site.wait(cmd)
	message, err := os.ReadFile(filepath.Join(root, "dev", "termination-log"))
	if err != nil {
		t.Fatal(err)
	}
	p.said[c.Name] = string(message)
	return r
}

// install puts into a root what the image and the kubelet put there.
func (p *pod) install(root string) {
	p.site.t.Helper()
	path, err := binary()
	if err != nil {
		p.site.t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "segment-bridge"), text, 0o555)
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(root, "dev"), 0o755)
	}
	log := filepath.Join(root, "dev", "termination-log")
	if err == nil {
		err = os.WriteFile(log, nil, 0o666)
	}
	if err == nil {
		err = os.Chmod(log, 0o666)
	}
	if err == nil {
		err = os.Chmod(root, 0o755)
	}
	if err != nil {
		p.site.t.Fatal(err)
	}
}

// move moves a folder, which is how it is mounted.
func (p *pod) move(from, to string) {
	p.site.t.Helper()
	err := os.MkdirAll(filepath.Dir(to), 0o755)
	if err == nil {
		err = os.Rename(from, to)
	}
	if err != nil {
		p.site.t.Fatal(err)
	}
}

// environment is what the specification says, and what a kubelet adds.
func (p *pod) environment(c corev1.Container) []string {
	p.site.t.Helper()
	host, port, _ := strings.Cut(strings.TrimPrefix(p.site.cluster.Config.Host, "https://"), ":")
	values := map[string]string{"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
	for _, e := range c.Env {
		value := e.Value
		for name, known := range values {
			value = strings.ReplaceAll(value, "$("+name+")", known)
		}
		if e.ValueFrom != nil {
			ref := e.ValueFrom.SecretKeyRef
			optional := ref.Optional != nil && *ref.Optional
			secret, ok := p.values("secrets", ref.Name, optional)[ref.Key]
			if !ok && !optional {
				p.site.t.Fatalf("container %s needs key %s of Secret %s", c.Name, ref.Key, ref.Name)
			} else if !ok {
				continue
			}
			value = secret
		}
		values[e.Name] = value
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all = append(all, name+"="+values[name])
	}
	return all
}

// contents returns the files in a folder by their paths.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// cronJob returns the CronJob of that name.
func cronJob(t *testing.T, objects []install.Object, name string) *batchv1.CronJob {
	t.Helper()
	for _, o := range objects {
		if c, ok := o.(*batchv1.CronJob); ok && c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no CronJob %s", name)
	return nil
}

// secret creates a Secret, or a ConfigMap, in the job's namespace, which an administrator would create.
func (s *site) secret(kind, name string, data map[string]string) {
	s.t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
	u.SetNamespace(install.Namespace)
	u.SetName(name)
	field := map[string]string{"Secret": "stringData", "ConfigMap": "data"}[kind]
	if err := unstructured.SetNestedStringMap(u.Object, data, field); err != nil {
		s.t.Fatal(err)
	}
	s.cluster.ApplyObjects(s.t, u)
}

// surround creates what an installation finds in a cluster: the CA of the API server in each namespace, the CA of Tekton
// Results, and the credentials of the bucket.
func (s *site) surround() {
	s.t.Helper()
	ca, err := os.ReadFile(s.results.CAFile)
	if err != nil {
		s.t.Fatal(err)
	}
	s.secret("ConfigMap", "kube-root-ca.crt", map[string]string{"ca.crt": string(s.cluster.Config.CAData)})
	s.secret("ConfigMap", "results-ca", map[string]string{"ca.crt": string(ca)})
	s.secret("Secret", "bucket", map[string]string{"AWS_ACCESS_KEY_ID": s.bucket.AccessKey, "AWS_SECRET_ACCESS_KEY": s.bucket.SecretKey})
}

// admit asks the API server what it thinks of an object, without keeping it.
func (s *site) admit(resource schema.GroupVersionResource, namespace string, object any) {
	s.t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.cluster.Dynamic.Resource(resource).Namespace(namespace).
		Create(s.t.Context(), &unstructured.Unstructured{Object: content}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		s.t.Errorf("the API server does not take it: %v", err)
	}
}

// admitJob checks that the API server takes the jobs and the pods of a CronJob, under the namespace's restrictions.
func (s *site) admitJob(c *batchv1.CronJob) {
	s.t.Helper()
	meta := metav1.ObjectMeta{Name: "try", Namespace: install.Namespace}
	s.admit(schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, install.Namespace, &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: meta, Spec: c.Spec.JobTemplate.Spec,
	})
	s.admit(schema.GroupVersionResource{Version: "v1", Resource: "pods"}, install.Namespace, &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta, Spec: c.Spec.JobTemplate.Spec.Template.Spec,
	})
}

// window returns the window that the pod's extraction read.
func (p *pod) window() (since, until time.Time) {
	p.site.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.volumes["spool"], "window.json"))
	var w struct{ Since, Until time.Time }
	if err == nil {
		err = json.Unmarshal(text, &w)
	}
	if err != nil {
		p.site.t.Fatal(err)
	}
	return w.Since, w.Until
}
