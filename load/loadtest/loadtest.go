// SPDX-License-Identifier: Apache-2.0

// Package loadtest has the one suite of tests that every destination has to pass, and what such tests need.
package loadtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A World is a destination and what is behind it, in memory: the suite runs on the clock of package
// testing/synctest, on which the longest back-off takes no time.
type World struct {
	Destination load.Destination
	// Arrived returns the message IDs of what the other side has, each as often as it arrived.
	Arrived func() []string
	// Fail breaks the other side for good or repairs it: while it is broken no event gets through.
	Fail func(broken bool)
	// Secrets must not show in errors and reasons: credentials, and the text that the other side sends.
	Secrets []string
}

// Destination tests a kind of destination. open returns a new one; it is called within a bubble of synctest,
// and what it starts has to end when the test does.
func Destination(t *testing.T, open func(t *testing.T) *World) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *World)
	}{
		{"its name is that of a receipt", name},
		{"nothing is delivered at once", nothing},
		{"every event arrives once, unchanged and with a verdict", arrive},
		{"events that are no track calls are rejected alone", flawed},
		{"deliveries go on at the same time", together},
		{"an outage leaves events pending, and they are delivered later", outage},
		{"a delivery ends with its context", cancelled},
		{"a delivery that is over before it begins sends nothing", late},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := open(t)
				test.run(t, w)
				if err := w.Destination.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		})
	}
}

// Tracks returns n events as this program stages them, with the message IDs event-00000 and so on.
func Tracks(n int) []telemetry.Track {
	hider, err := telemetry.NewPseudonymizer("cluster")
	if err != nil {
		panic(err) // the name is not empty
	}
	tracks := make([]telemetry.Track, n)
	for i := range tracks {
		event := telemetry.Event{
			Name: "PipelineRun Completed", MessageID: fmt.Sprintf("event-%05d", i),
			Time: time.Date(2026, 3, 1, 12, 0, i%60, 0, time.UTC), Cluster: hider.Cluster(),
			Properties: []telemetry.Property{
				{Name: "clusterIdHash", Value: telemetry.PseudonymValue(hider.Cluster())},
				{Name: "taskCount", Value: telemetry.IntegerValue(int64(i))},
				{Name: "hasPipelineLabel", Value: telemetry.BooleanValue(i%2 == 0)},
				{Name: "pipelineType"},
			},
		}
		tracks[i] = event.Track(telemetry.Library{Name: "segment-bridge", Version: "v1"})
	}
	return tracks
}

func ids(tracks []telemetry.Track) []string {
	ids := make([]string, len(tracks))
	for i, t := range tracks {
		ids[i] = t.MessageID
	}
	return ids
}

// Count returns how many verdicts have a status.
func Count(verdicts []telemetry.Verdict, status telemetry.VerdictStatus) (n int) {
	for _, v := range verdicts {
		if v.Status == status {
			n++
		}
	}
	return n
}

// deliver delivers events and checks what holds for every delivery.
func (w *World) deliver(ctx context.Context, t *testing.T, events []telemetry.Track) ([]telemetry.Verdict, error) {
	t.Helper()
	given := make([]telemetry.Track, len(events))
	for i, e := range events {
		given[i] = e
		given[i].Payload = bytes.Clone(e.Payload)
	}
	verdicts, err := w.Destination.Deliver(ctx, events)
	if len(verdicts) != len(events) {
		t.Fatalf("%d verdicts for %d events", len(verdicts), len(events))
	}
	for i, e := range events {
		if !bytes.Equal(e.Payload, given[i].Payload) || e.MessageID != given[i].MessageID {
			t.Errorf("event %d was changed", i)
		}
	}
	arrived := map[string]bool{}
	for _, id := range w.Arrived() {
		arrived[id] = true
	}
	for i, v := range verdicts {
		switch {
		case v.Status == telemetry.Pending && err == nil:
			t.Errorf("event %d is pending, and there is no error", i)
		case v.Status == telemetry.Delivered && !arrived[events[i].MessageID]:
			t.Errorf("event %d is delivered and did not arrive", i)
		case (v.Status == telemetry.Rejected) != (v.Reason != ""):
			t.Errorf("event %d has the status %d and the reason %q", i, v.Status, v.Reason)
		}
		w.checkSecrets(t, v.Reason)
	}
	w.checkSecrets(t, fmt.Sprintf("%v %+v", err, err))
	return verdicts, err
}

