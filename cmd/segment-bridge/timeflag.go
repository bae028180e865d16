// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"time"
)

// instant is a flag that takes a point in time: RFC 3339, a day, or a span before
// now such as 24h. The zero instant was not given.
type instant struct {
	now  func() time.Time
	time time.Time
}

func (i *instant) String() string {
	if i.time.IsZero() {
		return ""
	}
	return i.time.Format(time.RFC3339)
}

func (i *instant) Type() string { return "time" }

func (i *instant) Set(text string) error {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		i.time = t.UTC().Truncate(time.Second)
		return nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		i.time = t
		return nil
	}
	if span, err := time.ParseDuration(text); err == nil && span > 0 {
		i.time = i.now().UTC().Add(-span).Truncate(time.Second)
		return nil
	}
	return errors.New(`give a time such as 2026-03-01T08:00:00Z, a day such as 2026-03-01, or a span before now such as 24h`)
}
