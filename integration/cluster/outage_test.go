// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// anotherKey is the write key after the rotation. The receiver then knows no other.
const anotherKey = "SegmentTestKeyAfterTheRotation00"

// survivesSegment rotates the key while Segment is away. Two runs stage and cannot deliver, and say so; the third delivers
// for all three, under the new key.
func (p *product) survivesSegment(t *testing.T) {
	p.start(t, "third", "quokka-succeeds", "quokka-fails")
	p.past = append(p.past, p.segment.Events(t)...) // it forgets
	p.repeated = 0
	p.Kubectl(t, "scale", "-n", "segment", "deployment/receiver", "--replicas=0")
	p.Kubectl(t, "wait", "-n", "segment", "--for=delete", "pod", "-l", "app=receiver", "--timeout=60s")
	p.patch(t, "secret/segment", `{"stringData":{"write-key":"`+anotherKey+`"}}`)
	for range 2 {
		// Load would try for two minutes. Its time is up before.
		job := p.trigger(t)
		p.awaitContainer(t, job, "load")
		p.patch(t, "job/"+job, `{"spec":{"activeDeadlineSeconds":1}}`)
		p.awaitJob(t, job, "DeadlineExceeded")
		p.awaitConditions(t, "LastRunSucceeded=False/Failed")
	}
	p.Kubectl(t, "patch", "-n", "segment", "deployment/receiver", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/replicas","value":1},{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"`+anotherKey+`"}]`)
	p.Await(t, "segment", "receiver")
	p.segment.Key = anotherKey
	p.run(t)
	p.check(t)
}

// survivesBucket holds the first write of a batch until the bucket's server is killed, and lets it go down with that.
func (p *product) survivesBucket(t *testing.T) {
	p.start(t, "fourth", "quokka-succeeds", "quokka-fails")
	trap := p.gate.Hold(func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/v1/events/")
	})
	job := p.trigger(t)
	trap.Await(t)
	p.Kubectl(t, "delete", "pod", "-n", "minio", "-l", "app=minio", "--grace-period=0", "--force")
	trap.Cut()
	p.Await(t, "minio", "minio")
	p.awaitJob(t, job, "")
	p.check(t)
}

// survivesNode crashes kubelet and containerd while load waits for Segment's answer. The containers live on.
func (p *product) survivesNode(t *testing.T) {
	p.start(t, "fifth", "quokka-succeeds", "quokka-fails")
	job := p.awaitRequest(t, segmenttest.Fault{Accept: true, Delay: 8 * time.Second}) // load waits for ten
	p.RestartNode(t)
	if pods := p.awaitJob(t, job, ""); len(pods) != 1 {
		t.Errorf("it took %d pods", len(pods))
	}
	p.check(t)
}

// survivesDeletion deletes the pod when Segment has taken the events and load does not know. The next pod sends them again,
// under the same message IDs, by which Segment knows them: that much is documented, and no more.
func (p *product) survivesDeletion(t *testing.T) {
	p.start(t, "sixth", "quokka-succeeds", "quokka-fails")
	before := p.segment.Report(t)
	job := p.awaitRequest(t, segmenttest.Fault{Accept: true, Delay: 9 * time.Second})
	inFlight := p.segment.Report(t).Accepted - before.Accepted
	p.Kubectl(t, "delete", "pod", "-n", "segment-bridge", "-l", "batch.kubernetes.io/job-name="+job)
	p.awaitJob(t, job, "")
	if inFlight == 0 {
		t.Error("nothing was in flight")
	}
	p.repeated += inFlight
	p.check(t)
}

// awaitRequest triggers the job, and returns when Segment has taken what it sends first and not answered yet.
func (p *product) awaitRequest(t *testing.T, fault segmenttest.Fault) (job string) {
	t.Helper()
	before := p.segment.Report(t)
	p.segment.Inject(t, fault)
	job = p.trigger(t)
	Eventually(t, time.Minute, func() error {
		if now := p.segment.Report(t); now.Accepted == before.Accepted {
			return fmt.Errorf("nothing has come to Segment")
		}
		return nil
	})
	return job
}
