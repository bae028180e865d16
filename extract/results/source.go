// SPDX-License-Identifier: Apache-2.0

// Package results reads PipelineRuns from Tekton Results, the archive where they are
// kept after they are gone from the cluster.
//
// The API cannot be asked for what was stored in a span of time, but it can be asked
// for the latest first. A row is written again with each change of its run, so
// whatever happened to a run in the window, its row was written within it or later:
// reading ends at the first row that was last written before the window.
//
// The server takes a failed query of its database for an empty answer, and one
// that broke off for a short one. Such an answer looks like the end of the archive.
// That end is therefore believed only if the server's own count of the rows agrees.
package results

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/internal/retry"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const (
	// callTimeout bounds one call: the server sorts all rows for each page.
	callTimeout = 5 * time.Minute
	// connectTimeout bounds each step of connecting.
	connectTimeout = 10 * time.Second
	// pingAfter is how long a server may be silent before it is asked whether it is
	// still there, and pingTimeout how long it may take to say so: a connection whose
	// other end is gone looks like a server that is slow.
	pingAfter, pingTimeout = 15 * time.Second, 15 * time.Second

	filter = `data_type in ["tekton.dev/v1.PipelineRun", "tekton.dev/v1beta1.PipelineRun"]`
	order  = "update_time desc"

	// fields are those of a page that are needed; without next_page_token there would be
	// one page only. A key with dots in it cannot be asked for alone, so labels and
	// annotations come whole. The annotations are a third of what comes, for the
	// one that names the sender of a commit, which Pipelines as Code no longer
	// puts into a label.
	fields = "next_page_token,records.update_time,records.data.type," +
		"records.data.value.metadata.uid," +
		"records.data.value.metadata.namespace," +
		"records.data.value.metadata.labels," +
		"records.data.value.metadata.annotations," +
		"records.data.value.status.startTime," +
		"records.data.value.status.completionTime," +
		"records.data.value.status.conditions," +
		"records.data.value.status.childReferences"
)

// A query asks for one page.
type query struct {
	parent string // of all rows
	token  string // of the page; empty for the first
	size   int    // rows at most
	fields string // to answer with; empty for all
}

// A transport makes the two calls that are needed. It adds the bytes that it receives
// to bytes. Its errors are of type *fault, or those of each.
type transport interface {
	// list calls each for the rows of a page, in order, and returns the next token.
	list(ctx context.Context, q query, bytes *int64, each func(extract.Row) error) (next string, err error)
	// count returns how many rows there are in all pages, if the server knows.
	count(ctx context.Context, q query, bytes *int64) (total int64, known bool, err error)
	close()
}

// A Source reads one Tekton Results API. It implements [extract.Source].
type Source struct {
	config   Config
	endpoint endpoint
	trust    *tls.Config // nil without TLS
	bearer   *bearer
	names    *telemetry.Pseudonymizer
	retry    retry.Policy
	timeout  time.Duration
}

