// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A run is one run of the job in a test of windows, in hours after noon.
type run struct {
	since, until int
	failed       string // the sources that failed, of "kube" and "results"
}

func hour(n int) time.Time { return stagetest.Noon.Add(time.Duration(n) * time.Hour) }

func (r run) report() record.Report {
	report := stagetest.Report(hour(r.since), hour(r.until))
	report.Sources = nil
	for name, source := range map[string]record.SourceName{"kube": record.SourcePipelineRuns, "results": record.SourceResults} {
		outcome := record.OutcomeOK
		if strings.Contains(r.failed, name) {
			outcome = record.OutcomeForbidden
		}
		report.Sources = append(report.Sources, record.SourceReport{Name: source, Outcome: outcome})
	}
	return report
}

func TestCoverageAndTheNextWindow(t *testing.T) {
	const lookback, maxLookback, overlap = 4 * time.Hour, 48 * time.Hour, 15 * time.Minute
	for _, test := range []struct {
		name    string
		runs    []run
		kube    string // spans covered, in hours
		results string
		next    time.Time // start of the window that ends at hour 100
	}{
		{name: "no run yet", next: hour(96)},
		{"all is well", []run{{92, 96, ""}, {95, 99, ""}}, "92-99", "92-99", hour(96)},
		{"absent counts as read", []run{{95, 99, ""}}, "95-99", "95-99", hour(96)},
		{"the job was out", []run{{76, 80, ""}}, "76-80", "76-80", hour(80).Add(-overlap)},
		{"one source failed once", []run{{76, 80, ""}, {77, 81, "results"}, {78, 82, ""}, {95, 99, ""}}, "76-82 95-99", "76-82 95-99", hour(82).Add(-overlap)},
		{"one source fails for long", []run{{76, 80, ""}, {77, 97, "results"}, {79, 98, "results"}}, "76-98", "76-80", hour(80).Add(-overlap)},
		{"and works again", []run{{76, 80, ""}, {77, 97, "results"}, {79, 98, ""}}, "76-98", "76-98", hour(96)},
		{"a source fails from the start", []run{{76, 80, "results"}, {77, 99, "results"}}, "76-99", "76-76", hour(76).Add(-overlap)},
		{"the outage was longer than a window may be", []run{{6, 10, ""}}, "6-10", "6-10", hour(52)},
		{"and the gap is given up", []run{{6, 10, ""}, {51, 99, ""}}, "6-10 51-99", "6-10 51-99", hour(96)},
		{"a short window by hand leaves a gap that heals", []run{{76, 80, ""}, {98, 99, ""}}, "76-80 98-99", "76-80 98-99", hour(80).Add(-overlap)},
		// The head learns of an older window with the next run.
		{"a back-fill by hand", []run{{95, 98, ""}, {10, 20, ""}, {97, 99, ""}}, "10-20 95-99", "10-20 95-99", hour(52)},
		{"a back-fill that closes a gap", []run{{76, 80, ""}, {95, 98, ""}, {80, 95, ""}, {97, 99, ""}}, "76-99", "76-99", hour(96)},
		{"a back-fill that fails", []run{{95, 98, ""}, {80, 90, "kube"}, {97, 99, ""}}, "95-99", "80-90 95-99", hour(90).Add(-overlap)},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := stagetest.NewLedger(t, new(mem.Bucket))
			for i, r := range test.runs {
				// One new event, so that there is a batch.
				started, _ := stagetest.Run(i, hour(r.since), 1)
				if _, err := l.Stage(t.Context(), r.report(), stagetest.Of(started)); err != nil {
					t.Fatal(err)
				}
			}
			head, err := l.Head(t.Context(), stagetest.Names().Cluster())
			if err != nil {
				t.Fatal(err)
			}
			if head != nil && (spans(head, record.SourcePipelineRuns) != test.kube || spans(head, record.SourceResults) != test.results) {
				t.Errorf("covered: kube %s, results %s", spans(head, record.SourcePipelineRuns), spans(head, record.SourceResults))
			}
			sources := []record.SourceName{record.SourcePipelineRuns, record.SourceResults, record.SourceDir} // dir was never tried
			w := stage.NextWindow(head, sources, hour(100).Add(999*time.Millisecond), lookback, maxLookback, overlap)
			if !w.Since.Equal(test.next) || !w.Until.Equal(hour(100)) {
				t.Errorf("next window is %v to %v, want from %v", w.Since, w.Until, test.next)
			}
		})
	}
}

func spans(m *stage.Manifest, source record.SourceName) string {
	var all []string
	for _, span := range m.Coverage[source] {
		all = append(all, fmt.Sprintf("%v-%v", span.Since.Sub(stagetest.Noon).Hours(), span.Until.Sub(stagetest.Noon).Hours()))
	}
	return strings.Join(all, " ")
}

func TestWindowWithoutReach(t *testing.T) {
	// A limit below the look-back does not shorten the window.
	head := &stage.Manifest{Coverage: stage.Coverage{record.SourceResults: {{Since: hour(0), Until: hour(1)}}}}
	w := stage.NextWindow(head, []record.SourceName{record.SourceResults}, hour(10), 4*time.Hour, time.Hour, time.Hour)
	if !w.Since.Equal(hour(6)) {
		t.Errorf("window begins %v", w.Since)
	}
	// A clock that went back does not make it begin after its end.
	w = stage.NextWindow(head, []record.SourceName{record.SourceResults}, hour(-10), 4*time.Hour, 48*time.Hour, time.Hour)
	if !w.Since.Equal(hour(-14)) {
		t.Errorf("window begins %v", w.Since)
	}
}

// The spans of a source stay few, whatever happens.
func TestCoverageIsBounded(t *testing.T) {
	l := stagetest.NewLedger(t, new(mem.Bucket))
	for i := range 70 {
		started, _ := stagetest.Run(i, hour(10*i), 1)
		if _, err := l.Stage(t.Context(), (run{10 * i, 10*i + 1, ""}).report(), stagetest.Of(started)); err != nil {
			t.Fatal(err)
		}
	}
	head, err := l.Head(t.Context(), stagetest.Names().Cluster())
	if err != nil {
		t.Fatal(err)
	}
	got := head.Coverage[record.SourceResults]
	if len(got) != 64 || !got[63].Until.Equal(hour(691)) || !slices.IsSortedFunc(got, func(a, b record.Window) int { return a.Since.Compare(b.Since) }) {
		t.Errorf("%d spans, last %v", len(got), got[len(got)-1])
	}
}
