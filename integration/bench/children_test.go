// SPDX-License-Identifier: Apache-2.0

//go:build integration

package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-json"
	pb "github.com/tektoncd/results/proto/v1alpha2/results_go_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// role is the environment variable that makes this program one side of a comparison, in a
// process of its own, so that the operating system can tell what it takes.
const role = "SEGMENT_BRIDGE_BENCH_ROLE"

var roles = map[string]func(ctx context.Context, args []string) error{
	"project":       project,
	"encoding/json": func(_ context.Context, args []string) error { return decode(args, stdjson.Unmarshal) },
	"go-json":       func(_ context.Context, args []string) error { return decode(args, json.Unmarshal) },
	"memchr":        memchr,
	"drain-results": drainResults,
	"drain-list":    drainList,
	"post":          post,
}

// child returns the command of a role.
func child(b *testing.B, name string, args ...string) *exec.Cmd {
	b.Helper()
	path, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), path, args...)
	cmd.Env = append(os.Environ(), role+"="+name)
	return cmd
}

// play plays a role, and returns the exit code.
func play(name string, args []string) int {
	if err := roles[name](context.Background(), args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// passes is how often the documents are read, so that starting up does not count.
const passes = 10

// each calls f with each line of a file, over and over.
func each(path string, f func(line []byte) error) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for range passes {
		for line := range bytes.Lines(text) {
			if err := f(line); err != nil {
				return err
			}
		}
	}
	return nil
}

func project(_ context.Context, args []string) error {
	names, err := telemetry.NewPseudonymizer("cluster")
	if err != nil {
		return err
	}
	p := extract.NewProjector(names)
	return each(args[0], func(line []byte) error {
		_, err := p.ReadBytes(line, extract.KindPipelineRun)
		return err
	})
}

// A slim run is what a decoder has to decode for the same record.
type slim struct {
	APIVersion, Kind string
	Metadata         struct {
		UID, Name, Namespace string
		Labels, Annotations  map[string]string
	}
	Status struct {
		StartTime, CompletionTime string
		ChildReferences           []struct{}
		Conditions                []struct{ Type, Status, Reason, LastTransitionTime string }
	}
}

func decode(args []string, unmarshal func([]byte, any) error) error {
	return each(args[0], func(line []byte) error { return unmarshal(line, new(slim)) })
}

func memchr(_ context.Context, args []string) error {
	return each(args[0], func(line []byte) error {
		if bytes.IndexByte(line, 0) >= 0 {
			return errors.New("a zero byte")
		}
		return nil
	})
}

// drainResults reads all pages of an address with a CA file, a token file and so many rows a page, asking for the same fields
// as the bridge, drops them, and prints how many rows there were.
func drainResults(ctx context.Context, args []string) error {
	trust, err := credentials.NewClientTLSFromFile(args[1], "")
	if err != nil {
		return err
	}
	token, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(args[0], grpc.WithTransportCredentials(trust), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(token)), "fields",
		"next_page_token,records.update_time,records.data.type,records.data.value.metadata.uid,records.data.value.metadata.namespace,"+
			"records.data.value.metadata.labels,records.data.value.metadata.annotations,records.data.value.status.startTime,"+
			"records.data.value.status.completionTime,records.data.value.status.conditions,records.data.value.status.childReferences")
	size, err := strconv.ParseInt(args[3], 10, 32)
	if err != nil {
		return err
	}
	request := &pb.ListRecordsRequest{
		Parent: "-/results/-", OrderBy: "update_time desc", PageSize: int32(size),
		Filter: `data_type in ["tekton.dev/v1.PipelineRun", "tekton.dev/v1beta1.PipelineRun"]`,
	}
	for rows := 0; ; {
		page, err := pb.NewResultsClient(conn).ListRecords(ctx, request)
		if err != nil {
			return err
		}
		rows += len(page.GetRecords())
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			fmt.Println(rows)
			return nil
		}
	}
}

// drainList reads all pages of PipelineRuns in the cluster of a kubeconfig, drops them, and prints a line for each.
func drainList(ctx context.Context, args []string) error {
	config, err := clientcmd.BuildConfigFromFlags("", args[0])
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	for next := ""; ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/apis/tekton.dev/v1/pipelineruns?limit=500&continue="+url.QueryEscape(next), nil)
		if err != nil {
			return err
		}
		request.Header.Set("Accept", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		// The token is in the metadata, which comes last.
		var end lastBytes
		_, err = io.Copy(&end, response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d: %w", response.StatusCode, err)
		}
		fmt.Println(response.Status)
		_, after, _ := strings.Cut(string(end), `"continue":"`)
		if next, _, _ = strings.Cut(after, `"`); next == "" {
			return nil
		}
	}
}

// lastBytes keeps the end of what is written.
type lastBytes []byte

func (l *lastBytes) Write(p []byte) (int, error) {
	const keep = 4096
	all := append(*l, p[max(0, len(p)-keep):]...)
	*l = append((*l)[:0], all[max(0, len(all)-keep):]...)
	return len(p), nil
}

// post posts each line of a file as a body to an address, four at a time, packed if there is
// a third argument.
func post(ctx context.Context, args []string) error {
	text, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	packed := len(args) > 2
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	work := make(chan []byte)
	errs := make(chan error, 4)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for body := range work {
				if err := postBody(ctx, client, args[0], body, packed); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for line := range bytes.Lines(text) {
		select {
		case work <- bytes.TrimSpace(line):
		case err := <-errs:
			return err
		}
	}
	close(work)
	workers.Wait()
	close(errs)
	return <-errs
}

func postBody(ctx context.Context, client *http.Client, address string, body []byte, packed bool) error {
	var b bytes.Buffer
	if packed {
		w := gzip.NewWriter(&b)
		if _, err := w.Write(body); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	} else {
		b.Write(body)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/v1/batch", &b)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if packed {
		request.Header.Set("Content-Encoding", "gzip")
	}
	request.SetBasicAuth(segmenttest.Key, "")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %w", response.StatusCode, err)
	}
	return nil
}
