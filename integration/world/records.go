// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	pb "github.com/tektoncd/results/proto/v1alpha2/results_go_proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// run is what is needed of a stored object to name its record.
type run struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
}

func parseRun(object []byte) (run, error) {
	var r run
	if err := json.Unmarshal(object, &r); err != nil {
		return r, fmt.Errorf("read an object to store: %w", err)
	}
	if r.Metadata.UID == "" || r.Metadata.Namespace == "" || r.Kind == "" {
		return r, fmt.Errorf("read an object to store: it needs a kind, a namespace and a UID")
	}
	return r, nil
}

// result is the name of the object's Result: that of the PipelineRun it is part of, else its own.
func (r run) result() string {
	uid := r.Metadata.UID
	for _, owner := range r.Metadata.OwnerReferences {
		if owner.Kind == "PipelineRun" {
			uid = owner.UID
			break
		}
	}
	return fmt.Sprintf("%s/results/%s", r.Metadata.Namespace, uid)
}

func (r run) record() string { return fmt.Sprintf("%s/records/%s", r.result(), r.Metadata.UID) }

// dataType is the type Tekton's watcher gives the record: tekton.dev/v1.PipelineRun.
func (r run) dataType() string { return r.APIVersion + "." + r.Kind }

// RecordName is the name of the record that holds an object, given as JSON: <namespace>/results/<UID>/records/<UID>, as
// Tekton's watcher names it.
func RecordName(object []byte) (string, error) {
	r, err := parseRun(object)
	if err != nil {
		return "", err
	}
	return r.record(), nil
}

// Store stores objects, given as JSON with namespace and UID, as Tekton's watcher does when it first sees them. It returns
// their records' names in the same order. Thousands take seconds.
func (r *ResultsServer) Store(ctx context.Context, objects ...[]byte) ([]string, error) {
	names := make([]string, len(objects))
	err := concurrently(ctx, len(objects), func(ctx context.Context, i int) error {
		o, err := parseRun(objects[i])
		if err != nil {
			return err
		}
		names[i] = o.record()
		_, err = r.Client.CreateResult(ctx, &pb.CreateResultRequest{Parent: o.Metadata.Namespace, Result: &pb.Result{Name: o.result()}})
		if err != nil && status.Code(err) != codes.AlreadyExists {
			return fmt.Errorf("create the result %s: %w", o.result(), err)
		}
		_, err = r.Client.CreateRecord(ctx, &pb.CreateRecordRequest{Parent: o.result(), Record: &pb.Record{
			Name: o.record(), Data: &pb.Any{Type: o.dataType(), Value: objects[i]},
		}})
		if err != nil {
			return fmt.Errorf("create the record %s: %w", o.record(), err)
		}
		return nil
	})
	return names, err
}

// Update stores objects again that have changed since Store, as Tekton's watcher does: their update_time becomes now.
func (r *ResultsServer) Update(ctx context.Context, objects ...[]byte) error {
	return concurrently(ctx, len(objects), func(ctx context.Context, i int) error {
		o, err := parseRun(objects[i])
		if err != nil {
			return err
		}
		_, err = r.Client.UpdateRecord(ctx, &pb.UpdateRecordRequest{Record: &pb.Record{
			Name: o.record(), Data: &pb.Any{Type: o.dataType(), Value: objects[i]},
		}})
		if err != nil {
			return fmt.Errorf("update the record %s: %w", o.record(), err)
		}
		return nil
	})
}

// RecordTimes are the times the server keeps of a record. Its clients cannot choose them.
type RecordTimes struct {
	Name             string
	Created, Updated time.Time
}

// SetTimes sets create_time and update_time of records, in the database. All must exist.
func (r *ResultsServer) SetTimes(ctx context.Context, times ...RecordTimes) error {
	if len(times) == 0 {
		return nil
	}
	rows := make([]string, len(times))
	for i, t := range times {
		parts := strings.Split(t.Name, "/")
		if len(parts) != 5 {
			return fmt.Errorf("set times: %q is not the name of a record", t.Name)
		}
		values := []string{parts[0], parts[2], parts[4], t.Created.UTC().Format(time.RFC3339Nano), t.Updated.UTC().Format(time.RFC3339Nano)}
		for j, v := range values {
			values[j] = "'" + strings.ReplaceAll(v, "'", "''") + "'"
		}
		rows[i] = "(" + strings.Join(values, ",") + ")"
	}
	tag, err := r.db.query(ctx, r.database, `
UPDATE records SET created_time = t.created::timestamptz, updated_time = t.updated::timestamptz
FROM (VALUES `+strings.Join(rows, ",\n")+`) AS t (parent, result, name, created, updated)
WHERE records.parent = t.parent AND records.result_name = t.result AND records.name = t.name;`)
	if err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	if want := fmt.Sprintf("UPDATE %d", len(times)); tag != want {
		return fmt.Errorf("set times: the database says %q, not %q: are all records there?", tag, want)
	}
	return nil
}

// A Planted is an object, given as JSON, and the times of its record.
type Planted struct {
	Object           []byte
	Created, Updated time.Time
}

// Plant puts records into the server's database as the server would store them, past its API: tens of thousands take
// seconds.
func (r *ResultsServer) Plant(ctx context.Context, planted ...Planted) error {
	sql, err := PlantSQL(planted...)
	if err == nil {
		_, err = r.db.query(ctx, r.database, sql)
	}
	if err != nil {
		return fmt.Errorf("plant records: %w", err)
	}
	return nil
}

// PlantSQL is what psql reads to plant records.
func PlantSQL(planted ...Planted) (string, error) {
	var results, records bytes.Buffer
	seen := map[string]bool{}
	row := func(b *bytes.Buffer, values ...string) {
		for i, v := range values {
			values[i] = copyText.Replace(v)
		}
		b.WriteString(strings.Join(values, "\t") + "\n")
	}
	for _, p := range planted {
		o, err := parseRun(p.Object)
		if err != nil {
			return "", err
		}
		_, result, _ := strings.Cut(o.result(), "/results/")
		created, updated, namespace := p.Created.UTC().Format(time.RFC3339Nano), p.Updated.UTC().Format(time.RFC3339Nano), o.Metadata.Namespace
		if id := o.result(); !seen[id] {
			seen[id] = true
			row(&results, namespace, result, result, "{}", "{}", "0", created, updated, result)
		}
		uid := string(o.Metadata.UID)
		row(&records, namespace, result, result, uid, uid, o.dataType(), string(p.Object), created, updated, uid)
	}
	return `
COPY results (parent, id, name, annotations, recordsummary_annotations, recordsummary_status, created_time, updated_time, etag) FROM STDIN;
` + results.String() + `\.
COPY records (parent, result_id, result_name, id, name, type, data, created_time, updated_time, etag) FROM STDIN;
` + records.String() + `\.
`, nil
}

// copyText escapes a value for the text format of PostgreSQL's COPY.
var copyText = strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r", "\t", "\\t")
