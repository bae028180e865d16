// SPDX-License-Identifier: Apache-2.0

//go:build integration

package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// A comparison runs ours and the reference in turns.
type comparison struct {
	name, reference string
	// work is how much of unit a round does.
	work float64
	unit string
	// by is what the ratio is of: wall or cpu, of ours divided by the reference's.
	by func(cost) float64
	// most is the ratio that is aimed at, 0 for none.
	most float64
	// least is how much of unit a second is aimed at, 0 for nothing.
	least float64
	// memory is the peak that is aimed at for ours, in bytes, 0 for none.
	memory int64
	// seconds is the wall time that is aimed at for ours, 0 for none.
	seconds float64
	ours    func() cost
	theirs  func() cost // nil when there is nothing to compare with
}

func wall(c cost) float64 { return c.wall.Seconds() }
func cpu(c cost) float64  { return c.cpu.Seconds() }

// A row is a line of the table, as it is written as JSON.
type row struct {
	Name      string  `json:"name"`
	Reference string  `json:"reference,omitempty"`
	Unit      string  `json:"unit"`
	Work      float64 `json:"work"`
	Rounds    int     `json:"rounds"`
	// Rate is how much of the unit ours does a second.
	Rate   float64 `json:"rate"`
	Ours   figures `json:"ours"`
	Theirs figures `json:"theirs,omitzero"`
	// Ratio is the median of the rounds' ratios.
	Ratio       float64 `json:"ratio,omitempty"`
	RatioTarget float64 `json:"ratioTarget,omitempty"`
	RateTarget  float64 `json:"rateTarget,omitempty"`
	PeakTarget  int64   `json:"peakTarget,omitempty"`
	WallTarget  float64 `json:"wallTarget,omitempty"`
	Met         bool    `json:"met"`
	// Note is what else the last round showed.
	Note string `json:"note,omitempty"`
}

// figures are the medians of one side.
type figures struct {
	Wall float64 `json:"wallSeconds"`
	CPU  float64 `json:"cpuSeconds"`
	Peak int64   `json:"peakBytes"`
}

func figuresOf(c cost) figures { return figures{c.wall.Seconds(), c.cpu.Seconds(), c.peak} }

// A table collects rows, and is printed and written in the end.
type table struct{ rows []row }

// compare adds a row. Rounds go in pairs, so that what else the machine does hits both.
func (t *table) compare(b *testing.B, c comparison) {
	b.Helper()
	var ours, theirs []cost
	var ratios []float64
	for b.Loop() {
		o := c.ours()
		ours = append(ours, o)
		if c.theirs == nil {
			continue
		}
		r := c.theirs()
		theirs = append(theirs, r)
		ratios = append(ratios, c.by(o)/c.by(r))
	}
	m := medians(ours)
	r := row{
		Name: c.name, Reference: c.reference, Unit: c.unit, Work: c.work, Rounds: len(ours),
		Ours: figuresOf(m), RatioTarget: c.most, RateTarget: c.least, PeakTarget: c.memory, WallTarget: c.seconds,
		Rate: c.work / c.by(m), Note: ours[len(ours)-1].note,
	}
	r.Met = (c.memory == 0 || m.peak <= c.memory) && (c.seconds == 0 || m.wall.Seconds() <= c.seconds) && r.Rate >= c.least
	if len(theirs) > 0 {
		r.Theirs, r.Ratio = figuresOf(medians(theirs)), median(ratios)
		r.Met = r.Met && (c.most == 0 || r.Ratio <= c.most)
		b.ReportMetric(r.Ratio, "x-reference")
	}
	b.ReportMetric(r.Rate, c.unit+"/s")
	b.ReportMetric(float64(m.peak)/(1<<20), "MiB")
	b.ReportMetric(0, "ns/op")
	t.rows = append(t.rows, r)
}

// print writes the table for people.
func (t *table) print(w io.Writer) {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "what\tunits/s\twall s\tCPU s\tpeak MiB\treference\twall s\tCPU s\tpeak MiB\tratio\ttarget\tmet\tbesides")
	for _, r := range t.rows {
		fmt.Fprintf(columns, "%s\t%.4g %s\t%.2f\t%.2f\t%d\t", r.Name, r.Rate, r.Unit, r.Ours.Wall, r.Ours.CPU, r.Ours.Peak>>20)
		if r.Reference == "" {
			fmt.Fprint(columns, "\t\t\t\t\t")
		} else {
			fmt.Fprintf(columns, "%s\t%.2f\t%.2f\t%d\t%.3f\t", r.Reference, r.Theirs.Wall, r.Theirs.CPU, r.Theirs.Peak>>20, r.Ratio)
		}
		fmt.Fprintf(columns, "%s\t%s\t%s\n", r.target(), map[bool]string{true: "yes", false: "NO"}[r.Met], r.Note)
	}
	_ = columns.Flush() // what cannot be printed is in the log all the same
}

func (r row) target() string {
	var all []string
	if r.RateTarget > 0 {
		all = append(all, fmt.Sprintf(">= %.3g %s/s", r.RateTarget, r.Unit))
	}
	if r.RatioTarget > 0 {
		all = append(all, fmt.Sprintf("<= %.3g x", r.RatioTarget))
	}
	if r.WallTarget > 0 {
		all = append(all, fmt.Sprintf("<= %.3g s", r.WallTarget))
	}
	if r.PeakTarget > 0 {
		all = append(all, fmt.Sprintf("<= %d MiB", r.PeakTarget>>20))
	}
	return strings.Join(all, ", ")
}

// write writes the rows as JSON into a file.
func (t *table) write(path string) error {
	text, err := json.MarshalIndent(map[string]any{"time": time.Now().UTC().Format(time.RFC3339), "rows": t.rows}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}
