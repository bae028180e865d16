// SPDX-License-Identifier: Apache-2.0

package install

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// stageFolder is where the volume with the stage is mounted.
	stageFolder = "/stage"
	// spoolFolder is what window, extract and transform share; it is in memory.
	spoolFolder = "/spool"
	// accountFolder is where clients look for a service account, and on OpenShift for the CA of services.
	accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"
	// pseudonymFolder and resultsCAFolder have one file each.
	pseudonymFolder = "/etc/segment-bridge/pseudonym"
	resultsCAFolder = "/etc/segment-bridge/results-ca"

	// user is that of the image. OpenShift chooses one itself.
	user = 65532

	// tokenSeconds is how long extract's token lives, the least that the API server allows. The kubelet renews it.
	tokenSeconds = 600

	// exitUsage is the exit code of the commands for a mistake in the configuration: to try again does not help.
	exitUsage = 2
)

const (
	volumeSpool       = "spool"
	volumeWork        = "work"
	volumeStage       = "stage"
	volumeAccount     = "service-account"
	volumePseudonym   = "pseudonym-key"
	volumeResultsCA   = "results-ca"
	configOpenShiftCA = "openshift-service-ca.crt"
	configKubeCA      = "kube-root-ca.crt"
)

// cronJob is the hourly job: four containers, one after the other, each with what it needs and no more.
func (s Settings) cronJob() *batchv1.CronJob {
	window := s.container(ContainerWindow, s.windowArgs(), append(s.clusterEnv(), s.stageEnv()...),
		mount(volumeSpool, spoolFolder), s.stageMount(true))
	pod := s.pod(CronJob, componentJob, s.load(), window, s.extract(append(s.nowArgs(), "--window="+windowFile)...), s.transform())
	pod.Spec.Volumes = append(pod.Spec.Volumes, s.extractVolumes()...)
	return s.cron(CronJob, componentJob, cmp.Or(s.Spec.Schedule, strconv.Itoa(s.jitter(60))+" * * * *"), pod)
}

// extract reads what the arguments say.
func (s Settings) extract(args ...string) corev1.Container {
	return s.container(ContainerExtract, s.extractArgs(args...), s.clusterEnv(), s.extractMounts()...)
}

func (s Settings) transform() corev1.Container {
	return s.container(ContainerTransform, []string{"--in=" + spoolFolder + "/records"}, s.stageEnv(),
		mount(volumeSpool, spoolFolder), s.stageMount(false))
}

func (s Settings) load() corev1.Container {
	return s.container(ContainerLoad, s.loadArgs(), append(s.stageEnv(), s.loadEnv()...), s.stageMount(false))
}

// maintenanceCronJob merges and removes old batches, once a day. It has neither a token nor the write key.
func (s Settings) maintenanceCronJob() *batchv1.CronJob {
	var containers []corev1.Container
	if s.Spec.Retention.Compact {
		containers = append(containers, s.container(ContainerCompact, nil, s.stageEnv(), s.stageMount(false)))
	}
	if after := s.Spec.Retention.ExpireAfter; after != nil {
		containers = append(containers, s.container(ContainerExpire, []string{"--older-than=" + after.Duration.String()}, s.stageEnv(), s.stageMount(false)))
	}
	last := len(containers) - 1
	pod := s.pod(MaintenanceCronJob, componentMaintenance, containers[last], containers[:last]...)
	// Half an hour from the hourly job, at an hour of its own.
	schedule := strconv.Itoa((s.jitter(60)+30)%60) + " " + strconv.Itoa(s.jitter(24)) + " * * *"
	return s.cron(MaintenanceCronJob, componentMaintenance, schedule, pod)
}

// jitter returns a number below n that depends on the cluster, so that not all clusters run at the same time.
func (s Settings) jitter(n uint64) int {
	h := fnv.New64a()
	h.Write([]byte(s.ClusterID)) // a hash never fails
	return int(h.Sum64() % n)
}

// cron runs pods of one kind at their times, never two at once.
func (s Settings) cron(name, component, schedule string, pod corev1.PodTemplateSpec) *batchv1.CronJob {
	return &batchv1.CronJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"},
		ObjectMeta: meta(Namespace, name, component),
		Spec: batchv1.CronJobSpec{
			Schedule:          schedule,
			ConcurrencyPolicy: batchv1.ForbidConcurrent,
			// A run that could not start within half an hour is left out: the next one reads what it would have read.
			StartingDeadlineSeconds:    new(int64(30 * 60)),
			SuccessfulJobsHistoryLimit: new(int32(3)),
			FailedJobsHistoryLimit:     new(int32(3)),
			JobTemplate: batchv1.JobTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: meta("", "", component).Labels},
				Spec:       timedJob(pod),
			},
		},
	}
}

// retries is how often a pod that failed is tried again.
const retries = 2

// timedJob runs a pod within the time that there is for a run.
func timedJob(pod corev1.PodTemplateSpec) batchv1.JobSpec {
	job := jobSpec(pod)
	// Long enough to deliver ten million events at the default rate. What is left then, the next run does.
	job.ActiveDeadlineSeconds = new(int64(3 * 60 * 60))
	job.BackoffLimit = new(int32(retries))
	return job
}

