// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"context"
	"crypto/tls"

	pb "github.com/tektoncd/results/proto/v1alpha2/results_go_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/segment-bridge/segment-bridge/extract"
)

// maxMessageBytes bounds a page. The default, 4 MiB, is some hundred runs of a build.
const maxMessageBytes = 64 << 20

// rpc talks to the gRPC API. A page is in memory as a whole.
type rpc struct {
	conn      *grpc.ClientConn
	client    pb.ResultsClient
	bearer    *bearer
	projector *extract.Projector
}

// newRPC returns a client that connects with the first call. A nil trust is no TLS.
func newRPC(host string, trust *tls.Config, bearer *bearer, userAgent string, projector *extract.Projector) (*rpc, error) {
	channel := insecure.NewCredentials()
	if trust != nil {
		channel = credentials.NewTLS(trust)
	}
	conn, err := grpc.NewClient(host,
		grpc.WithTransportCredentials(channel),
		grpc.WithUserAgent(userAgent),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		// The API server of Tekton Results answers as many pings as there are.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)))
	if err != nil {
		return nil, &fault{err: err}
	}
	return &rpc{conn: conn, client: pb.NewResultsClient(conn), bearer: bearer, projector: projector}, nil
}

func (r *rpc) list(ctx context.Context, q query, read *int64, each func(extract.Row) error) (next string, err error) {
	if ctx, err = r.authorized(ctx); err != nil {
		return "", err
	}
	if q.fields != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "fields", q.fields)
	}
	page, err := r.client.ListRecords(ctx, &pb.ListRecordsRequest{
		Parent: q.parent, Filter: filter, OrderBy: order, PageSize: int32(q.size), PageToken: q.token,
	})
	if err != nil {
		return "", ofRPC(ctx, err)
	}
	*read += int64(proto.Size(page))
	for _, stored := range page.GetRecords() {
		var row extract.Row
		if at := stored.GetUpdateTime(); at != nil {
			row.Updated = at.AsTime()
		}
		row.Record, row.Err = r.projector.ReadBytes(stored.GetData().GetValue(), kindOf(stored.GetData().GetType()))
		if err := each(row); err != nil {
			return "", err
		}
	}
	return page.GetNextPageToken(), nil
}

// kindOf returns the kind that is stored under a type such as
// "tekton.dev/v1.PipelineRun".
func kindOf(dataType string) extract.Kind {
	text := []byte(dataType)
	dot := bytes.LastIndexByte(text, '.')
	if dot < 0 {
		return ""
	}
	return extract.KindOf(text[:dot], text[dot+1:])
}

func (r *rpc) count(ctx context.Context, q query, read *int64) (total int64, known bool, err error) {
	if ctx, err = r.authorized(ctx); err != nil {
		return 0, false, err
	}
	summary, err := r.client.GetRecordListSummary(ctx, &pb.RecordListSummaryRequest{Parent: q.parent, Filter: filter, Summary: "total"})
	if err != nil {
		return 0, false, ofRPC(ctx, err)
	}
	*read += int64(proto.Size(summary))
	if len(summary.GetSummary()) != 1 {
		return 0, false, nil
	}
	value, known := summary.GetSummary()[0].GetFields()["total"]
	return int64(value.GetNumberValue()), known, nil
}

// authorized returns a context whose calls carry the token.
func (r *rpc) authorized(ctx context.Context) (context.Context, error) {
	header, err := r.bearer.header()
	if err != nil {
		return ctx, &fault{class: tokenless, err: err}
	}
	if header == "" {
		return ctx, nil
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", header), nil
}

func (r *rpc) close() { _ = r.conn.Close() }
