// SPDX-License-Identifier: Apache-2.0

package html

import (
	"slices"
	"time"
)

// A unit is a length of time that a report adds up over.
type unit struct {
	name string
	// start returns the beginning of the unit that has the day.
	start func(time.Time) time.Time
	// months and days are what it is long.
	months, days int
	// axis and full are how it is written.
	axis, full string
}

func units() []unit {
	return []unit{
		{"day", func(t time.Time) time.Time { return t }, 0, 1, "2 Jan", time.DateOnly},
		{"week", func(t time.Time) time.Time { return t.AddDate(0, 0, -(int(t.Weekday())+6)%7) }, 0, 7, "2 Jan", "week of 2006-01-02"},
		{"month", func(t time.Time) time.Time { return t.AddDate(0, 0, 1-t.Day()) }, 1, 0, "Jan 06", "2006-01"},
		{"year", func(t time.Time) time.Time { return t.AddDate(0, 0, 1-t.YearDay()) }, 12, 0, "2006", "2006"},
	}
}

// maxPeriods is how many columns of a chart can be told apart.
const maxPeriods = 60

// periods are units of time without a gap. Of events, which happen between the years 2000 and 2199, there are at most 200.
type periods struct {
	unit   unit
	starts []time.Time
}

// newPeriods returns the shortest units that cover the days, written as 2026-11-22, in no more than maxPeriods.
func newPeriods(days []string) periods {
	var first, last time.Time
	for _, day := range days {
		t, err := time.Parse(time.DateOnly, day)
		if err != nil {
			continue
		}
		if first.IsZero() || t.Before(first) {
			first = t
		}
		if t.After(last) {
			last = t
		}
	}
	var p periods
	for _, p.unit = range units() {
		p.starts = nil
		if first.IsZero() {
			break
		}
		for t := p.unit.start(first); !t.After(last) && len(p.starts) <= 200; t = t.AddDate(0, p.unit.months, p.unit.days) {
			p.starts = append(p.starts, t)
		}
		if len(p.starts) <= maxPeriods {
			break
		}
	}
	return p
}

// index returns where a day is counted; -1 if nowhere.
func (p *periods) index(day string) int {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return -1
	}
	i, exact := slices.BinarySearchFunc(p.starts, t, time.Time.Compare)
	if exact {
		return i
	}
	return i - 1
}

// labels returns the periods as they are written below a chart, and in a table.
func (p *periods) labels() (axis, full []string) {
	for _, t := range p.starts {
		axis, full = append(axis, t.Format(p.unit.axis)), append(full, t.Format(p.unit.full))
	}
	return axis, full
}
