// SPDX-License-Identifier: Apache-2.0

package install

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

const (
	// DefaultShards is how many slices a back-fill has unless it says so.
	DefaultShards = 8
	// MaxShards bounds the slices of a back-fill.
	MaxShards = 1000
	// shardTimeout is how long a shard may read a source: Tekton Results is read from its latest record down to the slice.
	shardTimeout = time.Hour
)

// A Backfill is a span of the past, [Since, Until) in whole seconds, that is read once, beside the hourly job: in Shards
// equal slices, of which Parallelism pods read one each at a time.
type Backfill struct {
	// Until, zero, and Parallelism, 0, are for [Backfill.Complete].
	Since, Until        time.Time
	Shards, Parallelism int32
}

// Name is that of the back-fill's Job; another back-fill has another one.
func (b Backfill) Name() string {
	h := fnv.New32a()
	h.Write(fmt.Append(nil, b.Since.Unix(), b.Until.Unix(), b.Shards, b.Parallelism)) // a hash never fails
	return fmt.Sprintf("%s-backfill-%08x", CronJob, h.Sum32())
}

// BackfillOf returns what a resource asks for.
func BackfillOf(asked *v1alpha1.Backfill) Backfill {
	b := Backfill{Since: asked.Since.Time, Shards: cmp.Or(asked.Shards, DefaultShards), Parallelism: asked.Parallelism}
	if asked.Until != nil {
		b.Until = asked.Until.Time
	}
	return b
}

// Complete returns the back-fill with what was not said of it, at the time now. It ends where the next hourly run begins to
// read, so that the two never read the same. A volume is on one node, and has one pod at a time.
func (b Backfill) Complete(s Settings, now time.Time) Backfill {
	usual, _ := s.lookback()
	if b.Until.IsZero() {
		b.Until = now.Add(-usual).Truncate(time.Second)
	}
	if b.Parallelism == 0 {
		b.Parallelism = min(b.Shards, 4)
		if s.Spec.Stage.S3 == nil {
			b.Parallelism = 1
		}
	}
	return b
}

// BackfillJob returns the Job of a back-fill at the time now. Each of its pods finds its slice by its completion index, and
// stages it with extract and transform as those of the hourly job do, without anybody's help. What they stage, the hourly
// job delivers, and [LoadJob].
func BackfillJob(s Settings, b Backfill, now time.Time) (*batchv1.Job, error) {
	if err := errors.Join(s.Validate(), s.validateBackfill(b, now)); err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	extract := s.extract(
		"--since="+b.Since.UTC().Format(time.RFC3339), "--until="+b.Until.UTC().Format(time.RFC3339), fmt.Sprintf("--shards=%d", b.Shards),
		// A slice that is not whole is none: it is tried again, and missing if that does not help.
		"--strict", "--source-timeout="+shardTimeout.String(),
	)
	pod := s.pod(CronJob, componentJob, s.transform(), extract)
	pod.Spec.Volumes = append(pod.Spec.Volumes, s.extractVolumes()...)
	job := jobOf(b.Name(), jobSpec(pod))
	indexed := batchv1.IndexedCompletion
	job.Spec.CompletionMode, job.Spec.Completions, job.Spec.Parallelism = &indexed, &b.Shards, &b.Parallelism
	job.Spec.BackoffLimitPerIndex = new(int32(retries)) // one slice that fails stops no other
	return job, nil
}

// LoadJob returns a Job of several pods that deliver what is staged, each other batches. It has no name of its own: it is
// created, not applied.
func LoadJob(s Settings, pods int32) (*batchv1.Job, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	if pods < 1 {
		return nil, errors.New("there is one loader at least")
	}
	job := jobOf("", timedJob(s.pod(CronJob, componentJob, s.load())))
	job.GenerateName = CronJob + "-load-"
	job.Spec.Parallelism = &pods
	return job, nil
}

func jobOf(name string, spec batchv1.JobSpec) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: meta(Namespace, name, componentJob), Spec: spec,
	}
}

// validate returns what is wrong with the back-fill at any time, joined.
func (b Backfill) validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("the back-fill: "+format, args...))
		}
	}
	wrong(b.Shards < 1 || b.Shards > MaxShards, "shards are not from 1 to %d", MaxShards)
	wrong(b.Parallelism < 0, "parallelism is less than 1")
	switch {
	case b.Until.IsZero():
	case !b.Since.Before(b.Until):
		wrong(true, "since is not before until (%s): move since back", b.Until.UTC().Format(time.RFC3339))
	default:
		wrong(b.Until.Sub(b.Since) < time.Duration(b.Shards)*time.Minute, "shards do not leave a minute for each slice: use fewer")
	}
	return errors.Join(errs...)
}

// validateBackfill returns what is wrong with a back-fill that is complete, at the time now.
func (s Settings) validateBackfill(b Backfill, now time.Time) error {
	errs := []error{b.validate()}
	if !s.kube() && s.Results == nil {
		errs = append(errs, errors.New("the back-fill: nothing that it could read is a source: set spec.sources.kube to true, or spec.sources.tektonResults.address"))
	}
	if b.Until.After(now) {
		errs = append(errs, errors.New("the back-fill: until is in the future: leave it out, and the hourly job reads on from where the back-fill ends"))
	}
	if r := s.Spec.Retention; r != nil && r.ExpireAfter != nil {
		if kept := now.Add(-r.ExpireAfter.Duration); b.Since.Before(kept) {
			errs = append(errs, fmt.Errorf("the back-fill: since is before %s, and spec.retention.expireAfter has removed what was staged of that time: it would be sent again",
				kept.UTC().Format(time.RFC3339)))
		}
	}
	return errors.Join(errs...)
}
