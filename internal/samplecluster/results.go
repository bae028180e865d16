// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"encoding/base64"
	"iter"
	"strconv"
	"time"
)

// A Record is a run as Tekton Results keeps it.
type Record struct {
	// Name is of the form <namespace>/results/<uid>/records/<uid>.
	Name string
	// ID identifies the record; it is not the run's UID.
	ID string
	// Object is the run as it was when it was stored last.
	Object Object
	// Created and Updated are when it was stored first and last.
	Created, Updated time.Time
}

// Records yields the runs that Tekton Results holds: the pruned ones, and some
// that are still in the cluster, half of which were stored while they ran.
// Newest update first is not promised.
func (c *Cluster) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for run := range c.Runs() {
			if run.Stored && !yield(run.record()) {
				return
			}
		}
	}
}

func (r *Run) record() Record {
	updated := r.Completed
	if r.storedWhileRunning {
		updated = r.Started.Add(r.Completed.Sub(r.Started) / 2)
	}
	return Record{
		Name:    recordName(r),
		ID:      newUUID(r.cluster.random(r.Index, 5)),
		Object:  r.Object(updated),
		Created: r.Started.Add(time.Second),
		Updated: updated.Add(2 * time.Second),
	}
}

func recordName(r *Run) string { return r.Namespace + "/results/" + r.UID + "/records/" + r.UID }

// AppendJSON appends the record as the REST API of Tekton Results writes it.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"name":`...)
	dst = strconv.AppendQuote(dst, r.Name)
	dst = append(dst, `,"id":"`+r.ID+`","uid":"`+r.ID+`","data":{"type":"tekton.dev/v1.PipelineRun","value":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, r.Object.JSON)
	dst = append(dst, `"},"etag":"`+r.ID+"-"+strconv.FormatInt(r.Updated.UnixNano(), 10)+`","create_time":"`...)
	dst = r.Created.AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","update_time":"`...)
	dst = r.Updated.AppendFormat(dst, time.RFC3339)
	return append(dst, `"}`...)
}
