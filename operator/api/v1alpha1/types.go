// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Name is the name of the one SegmentBridge of a cluster.
const Name = "segment-bridge"

// SegmentBridge is the telemetry of the cluster it is in. There is one, and its name is "segment-bridge".
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,path=segmentbridges,singular=segmentbridge,categories=telemetry
// +kubebuilder:printcolumn:name="Telemetry",type=string,JSONPath=`.status.conditions[?(@.type=="TelemetryEnabled")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="TelemetryEnabled")].reason`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Last run",type=date,JSONPath=`.status.lastRun.finished`
// +kubebuilder:printcolumn:name="Staged",type=integer,JSONPath=`.status.lastRun.staged`,priority=1
// +kubebuilder:printcolumn:name="Delivered",type=integer,JSONPath=`.status.lastRun.delivered`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'segment-bridge'",message="there is one SegmentBridge in a cluster, and its name is segment-bridge"
type SegmentBridge struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   SegmentBridgeSpec   `json:"spec,omitzero"`
	Status SegmentBridgeStatus `json:"status,omitzero"`
}

// SegmentBridgeList is a list of SegmentBridges.
//
// +kubebuilder:object:root=true
type SegmentBridgeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []SegmentBridge `json:"items"`
}

// SegmentBridgeSpec says what the installation is like. An empty one is complete: it reads the cluster, stages on a volume
// of its own, and delivers to Segment as soon as there is a write key.
type SegmentBridgeSpec struct {
	// enabled switches telemetry on or off where no Konflux resource does. Unset means off on plain Kubernetes, and on
	// OpenShift whatever the console's telemetry is.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// schedule is when the job runs, in the format of cron. By default that is once an hour, at a minute that differs from
	// cluster to cluster.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.matches('^(@hourly|@daily|@every [0-9hms]+|([^ ]+ +){4}[^ ]+)$')",message="write five fields as for cron, such as \"17 * * * *\", or @hourly"
	Schedule string `json:"schedule,omitempty"`

	// clusterID salts the pseudonyms. By default it is the one that the product publishes, else OpenShift's, else the UID of
	// namespace kube-system. Changing it gives every name a new pseudonym.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClusterID string `json:"clusterID,omitempty"`

	// sources are what the job reads. By default it reads the cluster, what that is like, and Tekton Results.
	// +optional
	Sources Sources `json:"sources,omitzero"`

	// window is how far back each run looks.
	// +optional
	Window Window `json:"window,omitzero"`

	// pseudonyms say how names are hidden.
	// +optional
	Pseudonyms Pseudonyms `json:"pseudonyms,omitzero"`

	// stage is where events are kept for auditors until they expire. By default it is a volume in the cluster.
	// +optional
	Stage Stage `json:"stage,omitzero"`

	// segment is the destination. The telemetry of a Konflux resource wins over what is written here.
	// +optional
	Segment Segment `json:"segment,omitzero"`

	// retention is for how long events stay in the stage. By default nothing is removed or merged.
	// +optional
	Retention *Retention `json:"retention,omitempty"`

	// backfill reads a span of the past, once for each time that this is changed.
	// +optional
	Backfill *Backfill `json:"backfill,omitempty"`

	// job is how the pods run.
	// +optional
	Job Job `json:"job,omitzero"`

	// networkPolicy limits whom the pods talk to.
	// +optional
	NetworkPolicy NetworkPolicy `json:"networkPolicy,omitzero"`
}

// Sources are what the job reads.
type Sources struct {
	// kube reads the Kubernetes API: pipeline runs, components, tenants and the product's installation.
	// +optional
	// +kubebuilder:default=true
	Kube *bool `json:"kube,omitempty"`

	// inventory looks at what the cluster is like: its platform, size, nodes, meshes, routes and gateways, as numbers that are
	// rounded and words of closed lists. It takes the right to list pods, services and nodes.
	// +optional
	// +kubebuilder:default=true
	Inventory *bool `json:"inventory,omitempty"`

	// tektonResults reads the pipeline runs that have been removed from the cluster.
	// +optional
	TektonResults TektonResults `json:"tektonResults,omitzero"`
}

