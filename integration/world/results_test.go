// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	pb "github.com/tektoncd/results/proto/v1alpha2/results_go_proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

func TestResults(t *testing.T) {
	db := world.Postgres(t)
	for name, test := range map[string]world.ResultsOptions{
		"whole objects":             {},
		"partial response over TLS": {PartialResponse: true, TLS: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := world.Results(t, db, test)
			ctx := t.Context()
			run := pipelineRun("team", "run", "5e1f0000-0000-4000-8000-000000000001", 100)
			names, err := r.Store(ctx, run, pipelineRun("team", "run-2", "5e1f0000-0000-4000-8000-000000000002", 100))
			if err != nil {
				t.Fatal(err)
			}
			if want := "team/results/5e1f0000-0000-4000-8000-000000000001/records/5e1f0000-0000-4000-8000-000000000001"; names[0] != want {
				t.Errorf("the record is named %s, want %s", names[0], want)
			}
			request := &pb.ListRecordsRequest{Parent: "-/results/-", Filter: `data_type == "tekton.dev/v1.PipelineRun"`, OrderBy: "update_time desc", PageSize: 5}
			before, err := r.Client.ListRecords(ctx, request)
			if err != nil || len(before.Records) != 2 || before.Records[0].Name != names[1] && before.Records[0].Name != names[0] {
				t.Fatalf("list: %v, %v", before, err)
			}
			if err := r.Update(ctx, run); err != nil {
				t.Fatal(err)
			}
			after, err := r.Client.ListRecords(ctx, request)
			if err != nil || after.Records[0].Name != names[0] || !after.Records[0].UpdateTime.AsTime().After(after.Records[0].CreateTime.AsTime()) {
				t.Errorf("the updated record is not first: %v, %v", after, err)
			}
			created, updated := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 2, 1, 0, 0, 0, 0, time.UTC)
			if err := r.SetTimes(ctx, world.RecordTimes{Name: names[0], Created: created, Updated: updated}); err != nil {
				t.Fatal(err)
			}
			record, err := r.Client.GetRecord(ctx, &pb.GetRecordRequest{Name: names[0]})
			if err != nil || !record.CreateTime.AsTime().Equal(created) || !record.UpdateTime.AsTime().Equal(updated) {
				t.Errorf("times are %s and %s, %v", record.GetCreateTime().AsTime(), record.GetUpdateTime().AsTime(), err)
			}
			if err := r.SetTimes(ctx, world.RecordTimes{Name: "team/results/no/records/no"}); err == nil {
				t.Error("times of a record that is not there were set")
			}

			// Partial response, over gRPC and REST.
			const fields = "records.name,records.data.value.metadata.name,next_page_token"
			masked, err := r.Client.ListRecords(metadata.AppendToOutgoingContext(ctx, "fields", fields), request)
			if err != nil {
				t.Fatal(err)
			}
			whole := strings.Contains(string(masked.Records[0].Data.Value), "padding")
			if whole == test.PartialResponse {
				t.Errorf("gRPC: with %+v a masked list holds %s", test, masked.Records[0].Data.Value)
			}
			var page struct {
				Records []struct {
					Name       string `json:"name"`
					UpdateTime string `json:"update_time"`
					Data       struct {
						Value []byte `json:"value"`
					} `json:"data"`
				} `json:"records"`
			}
			restList(t, r, "?page_size=5&fields="+fields, &page)
			if len(page.Records) != 2 || strings.Contains(string(page.Records[0].Data.Value), "padding") == test.PartialResponse {
				t.Errorf("REST: with %+v a masked list holds %+v", test, page)
			}
		})
	}
}

