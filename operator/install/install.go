// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

// The names of what is installed. Objects that are not listed here are called as what they belong to.
const (
	// CronJob is the hourly job, its service account, its cluster role with its binding, and its network policy.
	CronJob = "segment-bridge"
	// MaintenanceCronJob is the daily job, its service account and its network policy.
	MaintenanceCronJob = "segment-bridge-maintenance"
	// DenyPolicy denies all traffic that the other policies do not allow.
	DenyPolicy = "segment-bridge-default-deny"
	// StageClaim is the volume that events are staged on.
	StageClaim = "segment-bridge-stage"
	// WriteKeySecret holds the write key, under WriteKeyKey. Load alone gets it.
	WriteKeySecret = "segment-bridge-write-key"
	// WriteKeyKey is the key in WriteKeySecret.
	WriteKeyKey = "write-key"
	// PseudonymKeySecret holds the key of scheme HMAC, under PseudonymKeyKey. Extract alone gets it.
	PseudonymKeySecret = "segment-bridge-pseudonym-key"
	// PseudonymKeyKey is the key in PseudonymKeySecret.
	PseudonymKeyKey = "key"
	// UISecret is in the namespace of the UI, with the write key under key and the API's host and path under url.
	UISecret = "segment-bridge-config"
)

// The containers, which are named after the commands that they run.
const (
	ContainerWindow    = "window"
	ContainerExtract   = "extract"
	ContainerTransform = "transform"
	ContainerLoad      = "load"
	ContainerCompact   = "compact"
	ContainerExpire    = "expire"
)

// The labels by which objects are found again.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelComponent = "app.kubernetes.io/component"
	LabelManagedBy = "app.kubernetes.io/managed-by"

	componentJob         = "job"
	componentMaintenance = "maintenance"
)

// Labels are those that every object of an installation has.
func Labels() map[string]string {
	return map[string]string{
		LabelName: "segment-bridge", "app.kubernetes.io/part-of": "segment-bridge", LabelManagedBy: "segment-bridge",
	}
}

// An Object is one of Kubernetes. It is what controller-runtime calls so too, whose clients the job has no use for.
type Object interface {
	metav1.Object
	runtime.Object
}

// Objects returns the objects of an installation, in the order in which they are to be applied. They have their kinds and
// no status; equal settings give equal objects. An error says which setting is wrong.
func Objects(s Settings) ([]Object, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	objects := []Object{s.namespace(), s.serviceAccount(CronJob, componentJob)}
	if s.maintained() {
		objects = append(objects, s.serviceAccount(MaintenanceCronJob, componentMaintenance))
	}
	objects = append(objects, s.clusterRole(), s.clusterRoleBinding())
	objects = append(objects, s.secrets()...)
	if s.Spec.Stage.S3 == nil {
		objects = append(objects, s.claim())
	}
	if !s.Spec.NetworkPolicy.Disabled {
		objects = append(objects, s.networkPolicies()...)
	}
	objects = append(objects, s.cronJob())
	if s.maintained() {
		objects = append(objects, s.maintenanceCronJob())
	}
	return objects, nil
}

func (s Settings) image() string {
	if s.Spec.Job.Image != "" {
		return s.Spec.Job.Image
	}
	return s.Image
}

func (s Settings) kube() bool { return s.Spec.Sources.Kube == nil || *s.Spec.Sources.Kube }

func (s Settings) inventory() bool {
	return s.Spec.Sources.Inventory == nil || *s.Spec.Sources.Inventory
}

func (s Settings) hmac() bool { return s.Spec.Pseudonyms.Scheme == v1alpha1.SchemeHMAC }

func (s Settings) maintained() bool {
	r := s.Spec.Retention
	return r != nil && (r.Compact || r.ExpireAfter != nil)
}

// meta names an object of a component; "" is for what belongs to all of them.
func meta(namespace, name, component string) metav1.ObjectMeta {
	labels := Labels()
	if component != "" {
		labels[LabelComponent] = component
	}
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}
}

func (s Settings) namespace() *corev1.Namespace {
	n := &corev1.Namespace{TypeMeta: core("Namespace"), ObjectMeta: meta("", Namespace, "")}
	for _, mode := range []string{"enforce", "audit", "warn"} {
		n.Labels["pod-security.kubernetes.io/"+mode] = "restricted"
	}
	return n
}

// serviceAccount has no token but what a pod asks for, container by container.
func (s Settings) serviceAccount(name, component string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta: core("ServiceAccount"), ObjectMeta: meta(Namespace, name, component),
		AutomountServiceAccountToken: new(false),
	}
}

func (s Settings) secrets() []Object {
	var secrets []Object
	add := func(namespace, name string, data map[string][]byte) {
		secrets = append(secrets, &corev1.Secret{
			TypeMeta: core("Secret"), ObjectMeta: meta(namespace, name, ""), Type: corev1.SecretTypeOpaque, Data: data,
		})
	}
	if s.WriteKey != "" {
		add(Namespace, WriteKeySecret, map[string][]byte{WriteKeyKey: []byte(s.WriteKey)})
	}
	if s.hmac() && len(s.PseudonymKey) > 0 {
		add(Namespace, PseudonymKeySecret, map[string][]byte{PseudonymKeyKey: s.PseudonymKey})
	}
	if s.WriteKey != "" && s.UINamespace != "" {
		add(s.UINamespace, UISecret, map[string][]byte{"key": []byte(s.WriteKey), "url": []byte(bareURL(s.URL))})
	}
	return secrets
}

// bareURL returns host and path of the tracking API, as browsers' clients want them: without scheme, with /v1.
func bareURL(address string) string {
	if address == "" {
		address = segmentURL
	}
	if _, after, found := strings.Cut(address, "://"); found {
		address = after
	}
	address = strings.TrimRight(address, "/")
	address = strings.TrimRight(strings.TrimSuffix(address, "/batch"), "/")
	return strings.TrimRight(strings.TrimSuffix(address, "/v1"), "/") + "/v1"
}

// segmentURL is where load sends events unless told otherwise.
const segmentURL = "https://api.segment.io"

func (s Settings) claim() *corev1.PersistentVolumeClaim {
	size := resource.MustParse("1Gi")
	var class *string
	if v := s.Spec.Stage.Volume; v != nil {
		class = v.StorageClassName
		if v.Size != nil {
			size = *v.Size
		}
	}
	return &corev1.PersistentVolumeClaim{
		TypeMeta: core("PersistentVolumeClaim"), ObjectMeta: meta(Namespace, StageClaim, ""),
		Spec: corev1.PersistentVolumeClaimSpec{
			// One pod at a time writes; on another node the next waits until it has ended.
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: class,
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
		},
	}
}

// stageURL is the stage as the commands take it.
func (s Settings) stageURL() string {
	s3 := s.Spec.Stage.S3
	if s3 == nil {
		return "file://" + stageFolder
	}
	query := url.Values{}
	for name, value := range map[string]string{
		"endpoint": s3.Endpoint, "region": s3.Region, "encryption": s3.Encryption, "kms-key": s3.KMSKey,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	u := url.URL{Scheme: "s3", Host: s3.Bucket, RawQuery: query.Encode()}
	if prefix := strings.Trim(s3.Prefix, "/"); prefix != "" {
		u.Path = "/" + prefix
	}
	return u.String()
}

func core(kind string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: "v1", Kind: kind} }