// New returns a source that reads the API that config tells of and hides names with
// names. It does not connect yet.
func New(config Config, names *telemetry.Pseudonymizer) (*Source, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.PageSize == 0 {
		config.PageSize = DefaultPageSize
	}
	if config.Namespace == "" {
		config.Namespace = "-"
	}
	if config.Slack == 0 {
		config.Slack = DefaultSlack
	}
	s := &Source{config: config, bearer: newBearer(config), names: names, retry: retry.Default, timeout: callTimeout}
	var err error
	if s.endpoint, err = config.endpoint(); err != nil {
		return nil, err
	}
	if s.endpoint.encrypted {
		if s.trust, err = config.tls(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Name implements [extract.Source].
func (s *Source) Name() record.SourceName { return record.SourceResults }

// Extract implements [extract.Source]. A run may be passed on twice.
func (s *Source) Extract(ctx context.Context, window record.Window, stats *extract.Stats, emit func(record.Record) error) error {
	api, err := s.connect()
	if err != nil {
		return failure(ctx, "connect", err)
	}
	defer api.close()
	r := &run{
		api: api, retry: s.retry, timeout: s.timeout, bearer: s.bearer, stats: stats,
		query: query{parent: s.config.Namespace + "/results/-", size: s.config.PageSize, fields: fields},
		since: window.Since.Add(-s.config.Slack),
		pass:  stats.Pass(emit),
	}
	if s.config.FullObjects {
		r.query.fields = ""
	}
	return r.all(ctx)
}

func (s *Source) connect() (transport, error) {
	userAgent := "segment-bridge/" + s.config.Version
	projector := extract.NewProjector(s.names)
	if s.endpoint.transport == GRPC {
		return newRPC(s.endpoint.host, s.trust, s.bearer, userAgent, projector)
	}
	return newREST(s.endpoint.url(), s.trust, s.bearer, userAgent, projector), nil
}

// A run is one reading of the archive.
type run struct {
	api     transport
	retry   retry.Policy
	timeout time.Duration // of a call
	bearer  *bearer
	stats   *extract.Stats
	since   time.Time // no older row is needed
	pass    func(record.Record, error) error

	query   query
	read    int64 // rows, of this page and those before it
	below   bool  // a row was met that is older than since
	stopped error // by pass
}

// Errors that end a page early.
var (
	errBelow   = errors.New("row is older than the window")
	errStopped = errors.New("caller stops")
)

// all reads page after page.
func (r *run) all(ctx context.Context) error {
	for {
		next, err := r.page(ctx)
		switch {
		case r.stopped != nil:
			return r.stopped
		case err != nil:
			return failure(ctx, "list records", err)
		case next == "" || r.below:
			return nil
		case next == r.query.token: // the server would turn round for ever
			return failure(ctx, "list records", &fault{class: incomplete})
		}
		r.query.token = next
	}
}

// page reads the page that the query asks for, again if need be, and returns the token
// of the next one.
func (r *run) page(ctx context.Context) (next string, err error) {
	before, read := *r.stats, r.read
	ended := int64(-1) // how many rows the page had when it last seemed to be the end
	err = r.retry.Do(ctx, r.again, func() error {
		r.stats.Objects, r.stats.Invalid, r.read = before.Objects, before.Invalid, read
		next, err = r.list(ctx)
		if err != nil || next != "" || r.below {
			return err
		}
		total, known, err := r.count(ctx)
		rows := r.read - read
		switch {
		case err != nil:
			return err
		case known && total <= r.read:
			return nil
		case known && rows > 0 && rows == ended:
			return nil // twice the same: the others were written after this reading began
		case known:
			ended = rows
		}
		return &fault{class: incomplete}
	})
	return next, err
}

// list makes one call for the page.
func (r *run) list(ctx context.Context) (next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	next, err = r.api.list(ctx, r.query, &r.stats.Bytes, func(row extract.Row) error {
		if !row.Updated.IsZero() && row.Updated.Before(r.since) {
			r.below = true
			return errBelow
		}
		r.read++
		if r.stopped = r.pass(row.Record, row.Err); r.stopped != nil {
			return errStopped
		}
		return nil
	})
	if r.below {
		return "", nil
	}
	if f, ok := errors.AsType[*fault](err); ok && f.class == missing {
		return "", nil // an empty archive, to a server before v0.8: the count tells
	}
	return next, err
}

// count makes one call for the count.
func (r *run) count(ctx context.Context) (total int64, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return r.api.count(ctx, r.query, &r.stats.Bytes)
}

// again reports whether a call that failed with err is worth another try, and
// prepares that.
func (r *run) again(err error) bool {
	f, ok := errors.AsType[*fault](err)
	if !ok || r.stopped != nil {
		return false
	}
	switch f.class {
	case passing, incomplete:
		return true
	case large:
		r.query.size = max(r.query.size/2, minPageSize)
		return true
	case refused:
		return r.bearer.renewed()
	case unknown, missing, slow, untrusted, tokenless:
		return false
	}
	return false
}