// jobSpec runs a pod. A mistake in the configuration is not tried again, and being evicted is no failure.
func jobSpec(pod corev1.PodTemplateSpec) batchv1.JobSpec {
	return batchv1.JobSpec{
		// Finished jobs go even while the CronJob is suspended.
		TTLSecondsAfterFinished: new(int32(7 * 24 * 60 * 60)),
		PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
			{Action: batchv1.PodFailurePolicyActionFailJob, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
				Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{exitUsage},
			}},
			{Action: batchv1.PodFailurePolicyActionIgnore, OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
				{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
			}},
		}},
		Template: pod,
	}
}

// pod runs first, one container after the other, and then last.
func (s Settings) pod(account, component string, last corev1.Container, first ...corev1.Container) corev1.PodTemplateSpec {
	job := &s.Spec.Job
	labels, annotations := map[string]string{}, maps.Clone(job.Annotations)
	maps.Copy(labels, job.Labels)
	maps.Copy(labels, meta("", "", component).Labels) // the network policies go by these
	if s3 := s.Spec.Stage.S3; s3 != nil && s3.CredentialsSecret == "" {
		// Where AWS gives credentials to a service account, extract does without.
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations["eks.amazonaws.com/skip-containers"] = ContainerExtract
	}
	security := &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if !s.OpenShift {
		security.RunAsUser, security.RunAsGroup, security.FSGroup = new(int64(user)), new(int64(user)), new(int64(user))
		security.FSGroupChangePolicy = new(corev1.FSGroupChangeOnRootMismatch)
	}
	volumes := []corev1.Volume{{Name: volumeWork, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse(workSize))}}}}
	if component == componentJob && len(first) > 0 {
		volumes = append(volumes, corev1.Volume{Name: volumeSpool, VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: new(resource.MustParse(spoolSize))},
		}})
	}
	if s.Spec.Stage.S3 == nil {
		volumes = append(volumes, corev1.Volume{Name: volumeStage, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: StageClaim},
		}})
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations},
		Spec: corev1.PodSpec{
			ServiceAccountName: account, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
			RestartPolicy: corev1.RestartPolicyNever, SecurityContext: security,
			InitContainers: first, Containers: []corev1.Container{last}, Volumes: volumes,
			ImagePullSecrets: job.ImagePullSecrets, NodeSelector: job.NodeSelector, Tolerations: job.Tolerations, PriorityClassName: job.PriorityClassName,
		},
	}
}

// container runs the command it is named after. All but extract, which needs none, have a folder of their own for temporary
// files.
func (s Settings) container(name string, args []string, env []corev1.EnvVar, mounts ...corev1.VolumeMount) corev1.Container {
	mounts = slices.DeleteFunc(mounts, func(m corev1.VolumeMount) bool { return m.Name == "" })
	if name != ContainerExtract {
		mounts = append(mounts, corev1.VolumeMount{Name: volumeWork, MountPath: "/tmp", SubPath: name})
	}
	return corev1.Container{
		Name: name, Image: s.image(), ImagePullPolicy: s.Spec.Job.ImagePullPolicy,
		Args:      append([]string{name}, args...),
		Env:       slices.Concat(env, s.proxyEnv(), runtimeEnv()),
		Resources: s.resources(name), VolumeMounts: mounts,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		// The commands leave their summary there. What ends before that has the end of its log instead, which holds no names.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

func (s Settings) sourceArgs() []string {
	var args []string
	if s.kube() {
		args = append(args, "--source=kube")
	}
	if s.Results != nil {
		args = append(args, "--source=results")
	}
	return args
}

// nowArgs are of the source that knows the present alone: a back-fill has no use for it.
func (s Settings) nowArgs() []string {
	if s.inventory() {
		return []string{"--source=inventory"}
	}
	return nil
}

const windowFile = spoolFolder + "/window.json"

func (s Settings) windowArgs() []string {
	args := append(append(s.sourceArgs(), s.nowArgs()...), "--out="+windowFile)
	duration := func(flag string, d *metav1.Duration) {
		if d != nil {
			args = append(args, flag+"="+d.Duration.String())
		}
	}
	duration("--lookback", s.Spec.Window.Lookback)
	duration("--max-lookback", s.Spec.Window.MaxLookback)
	return args
}

func (s Settings) extractArgs(window ...string) []string {
	args := append(append(s.sourceArgs(), window...), "--out="+spoolFolder+"/records")
	if s.hmac() {
		args = append(args, "--pseudonym-key-file="+pseudonymFolder+"/"+PseudonymKeyKey)
	}
	if s.Results == nil {
		return args
	}
	args = append(args, "--results-address="+s.Results.Address)
	if name := s.Spec.Sources.TektonResults.ServerName; name != "" {
		args = append(args, "--results-server-name="+name)
	}
	if s.Spec.Sources.TektonResults.CAConfigMap != "" {
		args = append(args, "--results-ca-file="+resultsCAFolder+"/ca.crt")
	}
	return args
}

func (s Settings) loadArgs() []string {
	if rate := s.Spec.Segment.EventsPerSecond; rate != nil {
		return []string{"--rate=" + strconv.Itoa(int(*rate))}
	}
	return nil
}

func (s Settings) clusterEnv() []corev1.EnvVar {
	return []corev1.EnvVar{{Name: "CLUSTER_ID", Value: s.ClusterID}}
}

// stageEnv is what a container needs that reads or writes the stage.
func (s Settings) stageEnv() []corev1.EnvVar {
	env := []corev1.EnvVar{{Name: "SEGMENT_BRIDGE_STAGE", Value: s.stageURL()}}
	if s3 := s.Spec.Stage.S3; s3 != nil && s3.CredentialsSecret != "" {
		env = append(env, secretEnv("AWS_ACCESS_KEY_ID", s3.CredentialsSecret, "AWS_ACCESS_KEY_ID", false),
			secretEnv("AWS_SECRET_ACCESS_KEY", s3.CredentialsSecret, "AWS_SECRET_ACCESS_KEY", false),
			secretEnv("AWS_SESSION_TOKEN", s3.CredentialsSecret, "AWS_SESSION_TOKEN", true))
	}
	return env
}

// loadEnv has the write key. Without one load delivers nothing, and says so.
func (s Settings) loadEnv() []corev1.EnvVar {
	name, key := WriteKeySecret, WriteKeyKey
	if ref := s.Spec.Segment.WriteKeySecretRef; s.WriteKey == "" && ref != nil {
		name, key = ref.Name, ref.Key
	}
	env := []corev1.EnvVar{secretEnv("SEGMENT_WRITE_KEY", name, key, true)}
	if s.URL != "" {
		env = append(env, corev1.EnvVar{Name: "SEGMENT_BATCH_API", Value: s.URL})
	}
	return env
}

func secretEnv(variable, secret, key string, optional bool) corev1.EnvVar {
	ref := &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key}
	if optional {
		ref.Optional = new(true)
	}
	return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: ref}}
}

