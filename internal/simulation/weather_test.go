// SPDX-License-Identifier: Apache-2.0

package simulation

import "time"

// A trouble is how something goes wrong for a while.
type trouble int

const (
	fine      trouble = iota
	down              // nothing works
	flaky             // some of it works
	slow              // it works, and takes minutes
	forbidden         // a source says no
	breaking          // a list breaks off
	throttled         // a receiver asks to wait
)

// A spell is a time of trouble [from, to).
type spell struct {
	from, to time.Time
	trouble  trouble
}

// weather has the spells of each source, of the bucket and of the receiver. What
// comes first wins.
type weather map[string][]spell

// The names of what is not a source.
const (
	theBucket   = "bucket"
	theReceiver = "receiver"
)

func (w weather) of(now time.Time, what string) trouble {
	for _, s := range w[what] {
		if !now.Before(s.from) && now.Before(s.to) {
			return s.trouble
		}
	}
	return fine
}

// add adds a spell.
func (w weather) add(what string, from time.Time, d time.Duration, t trouble) {
	w[what] = append(w[what], spell{from, from.Add(d), t})
}

// weather makes up the weather up to the end.
func (c *creator) weather() weather {
	w := weather{}
	span := func() (time.Time, time.Duration) {
		from := epoch.Add(c.between(0, c.end.Sub(epoch)-time.Hour))
		longest := []time.Duration{2 * time.Hour, 12 * time.Hour, 80 * time.Hour}[c.IntN(3)]
		return from, min(c.between(time.Minute, longest), c.end.Sub(from))
	}
	for _, name := range sourceNames {
		for range c.IntN(3) {
			from, d := span()
			w.add(name.String(), from, d, []trouble{forbidden, forbidden, breaking, flaky, slow}[c.IntN(5)])
		}
	}
	if c.chance(15) { // the whole API server
		from, d := span()
		for _, name := range sourceNames[:4] {
			w.add(name.String(), from, d, forbidden)
		}
	}
	for range c.IntN(3) {
		from, d := span()
		w.add(theBucket, from, d, []trouble{down, flaky, flaky, slow}[c.IntN(4)])
	}
	for range c.IntN(3) {
		from, d := span()
		w.add(theReceiver, from, d, []trouble{down, flaky, throttled}[c.IntN(3)])
	}
	return w
}

// anchors returns when spells begin and end.
func (w weather) anchors() []time.Time {
	var times []time.Time
	for _, what := range append(words(), theBucket, theReceiver) {
		for _, s := range w[what] {
			times = append(times, s.from, s.to)
		}
	}
	return times
}

func words() []string {
	var all []string
	for _, name := range sourceNames {
		all = append(all, name.String())
	}
	return all
}

// An appointment is when a job is to run, and how.
type appointment struct {
	at time.Time
	// skew is how far the job's clock is ahead.
	skew time.Duration
	// second says that another job runs at the same time.
	second bool
	// loaders is how many processes load at the same time and do nothing else; loader
	// says that this is one of them.
	loaders int
	loader  bool
	// killed, unless 0, is after how many operations the job is killed, frozen after
	// how many it hangs until later jobs have run.
	killed, frozen int
	// again is how often a container that fails is started again.
	again int
}

// appointments makes up n jobs from the epoch on.
func (c *creator) appointments(n int) []appointment {
	var all []appointment
	at := epoch.Add(c.between(time.Hour, 5*time.Hour))
	for i := range n {
		a := appointment{at: at.Add(c.between(0, 40*time.Second))}
		if c.chance(30) {
			a.skew = c.between(-5*time.Minute, 5*time.Minute)
		}
		a.second = c.chance(12)
		if c.chance(12) {
			a.loaders = 1 + c.IntN(2)
		}
		if c.chance(12) {
			a.killed = 1 + c.IntN(40)
		}
		if i < n-2 && c.chance(4) {
			a.frozen = 1 + c.IntN(30)
		}
		a.again = c.IntN(2)
		all = append(all, a)
		switch d := c.IntN(100); {
		case d < 72:
			at = at.Add(time.Hour)
		case d < 82: // by hand, or too soon
			at = at.Add(c.between(0, 50*time.Minute))
		case d < 92:
			at = at.Add(c.between(2*time.Hour, 8*time.Hour))
		default:
			at = at.Add(c.between(8*time.Hour, 100*time.Hour))
		}
	}
	return all
}
