// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/segment-bridge/segment-bridge/load/loadtest"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

func TestContract(t *testing.T) {
	loadtest.Destination(t, func(t *testing.T) *loadtest.World {
		receiver := segmenttest.New(segmenttest.Options{})
		var broken atomic.Bool
		d, _ := newDestination(t, roundTripper(func(req *http.Request) (*http.Response, error) {
			if broken.Load() {
				_ = req.Body.Close()
				return nil, errors.New(segmenttest.Canary)
			}
			return receiver.RoundTrip(req)
		}), nil)
		return &loadtest.World{
			Destination: d, Fail: broken.Store, Secrets: []string{segmenttest.Key, segmenttest.Canary, "api.segment.io"},
			Arrived: func() (ids []string) {
				for _, e := range receiver.Events() {
					ids = append(ids, e.MessageID)
				}
				return ids
			},
		}
	})
}