// TektonResults is how the job reaches Tekton Results.
type TektonResults struct {
	// enabled reads Tekton Results. By default that happens where its API server is found.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// address is host:port, or a URL with https (REST) or grpcs. By default the service tekton-results-api-service is looked
	// for in the namespaces openshift-pipelines, tekton-results and tekton-pipelines.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Address string `json:"address,omitempty"`

	// serverName is the name in the server's certificate, if it is not the host of the address.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServerName string `json:"serverName,omitempty"`

	// caConfigMap names a ConfigMap in the job's namespace whose key ca.crt verifies the server. By default these are the
	// system's authorities and, on OpenShift, the service CA.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	CAConfigMap string `json:"caConfigMap,omitempty"`
}

// Window is how far back each run looks.
type Window struct {
	// lookback is what an ordinary run reads: 4h by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="look back one hour at least, or events between two runs are lost"
	Lookback *metav1.Duration `json:"lookback,omitempty"`

	// maxLookback bounds what a run reads after an outage: 168h by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="look back one hour at least"
	MaxLookback *metav1.Duration `json:"maxLookback,omitempty"`
}

// A Scheme of pseudonyms.
//
// +kubebuilder:validation:Enum=SHA256;HMAC
type Scheme string

// The schemes of pseudonyms.
const (
	SchemeSHA256 Scheme = "SHA256"
	SchemeHMAC   Scheme = "HMAC"
)

// Pseudonyms say how names are hidden.
type Pseudonyms struct {
	// scheme is SHA256, the hash of a name and the cluster's ID, or HMAC, which needs a key to be guessed. The default is SHA256.
	// +optional
	// +kubebuilder:default=SHA256
	Scheme Scheme `json:"scheme,omitempty"`
}

// Stage is where events are kept. At most one of its fields is set.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.s3) && has(self.volume))",message="a stage is either an S3 bucket or a volume: remove one of stage.s3 and stage.volume"
type Stage struct {
	// s3 is a bucket.
	// +optional
	S3 *S3 `json:"s3,omitempty"`

	// volume is a PersistentVolumeClaim of the job's own.
	// +optional
	Volume *Volume `json:"volume,omitempty"`
}

// S3 is a bucket with an interface like that of Amazon S3.
type S3 struct {
	// bucket is its name.
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`
	Bucket string `json:"bucket"`

	// prefix is a folder in the bucket.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^/?([A-Za-z0-9_=+@,:!-][A-Za-z0-9._=+@,:!-]*/?)*$`
	Prefix string `json:"prefix,omitempty"`

	// endpoint is the URL of the store: Amazon's by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getEscapedPath() in ['', '/']",message="write a URL without a path, such as https://minio.example.com:9000"
	Endpoint string `json:"endpoint,omitempty"`

	// region of the bucket.
	// +optional
	// +kubebuilder:validation:Pattern=`^[a-z0-9-]*$`
	Region string `json:"region,omitempty"`

	// encryption asks the store to encrypt each object: AES256, or aws:kms with kmsKey. By default the bucket decides.
	// +optional
	// +kubebuilder:validation:Enum=AES256;aws:kms
	Encryption string `json:"encryption,omitempty"`

	// kmsKey is the ID of the key for encryption aws:kms.
	// +optional
	KMSKey string `json:"kmsKey,omitempty"`

	// credentialsSecret names a Secret in the job's namespace with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and
	// perhaps AWS_SESSION_TOKEN. Without one the pods get their rights from the platform.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	CredentialsSecret string `json:"credentialsSecret,omitempty"`
}

// A ReclaimPolicy says what becomes of the volume when telemetry is switched off.
//
// +kubebuilder:validation:Enum=Delete;Retain
type ReclaimPolicy string

