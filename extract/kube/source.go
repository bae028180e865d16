// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"io"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const (
	// pageSize is how many objects to ask for at a time: some 20 MB of PipelineRuns,
	// which the server has to hold and we have not.
	pageSize = 500
	// maxExpired bounds how often the server may forget a list while it is read. It does
	// so every five minutes at most.
	maxExpired = 20
)

// A resource is one kind of object in all namespaces.
type resource struct {
	name     record.SourceName
	kind     extract.Kind
	path     string // of the list
	full     string // as in kubectl api-resources and in a ClusterRole
	selector string // of labels; empty for all
}

// resources are what the bridge reads.
var resources = [...]resource{
	{record.SourcePipelineRuns, extract.KindPipelineRun, "/apis/tekton.dev/v1/pipelineruns", "pipelineruns.tekton.dev", ""},
	{record.SourceComponents, extract.KindComponent, "/apis/appstudio.redhat.com/v1alpha1/components", "components.appstudio.redhat.com", ""},
	{record.SourceNamespaces, extract.KindNamespace, "/api/v1/namespaces", "namespaces", "konflux-ci.dev/type=tenant"},
	{record.SourceInstallations, extract.KindInstallation, "/apis/konflux.konflux-ci.dev/v1alpha1/konfluxes", "konfluxes.konflux.konflux-ci.dev", ""},
}

// Sources returns one source for each kind of object that the bridge reads from a
// cluster. They hide names with names.
func (c *Client) Sources(names *telemetry.Pseudonymizer) []extract.Source {
	sources := make([]extract.Source, len(resources))
	for i, r := range resources {
		sources[i] = &source{client: c, resource: r, projector: extract.NewProjector(names), pageSize: pageSize}
	}
	return sources
}

type source struct {
	resource
	client    *Client
	projector *extract.Projector
	scanner   scan.Scanner
	pageSize  int
}

// Name implements [extract.Source].
func (s *source) Name() record.SourceName { return s.name }

// Extract implements [extract.Source]. The list is as of now; no cache of the
// server is asked for something older. Where the server forgot the state that the list
// began with, the rest of it is of a later state: what matters is that each
// object that is there all the time is met. An object may be met twice.
//
// That the kind is not installed is an error with outcome absent.
func (s *source) Extract(ctx context.Context, _ record.Window, stats *extract.Stats, emit func(record.Record) error) error {
	var stopped error // by emit
	pass := stats.Pass(func(r record.Record) error {
		stopped = emit(r)
		return stopped
	})
	again := func(err error) bool { return stopped == nil && temporary(err) }
	token, expired := "", 0
	for {
		next, err := s.page(ctx, token, stats, pass, again)
		switch {
		case err == nil && next == "":
			return nil
		case err == nil:
			token = next
		case stopped != nil:
			return stopped
		case apierrors.IsResourceExpired(err) && expired < maxExpired:
			expired++
			if token = resumption(err, token); token == "" {
				stats.Objects, stats.Invalid = 0, 0
			}
		default:
			return s.failure(ctx, token, err)
		}
	}
}

// resumption returns the token that goes on where the expired one would have: the
// server hands it out with the error. Without it, or when that one has expired as
// well, the list starts over.
func resumption(err error, expired string) string {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Continue == expired {
		return ""
	}
	return status.ErrStatus.Continue
}

func (s *source) failure(ctx context.Context, token string, err error) error {
	err = failure(ctx, "list "+s.full, err)
	if e, ok := errors.AsType[*extract.Error](err); ok && e.Outcome == record.OutcomeAbsent && token != "" {
		e.Outcome = record.OutcomeError
		e.Hint = "the kind was removed while it was listed: run again"
	}
	return err
}

// page reads the page behind token, again if need be, and returns the token of the
// next one.
func (s *source) page(
	ctx context.Context, token string, stats *extract.Stats,
	pass func(record.Record, error) error, again func(error) bool,
) (next string, err error) {
	params := map[string]string{"limit": strconv.Itoa(s.pageSize), "continue": token, "labelSelector": s.selector}
	before := *stats
	err = s.client.retry.Do(ctx, again, func() error {
		stats.Objects, stats.Invalid = before.Objects, before.Invalid
		return s.client.open(ctx, s.path, params, func(body io.Reader) error {
			s.scanner.Reset(&counter{body, &stats.Bytes})
			list, err := s.projector.ReadList(&s.scanner, s.kind, pass)
			if err == nil {
				err = s.scanner.End()
			}
			next = list.Continue
			return err
		})
	})
	return next, err
}

// A counter counts the bytes that are read.
type counter struct {
	from  io.Reader
	bytes *int64
}

// Read implements [io.Reader].
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	*c.bytes += int64(n)
	return n, err
}
