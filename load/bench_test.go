// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/segment"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// BenchmarkLoad delivers one batch from the stage to the receiver, on loopback and without a rate limit, and
// beside it posts the very same bodies over kept connections with nothing else to do. Both go on in turns,
// four requests at a time. x-raw is the quotient of their rates.
func BenchmarkLoad(b *testing.B) {
	const events = 50_000
	ledger, _ := newLedger(b, events)
	bodies := printed(b, ledger)
	var loading, posting time.Duration
	var n int
	for b.Loop() {
		posting += measure(b, events, func(address string) { post(b, address, bodies) })
		loading += measure(b, events, func(address string) {
			d, err := segment.New(segment.Options{Key: load.NewSecret(segmenttest.Key), Endpoint: address})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			if _, err := load.Run(b.Context(), ledger, d, load.Options{Force: true}); err != nil {
				b.Fatal(err)
			}
		})
		n += events
	}
	b.ReportMetric(float64(n)/loading.Seconds(), "events/s")
	b.ReportMetric(float64(n)/posting.Seconds(), "raw-events/s")
	b.ReportMetric(posting.Seconds()/loading.Seconds(), "x-raw")
	b.ReportMetric(0, "ns/op")
}

// measure returns how long deliver takes to bring all events to a fresh receiver.
func measure(b *testing.B, events int, deliver func(address string)) time.Duration {
	b.Helper()
	receiver := segmenttest.New(segmenttest.Options{})
	address, stop, err := receiver.Start()
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	start := time.Now()
	deliver(address)
	took := time.Since(start)
	if r := receiver.Report(); r.Accepted != events || r.Duplicates > 0 {
		b.Fatalf("report %+v", r)
	}
	return took
}

// printed returns the bodies that the destination sends.
func printed(b *testing.B, ledger load.Ledger) [][]byte {
	b.Helper()
	var out bytes.Buffer
	d, err := segment.New(segment.Options{DryRun: &out})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := load.Run(b.Context(), ledger, d, load.Options{DryRun: true}); err != nil {
		b.Fatal(err)
	}
	return bytes.SplitAfter(bytes.TrimSpace(out.Bytes()), []byte("\n"))
}

func post(b *testing.B, address string, bodies [][]byte) {
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	work := make(chan []byte)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for body := range work {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, address+"/v1/batch", bytes.NewReader(body))
				if err != nil {
					b.Error(err)
					continue
				}
				req.Header.Set("Content-Type", "application/json")
				req.SetBasicAuth(segmenttest.Key, "")
				response, err := client.Do(req)
				if err != nil {
					b.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
	for _, body := range bodies {
		work <- body
	}
	close(work)
	workers.Wait()
}