func TestResultsPages(t *testing.T) {
	r := world.Results(t, world.Postgres(t), world.ResultsOptions{})
	runs := make([][]byte, 2000)
	size := 0
	for i := range runs {
		runs[i] = pipelineRun(fmt.Sprintf("team-%d", i%12), fmt.Sprintf("run-%d", i), fmt.Sprintf("5e1f0000-0000-4000-8000-%012d", i), 30_000)
		size += len(runs[i])
	}
	start := time.Now()
	if _, err := r.Store(t.Context(), runs...); err != nil {
		t.Fatal(err)
	}
	t.Logf("stored %d records, %d MB, in %s", len(runs), size>>20, time.Since(start).Round(time.Millisecond))
	seen := map[string]bool{}
	for token := ""; ; {
		page, err := r.Client.ListRecords(t.Context(), &pb.ListRecordsRequest{Parent: "-/results/-", OrderBy: "update_time desc", PageSize: 500, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range page.Records {
			seen[record.Name] = true
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if len(seen) != len(runs) {
		t.Errorf("listed %d of %d records", len(seen), len(runs))
	}
}

func TestResultsAuth(t *testing.T) {
	c := world.ControlPlane(t)
	r := world.Results(t, world.Postgres(t), world.ResultsOptions{TLS: true, Auth: c})
	if _, err := r.Store(t.Context(), pipelineRun("team", "run", "5e1f0000-0000-4000-8000-000000000001", 100)); err != nil {
		t.Fatal(err)
	}
	c.ServiceAccount(t, "accounts", "results-reader")
	token := c.Token(t, "accounts", "results-reader", time.Hour)
	list := func() error {
		// The client's own token comes first, so go by REST.
		code, body, err := restGet(r, "/apis/results.tekton.dev/v1alpha2/parents/-/results/-/records", token)
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("%d %s", code, body)
		}
		return err
	}
	if err := list(); err == nil || !strings.HasPrefix(err.Error(), "401") {
		t.Fatalf("list without a role: %v, want 401", err)
	}
	role := &unstructured.Unstructured{}
	role.SetAPIVersion("rbac.authorization.k8s.io/v1")
	role.SetKind("ClusterRole")
	role.SetName("record-reader")
	role.Object["rules"] = []any{map[string]any{"apiGroups": []any{"results.tekton.dev"}, "resources": []any{"records"}, "verbs": []any{"list"}}}
	c.ApplyObjects(t, role)
	c.Bind(t, "record-reader", "accounts", "results-reader")
	if err := eventually(t, list); err != nil {
		t.Errorf("list with a role: %v", err)
	}
}

// The server answers a list with nothing when its database is gone. Should this test fail one day, the server has learnt
// to tell the truth, and the check behind an empty list can go.
func TestResultsHideALostDatabase(t *testing.T) {
	db := world.Postgres(t)
	r := world.Results(t, db, world.ResultsOptions{})
	if _, err := r.Store(t.Context(), pipelineRun("team", "run", "5e1f0000-0000-4000-8000-000000000001", 100)); err != nil {
		t.Fatal(err)
	}
	db.Stop()
	const records = "/apis/results.tekton.dev/v1alpha2/parents/-/results/-/records"
	for _, path := range []string{records, records + "/summary?summary=total"} {
		if code, body, err := restGet(r, path, ""); err != nil || code != http.StatusOK || strings.TrimSpace(body) != "{}" {
			t.Errorf("%s without a database: %d %s, %v; want 200 {}", path, code, body, err)
		}
	}
	if answer, err := r.Client.ListRecords(t.Context(), &pb.ListRecordsRequest{Parent: "-/results/-"}); err != nil || len(answer.Records) != 0 {
		t.Errorf("gRPC without a database: %v, %v; want an empty answer", answer, err)
	}
	if _, err := r.Client.GetRecord(t.Context(), &pb.GetRecordRequest{Name: "team/results/a/records/b"}); status.Code(err) == codes.OK {
		t.Error("a record was found without a database")
	}
	db.Start()
	err := eventually(t, func() error {
		answer, err := r.Client.ListRecords(t.Context(), &pb.ListRecordsRequest{Parent: "-/results/-"})
		if err == nil && len(answer.Records) != 1 {
			err = fmt.Errorf("%d records", len(answer.Records))
		}
		return err
	})
	if err != nil {
		t.Errorf("after the database has come back: %v", err)
	}
}

func restList(t *testing.T, r *world.ResultsServer, query string, page any) {
	t.Helper()
	code, body, err := restGet(r, "/apis/results.tekton.dev/v1alpha2/parents/-/results/-/records"+query, "")
	if err != nil || code != http.StatusOK {
		t.Fatalf("list: %d %s, %v", code, body, err)
	}
	if err := json.Unmarshal([]byte(body), page); err != nil {
		t.Fatalf("decode %s: %v", body, err)
	}
}
