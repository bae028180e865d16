// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"errors"
	"iter"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// errStop ends the stream of events because its reader has had enough.
var errStop = errors.New("stop")

// Events yields the events of an extraction's records, and the heartbeat when it is
// due after the last one. An error of the records ends the stream. An event is valid
// until the next one. An installTime of 0 means [DefaultInstallTime].
func Events(report record.Report, records iter.Seq2[record.Record, error], lastHeartbeat time.Time, installTime time.Duration) iter.Seq2[*telemetry.Event, error] {
	config := FromReport(report)
	config.InstallTime = installTime
	return func(yield func(*telemetry.Event, error) bool) {
		transformer := New(config)
		emit := func(e *telemetry.Event) error {
			if !yield(e, nil) {
				return errStop
			}
			return nil
		}
		for r, err := range records {
			if err == nil {
				err = transformer.Record(r, emit)
			}
			if errors.Is(err, errStop) {
				return
			} else if err != nil {
				yield(nil, err)
				return
			}
		}
		if heartbeat, due := Heartbeat(report, lastHeartbeat); due {
			_ = emit(&heartbeat)
		}
	}
}
