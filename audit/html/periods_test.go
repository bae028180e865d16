// SPDX-License-Identifier: Apache-2.0

package html

import (
	"testing"
)

func TestPeriods(t *testing.T) {
	tests := map[string]struct {
		days        []string
		unit        string
		n           int
		first, last string
		at          map[string]int
	}{
		"none":    {nil, "day", 0, "", "", map[string]int{"2026-11-22": -1}},
		"a day":   {[]string{"2026-11-22"}, "day", 1, "2026-11-22", "2026-11-22", map[string]int{"2026-11-22": 0, "2026-11-21": -1, "x": -1}},
		"days":    {[]string{"2026-11-22", "2026-10-30"}, "day", 24, "2026-10-30", "2026-11-22", map[string]int{"2026-11-01": 2}},
		"weeks":   {[]string{"2026-01-01", "2026-11-22"}, "week", 47, "week of 2025-12-29", "week of 2026-11-16", map[string]int{"2026-01-04": 0, "2026-01-05": 1, "2026-11-22": 46}},
		"months":  {[]string{"2024-02-29", "2026-11-22"}, "month", 34, "2024-02", "2026-11", map[string]int{"2024-03-01": 1}},
		"years":   {[]string{"2000-01-01", "2199-12-31"}, "year", 200, "2000", "2199", map[string]int{"2100-06-01": 100}},
		"invalid": {[]string{"yesterday", "2026-11-22"}, "day", 1, "2026-11-22", "2026-11-22", nil},
	}
	for name, tt := range tests {
		p := newPeriods(tt.days)
		_, labels := p.labels()
		if p.unit.name != tt.unit || len(labels) != tt.n {
			t.Errorf("%s: %d of a %s, want %d of a %s", name, len(labels), p.unit.name, tt.n, tt.unit)
			continue
		}
		if tt.n > 0 && (labels[0] != tt.first || labels[tt.n-1] != tt.last) {
			t.Errorf("%s: %s to %s", name, labels[0], labels[tt.n-1])
		}
		for day, want := range tt.at {
			if got := p.index(day); got != want {
				t.Errorf("%s: %s is in %d, want %d", name, day, got, want)
			}
		}
	}
}

func TestScale(t *testing.T) {
	for highest, want := range map[float64][2]float64{0: {1, 1}, 1: {1, 1}, 5: {5, 5}, 7: {8, 4}, 12: {15, 3}, 100: {100, 5}, 101: {150, 3}, 627: {800, 4}} {
		if top, steps := scale(highest); top != want[0] || float64(steps) != want[1] {
			t.Errorf("up to %v: %v in %d steps, want %v", highest, top, steps, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, tt := range []struct {
		part, whole int64
		want        string
	}{{0, 0, "none"}, {1, 1, "100 %"}, {99999, 100000, "99.9 %"}, {2, 3, "66.7 %"}, {0, 5, "0.0 %"}} {
		if got := percent(tt.part, tt.whole); got != tt.want {
			t.Errorf("%d of %d is %s, want %s", tt.part, tt.whole, got, tt.want)
		}
	}
}