func (w *World) checkSecrets(t *testing.T, text string) {
	t.Helper()
	for _, s := range w.Secrets {
		if strings.Contains(text, s) {
			t.Errorf("a secret shows in %q", text)
		}
	}
}

func (w *World) mustDeliver(t *testing.T, events []telemetry.Track) {
	t.Helper()
	verdicts, err := w.deliver(t.Context(), t, events)
	if err != nil || Count(verdicts, telemetry.Delivered) != len(events) {
		t.Fatalf("%d of %d events delivered: %v", Count(verdicts, telemetry.Delivered), len(events), err)
	}
}

func name(t *testing.T, w *World) {
	first := w.Destination.Name()
	w.mustDeliver(t, Tracks(1))
	if again := w.Destination.Name(); !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(first) || again != first {
		t.Errorf("names %q, %q", first, again)
	}
}

func nothing(t *testing.T, w *World) {
	if _, err := w.deliver(t.Context(), t, nil); err != nil || len(w.Arrived()) > 0 {
		t.Errorf("%d events arrived: %v", len(w.Arrived()), err)
	}
}

func arrive(t *testing.T, w *World) {
	const first = 1
	events := Tracks(3_000) // more than one request takes
	w.mustDeliver(t, events[:first])
	w.mustDeliver(t, events[first:])
	if !slices.Equal(w.Arrived(), ids(events)) {
		t.Errorf("%d events arrived, or in another order", len(w.Arrived()))
	}
	if m, ok := w.Destination.(load.Metered); ok {
		if requests, bytes := m.Traffic(); requests < 2 || bytes < 1000 {
			t.Errorf("%d requests with %d bytes are counted", requests, bytes)
		}
	}
}

func flawed(t *testing.T, w *World) {
	for _, n := range []int{0, 1, 5} {
		events := Tracks(n)
		bad := []telemetry.Track{{MessageID: "empty"}, {MessageID: "text", Payload: []byte("no track call")}, {MessageID: "list", Payload: []byte(`["list"]`)}}
		mixed := slices.Concat(bad[:1], events, bad[1:])
		verdicts, err := w.deliver(t.Context(), t, mixed)
		if err != nil || Count(verdicts, telemetry.Rejected) != len(bad) || Count(verdicts, telemetry.Delivered) != n {
			t.Errorf("among %d events: %v, %v", n, verdicts, err)
		}
	}
}

func together(t *testing.T, w *World) {
	const each = 50
	events := Tracks(8 * each)
	var deliveries sync.WaitGroup
	for chunk := range slices.Chunk(events, each) {
		deliveries.Go(func() {
			verdicts, err := w.Destination.Deliver(t.Context(), chunk)
			if err != nil || Count(verdicts, telemetry.Delivered) != each {
				t.Errorf("%v, %v", verdicts, err)
			}
		})
	}
	deliveries.Wait()
	if got := slices.Sorted(slices.Values(w.Arrived())); !slices.Equal(got, ids(events)) {
		t.Errorf("%d events arrived", len(got))
	}
}

func outage(t *testing.T, w *World) {
	events := Tracks(10)
	w.Fail(true)
	verdicts, err := w.deliver(t.Context(), t, events)
	if err == nil || Count(verdicts, telemetry.Pending) != len(events) {
		t.Errorf("got %v, %v", verdicts, err)
	}
	w.Fail(false)
	time.Sleep(time.Hour) // whatever the other side asked to wait
	w.mustDeliver(t, events)
	if got := slices.Compact(w.Arrived()); !slices.Equal(got, ids(events)) {
		t.Errorf("%q arrived", got)
	}
}

func cancelled(t *testing.T, w *World) {
	w.Fail(true)
	stop := errors.New("the pod is going away")
	ctx, cancel := context.WithCancelCause(t.Context())
	start := time.Now()
	time.AfterFunc(100*time.Millisecond, func() { cancel(stop) })
	verdicts, err := w.deliver(ctx, t, Tracks(10))
	if elapsed := time.Since(start); err == nil || Count(verdicts, telemetry.Pending) != 10 || elapsed > 5*time.Second {
		t.Errorf("got %v, %v after %v", verdicts, err, elapsed)
	}
}

func late(t *testing.T, w *World) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	verdicts, err := w.deliver(ctx, t, Tracks(10))
	if !errors.Is(err, context.Canceled) || Count(verdicts, telemetry.Pending) != 10 || len(w.Arrived()) > 0 {
		t.Errorf("got %v, %v; %d events arrived", verdicts, err, len(w.Arrived()))
	}
}