// proxyEnv is for requests that leave the cluster; the API server and services are reached without it.
func (s Settings) proxyEnv() []corev1.EnvVar {
	p := s.Spec.Job.Proxy
	if p == nil || p.HTTPSProxy == "" {
		return nil
	}
	direct := []string{"localhost", ".svc", ".cluster.local", "$(KUBERNETES_SERVICE_HOST)"}
	if p.NoProxy != "" {
		direct = append(direct, p.NoProxy)
	}
	return []corev1.EnvVar{{Name: "HTTPS_PROXY", Value: p.HTTPSProxy}, {Name: "NO_PROXY", Value: strings.Join(direct, ",")}}
}

func mount(volume, path string) corev1.VolumeMount {
	return corev1.VolumeMount{Name: volume, MountPath: path}
}

// stageMount mounts the stage where it is a volume, and nothing where it is a bucket.
func (s Settings) stageMount(readOnly bool) corev1.VolumeMount {
	if s.Spec.Stage.S3 != nil {
		return corev1.VolumeMount{}
	}
	return corev1.VolumeMount{Name: volumeStage, MountPath: stageFolder, ReadOnly: readOnly}
}

func (s Settings) extractMounts() []corev1.VolumeMount {
	mounts := []corev1.VolumeMount{mount(volumeSpool, spoolFolder)}
	for _, v := range s.extractVolumes() {
		path := map[string]string{volumeAccount: accountFolder, volumePseudonym: pseudonymFolder, volumeResultsCA: resultsCAFolder}[v.Name]
		mounts = append(mounts, corev1.VolumeMount{Name: v.Name, MountPath: path, ReadOnly: true})
	}
	return mounts
}

// extractVolumes are those that extract alone mounts.
func (s Settings) extractVolumes() []corev1.Volume {
	account := []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(tokenSeconds))}},
		{ConfigMap: configProjection(configKubeCA, "ca.crt", false)},
	}
	if s.OpenShift && s.Results != nil {
		account = append(account, corev1.VolumeProjection{ConfigMap: configProjection(configOpenShiftCA, "service-ca.crt", true)})
	}
	volumes := []corev1.Volume{{Name: volumeAccount, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: account}}}}
	if s.hmac() {
		volumes = append(volumes, corev1.Volume{Name: volumePseudonym, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: PseudonymKeySecret, Items: []corev1.KeyToPath{{Key: PseudonymKeyKey, Path: PseudonymKeyKey}}},
		}})
	}
	if name := s.Spec.Sources.TektonResults.CAConfigMap; name != "" && s.Results != nil {
		volumes = append(volumes, corev1.Volume{Name: volumeResultsCA, VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			},
		}})
	}
	return volumes
}

func configProjection(name, key string, optional bool) *corev1.ConfigMapProjection {
	p := &corev1.ConfigMapProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: []corev1.KeyToPath{{Key: key, Path: key}},
	}
	if optional {
		p.Optional = new(true)
	}
	return p
}
