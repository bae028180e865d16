// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"slices"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// Coverage has, for each source, the spans of time that have been read. Adding is
// commutative: it does not matter in which order windows were read, or by whom.
type Coverage map[record.SourceName][]record.Window

// maxSpans bounds the spans of a source; the oldest go first. There are more than
// one only after an outage that was too long to be made up for, or after a run
// with an explicit window.
const maxSpans = 64

// add adds the spans of other.
func (c Coverage) add(other Coverage) {
	for source, spans := range other {
		c[source] = union(append(slices.Clone(c[source]), spans...))
	}
}

// read adds what a run read. A source that failed gets a span of no length, and
// only if it has none at all: from there on, time counts as missing.
func (c Coverage) read(report record.Report) {
	failed := map[record.SourceName]bool{}
	for _, s := range report.Sources {
		failed[s.Name] = failed[s.Name] || s.Failed()
	}
	for source, failed := range failed {
		span := record.Window{Since: report.Window.Since, Until: report.Window.Until}
		if failed {
			span.Until = span.Since
		}
		if !failed || len(c[source]) == 0 {
			c.add(Coverage{source: {span}})
		}
	}
}

// missing returns the earliest time from which on the source has not been read,
// at from or later and before until; until if there is none. What lies before the
// first span is not missing.
func (c Coverage) missing(source record.SourceName, from, until time.Time) time.Time {
	spans := c[source]
	for i, span := range spans {
		next := until
		if i+1 < len(spans) {
			next = spans[i+1].Since
		}
		if hole := later(span.Until, from); hole.Before(next) && hole.Before(until) {
			return hole
		}
	}
	return until
}

// union joins spans that overlap or touch.
func union(spans []record.Window) []record.Window {
	slices.SortFunc(spans, func(a, b record.Window) int { return a.Since.Compare(b.Since) })
	joined := spans[:0]
	for _, span := range spans {
		if last := len(joined) - 1; last >= 0 && !span.Since.After(joined[last].Until) {
			joined[last].Until = later(joined[last].Until, span.Until)
		} else {
			joined = append(joined, span)
		}
	}
	return joined[max(0, len(joined)-maxSpans):]
}

// NextWindow returns the window of the next run, which ends at until, in whole
// seconds. It begins lookback before, or earlier: a little (overlap) before the
// first moment that one of the sources has not been read for, be it that the
// source failed or that no run took place, but at most maxLookback before until.
// It begins where events were withheld, if that is earlier. A source that was never
// tried does not make the window longer. head may be nil.
func NextWindow(head *Manifest, sources []record.SourceName, until time.Time, lookback, maxLookback, overlap time.Duration) record.Window {
	until = until.UTC().Truncate(time.Second)
	w := record.Window{Since: until.Add(-lookback), Until: until}
	if head != nil {
		reach := until.Add(-max(lookback, maxLookback))
		for _, source := range sources {
			missing := head.Coverage.missing(source, reach, until).Add(-overlap)
			w.Since = earlier(w.Since, later(missing, reach))
		}
		for _, d := range head.Damaged {
			if d.Window.Until.After(reach) {
				w.Since = earlier(w.Since, later(d.Window.Since, reach))
			}
		}
	}
	w.Since = w.Since.Truncate(time.Second)
	return w
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
