// SPDX-License-Identifier: Apache-2.0

package results

import (
	"context"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// Check makes both calls that Extract needs, for a page of a few records and for the
// number of all of them, which it returns. The error is an [*extract.Error].
func (s *Source) Check(ctx context.Context) (total int64, err error) {
	const op = "list and count records"
	api, err := s.connect()
	if err != nil {
		return 0, failure(ctx, op, err)
	}
	defer api.close()
	r := &run{
		api: api, retry: s.retry, timeout: s.timeout, bearer: s.bearer, stats: &extract.Stats{},
		query: query{parent: s.config.Namespace + "/results/-", size: minPageSize, fields: fields},
		pass:  func(record.Record, error) error { return nil },
	}
	err = s.retry.Do(ctx, r.again, func() error {
		r.read = 0
		if _, err := r.list(ctx); err != nil {
			return err
		}
		var known bool
		var err error
		total, known, err = r.count(ctx)
		if err == nil && (!known || total > 0 && r.read == 0) {
			return &fault{class: incomplete}
		}
		return err
	})
	if err != nil {
		return 0, failure(ctx, op, err)
	}
	return total, nil
}
