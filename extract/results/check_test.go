// SPDX-License-Identifier: Apache-2.0

package results

import (
	"testing"

	pb "github.com/tektoncd/results/proto/v1alpha2/results_go_proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/segment-bridge/segment-bridge/extract/internal/extracttest"
)

func TestCheck(t *testing.T) {
	refuse := func(int, *pb.RecordListSummary) error { return status.Error(codes.PermissionDenied, secret) }
	for _, test := range []struct {
		name          string
		archive       script
		total         int64
		lists, counts int
		outcome, hint string
	}{
		{name: "nothing there", lists: 1, counts: 1},
		{name: "many pages", archive: script{rows: 35}, total: 35, lists: 1, counts: 1},
		{
			name: "lists may be read and counts may not", archive: script{rows: 35, count: refuse},
			lists: 1, counts: 1, outcome: "forbidden", hint: "get and list on records.results.tekton.dev",
		},
		{
			name: "the database is down",
			archive: script{
				rows: 35, list: func(_ int, page *pb.ListRecordsResponse) error { return broken(page) },
				count: func(_ int, summary *pb.RecordListSummary) error { return broken(summary) },
			},
			lists: 4, counts: 4, outcome: "error", hint: "database",
		},
		{
			name:    "lists are empty and counts are not",
			archive: script{rows: 35, list: func(_ int, page *pb.ListRecordsResponse) error { return broken(page) }},
			lists:   4, counts: 4, outcome: "error", hint: "fewer records than it has",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, way := range ways {
				t.Run(way.name, func(t *testing.T) {
					a := archive{script: test.archive}
					total, err := newSource(t, Config{Address: way.serve(&a, t), Version: "v1.2.3"}).Check(t.Context())
					extracttest.CheckError(t, err, test.outcome, test.hint)
					if total != test.total {
						t.Errorf("there are %d records, want %d", total, test.total)
					}
					a.check(t, test.lists, test.counts, nil)
				})
			}
		})
	}
}
