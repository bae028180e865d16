// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	_ "embed"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/segment-bridge/segment-bridge/integration/cluster/image"
	"github.com/segment-bridge/segment-bridge/integration/plancheck"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// Bucket is an empty bucket on MinIO in a pod, in the namespace minio. What it holds outlives the pod.
type Bucket struct {
	Endpoint             string // URL inside the cluster
	Name                 string
	AccessKey, SecretKey string
	Client               *minio.Client // for the test, which is outside
}

//go:embed minio.yaml
var minioYAML string

// MinIO starts a store.
func (c *Cluster) MinIO(t testing.TB) *Bucket {
	t.Helper()
	b := &Bucket{Endpoint: "http://minio.minio.svc:9000", Name: "telemetry", AccessKey: "an-access-key", SecretKey: "a-secret-key"}
	c.LoadImage(t, server(t, "minio", "/minio"))
	c.ApplyText(t, strings.NewReplacer("ACCESS_KEY", b.AccessKey, "SECRET_KEY", b.SecretKey).Replace(minioYAML))
	c.Await(t, "minio", "minio")
	var err error
	b.Client, err = minio.New("minio.minio.svc:9000", &minio.Options{
		Creds: credentials.NewStaticV4(b.AccessKey, b.SecretKey, ""), Transport: c.Client().Transport, Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	Eventually(t, 30*time.Second, func() error { return b.Client.MakeBucket(t.Context(), b.Name, minio.MakeBucketOptions{}) })
	return b
}

// Segment is the strict receiver that stands in for Segment, in a pod in the namespace segment. It forgets all when the
// pod ends.
type Segment struct {
	URL string // inside the cluster, without a path
	Key string // the write key it knows

	client *http.Client
}

//go:embed receiver.yaml
var receiverYAML string

// Receiver starts what stands in for Segment.
func (c *Cluster) Receiver(t testing.TB) *Segment {
	t.Helper()
	c.LoadImage(t, image.Program("localhost/receiver:dev", "/receiver", goBuild(t, "receiver", "./integration/cluster/receiver")))
	c.ApplyText(t, receiverYAML)
	c.Await(t, "segment", "receiver")
	return &Segment{URL: "http://receiver.segment.svc", Key: segmenttest.Key, client: c.Client()}
}

// Events returns what was taken, in order, each message once. An event that breaks the tracking plan's JSON Schema fails
// the test.
func (s *Segment) Events(t testing.TB) (events []segmenttest.Event) {
	t.Helper()
	lines := json.NewDecoder(bytes.NewReader(s.call(t, http.MethodGet, "events", nil)))
	for {
		var event segmenttest.Event
		if err := lines.Decode(&event); errors.Is(err, io.EOF) {
			return events
		} else if err != nil {
			t.Fatalf("read the receiver's events: %v", err)
		}
		plancheck.Events(t, []segmenttest.Event{event})
		events = append(events, event)
	}
}

// Report returns what was counted so far.
func (s *Segment) Report(t testing.TB) (report segmenttest.Report) {
	t.Helper()
	if err := json.Unmarshal(s.call(t, http.MethodGet, "report", nil), &report); err != nil {
		t.Fatalf("read the receiver's report: %v", err)
	}
	return report
}

// Inject makes the next requests fail, one fault each.
func (s *Segment) Inject(t testing.TB, faults ...segmenttest.Fault) {
	t.Helper()
	data, err := json.Marshal(faults)
	if err != nil {
		t.Fatal(err)
	}
	s.call(t, http.MethodPost, "faults", data)
}

func (s *Segment) call(t testing.TB, method, what string, body []byte) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://receiver.segment.svc:80/_/"+what, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.client.Do(request)
	if err != nil {
		t.Fatalf("ask the receiver: %v", err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode/100 != 2 {
		t.Fatalf("ask the receiver: %s, %v", answer.Status, err)
	}
	return data
}
