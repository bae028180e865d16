// SPDX-License-Identifier: Apache-2.0

package install

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Validate returns all that is wrong with the settings, joined: what depends on more than one field or on the cluster, and
// what the API server checks too, for those who do not pass it.
func (s Settings) Validate() error {
	spec := &s.Spec
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(s.ClusterID == "", "the ID of the cluster is not known: set spec.clusterID")
	wrong(s.image() == "", "the image is not known: set spec.job.image")
	wrong(!s.kube() && !s.inventory() && s.Results == nil, "there is nothing to read: set spec.sources.kube or spec.sources.inventory to true, or spec.sources.tektonResults.address")
	wrong(spec.Schedule != "" && !schedules.MatchString(spec.Schedule), `spec.schedule: write five fields as for cron, such as "17 * * * *", or @hourly`)
	wrong(!among(spec.Pseudonyms.Scheme, "", "SHA256", "HMAC"), "spec.pseudonyms.scheme is SHA256 or HMAC")
	wrong(!among(spec.Job.ImagePullPolicy, "", "Always", "IfNotPresent", "Never"), "spec.job.imagePullPolicy is Always, IfNotPresent or Never")
	rate := spec.Segment.EventsPerSecond
	wrong(rate != nil && *rate < 1, "spec.segment.eventsPerSecond is 1 at least")
	for _, text := range []struct {
		field, value string
		most         int
	}{
		{"clusterID", spec.ClusterID, 253},
		{"sources.tektonResults.address", spec.Sources.TektonResults.Address, 253},
		{"sources.tektonResults.serverName", spec.Sources.TektonResults.ServerName, 253},
		{"sources.tektonResults.caConfigMap", spec.Sources.TektonResults.CAConfigMap, 253},
		{"segment.writeKey", spec.Segment.WriteKey, 256},
		{"segment.url", spec.Segment.URL, 2048},
	} {
		wrong(len(text.value) > text.most, "spec.%s is longer than %d characters", text.field, text.most)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Job.Resources)) {
		wrong(!slices.Contains(containers, name), "spec.job.resources: there is no container %q: use one of %q", name, containers)
	}
	if spec.Backfill != nil {
		errs = append(errs, BackfillOf(spec.Backfill).validate())
	}
	return errors.Join(append(errs, s.validateStage(), s.validateTimes())...)
}

func (s Settings) validateStage() error {
	var errs []error
	wrong := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	stage := &s.Spec.Stage
	wrong(stage.S3 != nil && stage.Volume != nil, "a stage is either an S3 bucket or a volume: remove one of spec.stage.s3 and spec.stage.volume")
	if v := stage.Volume; v != nil {
		wrong(!among(v.ReclaimPolicy, "", "Delete", "Retain"), "spec.stage.volume.reclaimPolicy is Delete or Retain")
	}
	if s3 := stage.S3; s3 != nil {
		wrong(!buckets.MatchString(s3.Bucket), "spec.stage.s3.bucket is not the name of a bucket: 3 to 63 small letters, digits, dots and dashes")
		wrong(len(s3.Prefix) > 512 || !prefixes.MatchString(s3.Prefix), "spec.stage.s3.prefix is not a folder: up to 512 letters, digits and -_.=+@,:! in parts joined by single slashes")
		wrong(!regions.MatchString(s3.Region), "spec.stage.s3.region is not the name of a region, such as eu-west-1")
		wrong(!among(s3.Encryption, "", "AES256", "aws:kms"), "spec.stage.s3.encryption is AES256 or aws:kms")
		wrong(len(s3.CredentialsSecret) > 253, "spec.stage.s3.credentialsSecret is longer than 253 characters")
		if s3.Endpoint != "" {
			u, err := url.Parse(s3.Endpoint)
			wrong(err != nil || !among(u.Scheme, "http", "https") || u.Host == "" || !among(u.Path, "", "/"),
				"spec.stage.s3.endpoint: write a URL without a path, such as https://minio.example.com:9000")
		}
	}
	return errors.Join(errs...)
}

func (s Settings) validateTimes() error {
	var errs []error
	atLeast := func(field string, d *metav1.Duration, least time.Duration, why string) {
		if d != nil && d.Duration < least {
			errs = append(errs, fmt.Errorf("spec.%s is less than %s: %s", field, least, why))
		}
	}
	atLeast("window.lookback", s.Spec.Window.Lookback, time.Hour, "events between two runs would be lost")
	atLeast("window.maxLookback", s.Spec.Window.MaxLookback, time.Hour, "events between two runs would be lost")
	lookback, longest := s.lookback()
	if longest < lookback {
		errs = append(errs, fmt.Errorf("spec.window.maxLookback (%s) is less than spec.window.lookback (%s)", longest, lookback))
	}
	if r := s.Spec.Retention; r != nil {
		atLeast("retention.expireAfter", r.ExpireAfter, max(minRetention, longest+day), "runs reach back over these events, and would send again what was removed")
	}
	return errors.Join(errs...)
}

const (
	day = 24 * time.Hour
	// minRetention is the least that expire takes.
	minRetention = 8 * day
)

// lookback returns how far back ordinary runs look, and runs after an outage. The defaults are those of the commands.
func (s Settings) lookback() (usual, longest time.Duration) {
	usual, longest = 4*time.Hour, 7*day
	if d := s.Spec.Window.Lookback; d != nil {
		usual = d.Duration
	}
	if d := s.Spec.Window.MaxLookback; d != nil {
		longest = d.Duration
	}
	return usual, longest
}

var (
	containers = []string{ContainerWindow, ContainerExtract, ContainerTransform, ContainerLoad, ContainerCompact, ContainerExpire}

	schedules = regexp.MustCompile(`^(@hourly|@daily|@every [0-9hms]+|([^ ]+ +){4}[^ ]+)$`)
	buckets   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixes  = regexp.MustCompile(`^/?([A-Za-z0-9_=+@,:!-][A-Za-z0-9._=+@,:!-]*/?)*$`)
	regions   = regexp.MustCompile(`^[a-z0-9-]*$`)
)

func among[T ~string](value T, all ...T) bool { return slices.Contains(all, value) }