// What becomes of the volume.
const (
	ReclaimDelete ReclaimPolicy = "Delete"
	ReclaimRetain ReclaimPolicy = "Retain"
)

// Volume is a PersistentVolumeClaim.
type Volume struct {
	// size is 1Gi by default, enough for some ten million events.
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`

	// storageClassName is the cluster's default if unset.
	// +optional
	StorageClassName *string `json:"storageClassName,omitempty"`

	// reclaimPolicy says what becomes of the events when telemetry is switched off: Delete (the default) removes them with all
	// else, Retain keeps the claim, so that nothing is delivered again when it is switched on.
	// +optional
	// +kubebuilder:default=Delete
	ReclaimPolicy ReclaimPolicy `json:"reclaimPolicy,omitempty"`
}

// Segment is a destination: Segment itself, or a compatible API.
type Segment struct {
	// writeKey is the key, readable to all who may read this resource. Prefer writeKeySecretRef.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	WriteKey string `json:"writeKey,omitempty"`

	// writeKeySecretRef is where the key is kept, in the job's namespace.
	// +optional
	WriteKeySecretRef *corev1.SecretKeySelector `json:"writeKeySecretRef,omitempty"`

	// url is where events are sent: https://api.segment.io by default. A path of /v1 or /v1/batch is understood.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url,omitempty"`

	// eventsPerSecond is the most that is sent: 1000 by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	EventsPerSecond *int32 `json:"eventsPerSecond,omitempty"`
}

// Retention is for how long events stay.
type Retention struct {
	// compact merges the batches of a day into one, two days later.
	// +optional
	Compact bool `json:"compact,omitempty"`

	// expireAfter removes delivered events: 9528h is 13 months. Unset keeps them.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('192h')",message="keep events for 192h (8 days) at least: runs reach back over them"
	ExpireAfter *metav1.Duration `json:"expireAfter,omitempty"`
}

// Backfill is a span of the past that is read beside the hourly job, in slices of equal length by several pods at the same time.
//
// +kubebuilder:validation:XValidation:rule="!has(self.until) || self.since < self.until",message="since is not before until: move since back, or leave until out"
// +kubebuilder:validation:XValidation:rule="!has(self.until) || (self.until - self.since).getMinutes() >= self.shards",message="shards do not leave a minute for each slice: use fewer"
type Backfill struct {
	// since is where it begins. What Tekton Results has deleted by its retention policy is gone.
	Since metav1.Time `json:"since"`

	// until is where it ends: by default where the next hourly run begins to read.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// shards is how many slices there are. Each is a batch in the stage, and is tried again by itself.
	// +optional
	// +kubebuilder:default=8
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Shards int32 `json:"shards,omitempty"`

	// parallelism is how many pods work at a time: by default 4, and 1 with a stage on a volume.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Parallelism int32 `json:"parallelism,omitempty"`
}

// Job is how the pods run.
type Job struct {
	// image is the one that the operator itself runs by default.
	// +optional
	Image string `json:"image,omitempty"`

	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// +optional
	// +listType=atomic
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// resources override those of single containers, by their names: window, extract, transform, load, compact, expire.
	// +optional
	Resources map[string]corev1.ResourceRequirements `json:"resources,omitempty"`

	// labels and annotations are added to those of the pods.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// +optional
	// +listType=atomic
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// proxy is set for requests that leave the cluster, as HTTPS_PROXY and NO_PROXY do.
	// +optional
	Proxy *Proxy `json:"proxy,omitempty"`
}

// Proxy is between the pods and the world.
type Proxy struct {
	// +optional
	HTTPSProxy string `json:"httpsProxy,omitempty"`
	// +optional
	NoProxy string `json:"noProxy,omitempty"`
}

// NetworkPolicy limits whom the pods talk to.
type NetworkPolicy struct {
	// disabled makes no policies.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
}
