// SPDX-License-Identifier: Apache-2.0

package segmenttest

import (
	"net/http"

	"github.com/segment-bridge/segment-bridge/load/internal/memory"
)

// RoundTrip makes a receiver an [http.RoundTripper]: requests reach it without a network, as the clock of
// package testing/synctest wants it.
func (r *Receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	return memory.Transport(r).RoundTrip(req)
}
