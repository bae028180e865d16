// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

var rounds = flag.Int("rounds", 0, "rounds of the commit race on each store (0: as many as take seconds)")

const racers = 32

// TestCommitRace: 32 writers create one key at the same time, round after round, in
// every second round with the same bytes. One of them is told that it was the one,
// all others that the key is taken, and its bytes are there.
func TestCommitRace(t *testing.T) {
	for _, store := range []struct {
		name   string
		rounds int
		open   func(*testing.T) stage.Bucket
	}{
		{"mem", 10_000, func(*testing.T) stage.Bucket { return new(mem.Bucket) }},
		{"file", 300, func(t *testing.T) stage.Bucket { return file.New(t.TempDir()) }},
		{"minio", 100, openMinIO},
		{"versitygw", 200, openVersityGW},
	} {
		t.Run(store.name, func(t *testing.T) {
			n := store.rounds
			if *rounds > 0 {
				n = *rounds
			}
			b := store.open(t)
			began := time.Now()
			violations := 0
			for round := range n {
				if err := race(context.WithoutCancel(t.Context()), b, round); err != nil {
					if violations++; violations <= 10 {
						t.Errorf("round %d: %v", round, err)
					}
				}
			}
			t.Logf("%d rounds of %d writers in %.1f s: %d violations", n, racers, time.Since(began).Seconds(), violations)
		})
	}
}

// race runs one round and returns what was wrong with it.
func race(ctx context.Context, b stage.Bucket, round int) error {
	key := fmt.Sprintf("race/%d", round)
	bodies := make([]string, racers)
	results := make([]error, racers)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("round %d: %s", round, strings.Repeat(fmt.Sprint("writer ", i*(round%2), " "), 100))
	}
	start := make(chan struct{})
	var writers sync.WaitGroup
	for i, body := range bodies {
		writers.Go(func() {
			<-start
			_, results[i] = b.Put(ctx, key, strings.NewReader(body), stage.Condition{IfAbsent: true})
		})
	}
	close(start)
	writers.Wait()
	winners := 0
	for _, err := range results {
		if err == nil {
			winners++
		} else if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if winners != 1 {
		return fmt.Errorf("%d writers won", winners)
	}
	object, err := b.Open(ctx, key)
	if err != nil {
		return err
	}
	defer object.Close()
	there, err := io.ReadAll(io.NewSectionReader(object, 0, object.Size()))
	if err != nil {
		return err
	}
	if winner := slices.Index(results, nil); string(there) != bodies[winner] {
		return fmt.Errorf("writer %d won, and there is %q", winner, there)
	}
	return nil
}

// openVersityGW returns a new bucket on the server, opened as a user would.
func openVersityGW(t *testing.T) stage.Bucket { return openBucket(t, world.VersityGW(t)) }

func TestBucketOnVersityGW(t *testing.T) { stagetest.Bucket(t, openVersityGW) }

func TestLedgerOnVersityGW(t *testing.T) { stagetest.Ledger(t, openVersityGW) }

// TestProbe: the stores that are tested keep all that is asked of a store.
func TestProbe(t *testing.T) {
	for name, open := range map[string]func(*testing.T) stage.Bucket{
		"file":      func(t *testing.T) stage.Bucket { return file.New(t.TempDir()) },
		"minio":     openMinIO,
		"versitygw": openVersityGW,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := stage.Probe(t.Context(), open(t))
			if want := (stage.Semantics{CreateOnly: true, IfMatch: true, ReadAfterWrite: true, ListOrder: true, Delete: true}); err != nil || got != want {
				t.Errorf("probe: %+v, %v", got, err)
			}
		})
	}
}

// The race is lost where conditions do not hold, or hold only for one writer after
// the other.
func TestCommitRaceIsSeen(t *testing.T) {
	for _, looks := range []bool{false, true} {
		if err := race(t.Context(), &stagetest.Careless{Bucket: new(mem.Bucket), Looks: looks}, 1); err == nil {
			t.Errorf("a store that looks first (%t) and keeps no condition passes", looks)
		}
	}
}
