// SPDX-License-Identifier: Apache-2.0

package results

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "github.com/tektoncd/results/proto/v1alpha2/results_go_proto"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/internal/extracttest"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

func TestWhatIsAskedFor(t *testing.T) {
	for _, way := range ways {
		for _, full := range []bool{false, true} {
			t.Run(fmt.Sprint(way.name, " full=", full), func(t *testing.T) {
				a := archive{script: script{rows: 3}}
				source := newSource(t, Config{Address: way.serve(&a, t), Namespace: "team-a", Token: hidden("t0ken"), FullObjects: full})
				var stats extract.Stats
				if _, err := read(t.Context(), source, record.Window{}, &stats); err != nil {
					t.Fatal(err)
				}
				if r := a.lists[0]; r.GetParent() != "team-a/results/-" || r.GetPageSize() != 500 {
					t.Errorf("request is %v", r)
				}
				if r := a.counts[0]; r.GetParent() != "team-a/results/-" {
					t.Errorf("request for the count is %v", r)
				}
				sent := strings.Join(a.seen[0].Get("fields"), "")
				if full != (sent == "") || !full && !strings.HasPrefix(sent, "next_page_token,records.update_time,") {
					t.Errorf("fields asked for are %q", sent)
				}
				for _, md := range a.seen {
					if sent := md.Get("authorization"); len(sent) != 1 || sent[0] != "Bearer t0ken" {
						t.Errorf("authorization is %q", sent)
					}
				}
			})
		}
	}
}

func TestTokenFile(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, way := range ways {
		for _, test := range []struct {
			name          string
			before, after string // content of the file, before and after the first page
			outcome, hint string
		}{
			{name: "good", before: "new\n", after: "new\n"},
			{name: "renewed while we read", before: "old\n", after: "new\n"},
			{name: "expired", before: "old\n", after: "old\n", outcome: "forbidden"},
			{name: "empty", before: " \n", after: "new\n", outcome: "error", hint: "token file"},
		} {
			t.Run(way.name+" "+test.name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "token")
				write(t, path, test.before)
				a := archive{script: script{rows: 35}, token: strings.TrimSpace(test.before)}
				a.list = func(n int, _ *pb.ListRecordsResponse) error {
					if n == 0 {
						write(t, path, test.after)
						a.token = "new"
					}
					return nil
				}
				runs, err := read(t.Context(), newSource(t, Config{Address: way.serve(&a, t), PageSize: 10, TokenFile: path}), record.Window{}, new(extract.Stats))
				extracttest.CheckError(t, err, test.outcome, test.hint)
				if test.outcome == "" && !slices.Equal(runs, upTo(35)) {
					t.Errorf("runs are %v", runs)
				}
			})
		}
	}
}

// A server that notices that we hang up may still say something. That is not why the request ended.
func TestAnswerAfterTheTimeIsUp(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	api := newREST(server.URL, nil, newBearer(Config{}), "", nil)
	defer api.close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := api.get(ctx, "", new(int64), func(io.Reader) error {
		<-ctx.Done()
		return io.EOF
	})
	if f, ok := errors.AsType[*fault](err); !ok || f.class != slow {
		t.Errorf("the error is %v", err)
	}
}
