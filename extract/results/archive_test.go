// SPDX-License-Identifier: Apache-2.0

package results

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	pb "github.com/tektoncd/results/proto/v1alpha2/results_go_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/segment-bridge/segment-bridge/extract/internal/extracttest"
)

// secret is a name that must not come out: it is in every answer.
const secret = extracttest.Secret

// noon is when the newest row of an archive was written. Row i is i minutes older.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// An archive is a Tekton Results API as it is documented and known to fail.
type archive struct {
	pb.UnimplementedResultsServer
	script
	camel bool   // field names as before v0.15
	token string // the only one that is known; empty takes any

	mutex  sync.Mutex
	lists  []*pb.ListRecordsRequest
	counts []*pb.RecordListSummaryRequest
	seen   []metadata.MD // of all calls
}

// A script says what an archive has and does.
type script struct {
	rows int
	// list and count change the answer to the n-th call, from 0.
	list  func(n int, page *pb.ListRecordsResponse) error
	count func(n int, summary *pb.RecordListSummary) error
}

// Errors that are about the connection, not the answer.
var (
	errCut  = errors.New("break the connection within the answer")
	errHang = errors.New("never answer")
)

func stored(i int) *pb.Record {
	value := fmt.Sprintf(`{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","metadata":{"uid":"run-%d","namespace":"%s",
		"labels":{"pipelines.appstudio.openshift.io/type":"build"}},"status":{"startTime":"2026-01-02T11:00:00Z",
		"conditions":[{"type":"Succeeded","status":"Unknown","reason":"Running","message":"%s"}],"childReferences":[{},{}]}}`, i, secret, secret)
	return &pb.Record{
		Name: secret + "/results/r/records/" + strconv.Itoa(i),
		Data: &pb.Any{Type: "tekton.dev/v1.PipelineRun", Value: []byte(value)},
		// As the server has them: not of whole seconds.
		UpdateTime: timestamppb.New(noon.Add(-time.Duration(i)*time.Minute + 123456*time.Microsecond)),
	}
}

func (a *archive) admit(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	a.seen = append(a.seen, md)
	if sent := md.Get("authorization"); a.token != "" && (len(sent) != 1 || sent[0] != "Bearer "+a.token) {
		return status.Error(codes.Unauthenticated, "permission denied to "+secret)
	}
	return nil
}

func (a *archive) ListRecords(ctx context.Context, request *pb.ListRecordsRequest) (*pb.ListRecordsResponse, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	n := len(a.lists)
	a.lists = append(a.lists, request)
	if err := a.admit(ctx); err != nil {
		return nil, err
	}
	from, _ := strconv.Atoi(strings.TrimPrefix(request.GetPageToken(), "token-"))
	page := &pb.ListRecordsResponse{}
	for i := from; i < a.rows; i++ {
		if len(page.GetRecords()) == int(request.GetPageSize()) {
			page.NextPageToken = "token-" + strconv.Itoa(i)
			break
		}
		page.Records = append(page.Records, stored(i))
	}
	if a.list != nil {
		if err := a.list(n, page); err != nil {
			return nil, err
		}
	}
	return page, nil
}

func (a *archive) GetRecordListSummary(ctx context.Context, request *pb.RecordListSummaryRequest) (*pb.RecordListSummary, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	n := len(a.counts)
	a.counts = append(a.counts, request)
	if err := a.admit(ctx); err != nil {
		return nil, err
	}
	summary := total(a.rows)
	if a.count != nil {
		if err := a.count(n, summary); err != nil {
			return nil, err
		}
	}
	return summary, nil
}

// total is the answer to a summary call. It has been read: there is no error to have.
func total(n int) *pb.RecordListSummary {
	return &pb.RecordListSummary{Summary: []*structpb.Struct{{Fields: map[string]*structpb.Value{"total": structpb.NewNumberValue(float64(n))}}}}
}

// broken is the answer of a server whose database fails: nothing, and no error.
func broken(answer proto.Message) error {
	proto.Reset(answer)
	return nil
}

// ServeHTTP is the gateway to JSON.
func (a *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := metadata.NewIncomingContext(r.Context(), metadata.Pairs("authorization", r.Header.Get("Authorization"),
		"fields", r.URL.Query().Get("fields"), "user-agent", r.UserAgent()))
	query := r.URL.Query()
	parent, call, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/apis/results.tekton.dev/v1alpha2/parents/"), "/records")
	var answer proto.Message
	var err error
	switch call {
	case "":
		size, _ := strconv.Atoi(query.Get("page_size"))
		answer, err = a.ListRecords(ctx, &pb.ListRecordsRequest{
			Parent: parent, Filter: query.Get("filter"), OrderBy: query.Get("order_by"),
			PageSize: int32(size), PageToken: query.Get("page_token"),
		})
	case "/summary":
		answer, err = a.GetRecordListSummary(ctx, &pb.RecordListSummaryRequest{Parent: parent, Filter: query.Get("filter"), Summary: query.Get("summary")})
	default:
		err = status.Error(codes.NotFound, secret)
	}
	cut := errors.Is(err, errCut)
	if cut {
		answer, err = &pb.ListRecordsResponse{Records: []*pb.Record{stored(0), stored(1)}, NextPageToken: "token-2"}, nil
	}
	if errors.Is(err, errHang) {
		<-r.Context().Done()
		return
	}
	if err != nil {
		w.WriteHeader(runtime.HTTPStatusFromCode(status.Code(err)))
		_, _ = w.Write([]byte(`{"code":1,"message":"` + secret + `"}`))
		return
	}
	text, err := protojson.MarshalOptions{UseProtoNames: !a.camel}.Marshal(answer)
	if err != nil {
		panic(err)
	}
	if cut {
		_, _ = w.Write(text[:2*len(text)/3])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(text)
}

// serveREST returns the address of the archive as JSON API.
func (a *archive) serveREST(t *testing.T) string {
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return server.URL
}

// serveGRPC returns the address of the archive as gRPC API.
func (a *archive) serveGRPC(t *testing.T) string {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		answer, err := handler(ctx, request)
		switch {
		case errors.Is(err, errCut):
			err = status.Error(codes.Unavailable, secret)
		case errors.Is(err, errHang):
			<-ctx.Done()
		}
		return answer, err
	}))
	pb.RegisterResultsServer(server, a)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return "grpc://" + listener.Addr().String()
}
