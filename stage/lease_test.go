// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A leased batch need not be there.
var leased = func() stage.Batch {
	var cluster telemetry.Pseudonym
	if err := cluster.UnmarshalText([]byte("2e7d2c03a950")); err != nil {
		panic(err)
	}
	return stage.Batch{Cluster: cluster, Name: "20261122T170000Z-0f1e2d3c4b5a6978"}
}()

const leasedKey = "v1/leases/segment/cluster=2e7d2c03a950/20261122T170000Z-0f1e2d3c4b5a6978.json"

// by is the next version of a lease.
func by(holder string) stage.Lease {
	return stage.Lease{Destination: "segment", Cluster: leased.Cluster, Batch: leased.Name, Holder: holder, Seconds: 120}
}

func swap(t *testing.T, l *stage.Ledger, old *stage.Lease, holder string) *stage.Lease {
	t.Helper()
	now, err := l.SwapLease(t.Context(), old, by(holder))
	if err != nil || now == nil {
		t.Fatalf("swap: %+v, %v", now, err)
	}
	return now
}

func buckets(t *testing.T) map[string]stage.Bucket {
	return map[string]stage.Bucket{"mem": &mem.Bucket{}, "file": file.New(t.TempDir())}
}

func TestSwapLease(t *testing.T) {
	for name, b := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			l := stagetest.NewLedger(t, b)
			if none, err := l.Lease(t.Context(), "segment", leased); none != nil || err != nil {
				t.Fatalf("the lease of nobody: %+v, %v", none, err)
			}
			first := swap(t, l, nil, "a")
			if other := swap(t, l, nil, "b"); other.Holder != "a" || other.Tag() != first.Tag() {
				t.Errorf("creating over a lease: %+v", other)
			}
			second := swap(t, l, first, "a")
			if second.Epoch != 2 || second.Tag() == first.Tag() {
				t.Errorf("renewed: %+v", second)
			}
			if other := swap(t, l, first, "b"); other.Holder != "a" || other.Epoch != 2 {
				t.Errorf("swapping an old version: %+v", other)
			}
			released := swap(t, l, second, "")
			if third := swap(t, l, released, "b"); third.Holder != "b" || third.Epoch != 4 || third.Life() != 2*time.Minute {
				t.Errorf("taken: %+v", third)
			}
			if err := b.Delete(t.Context(), leasedKey); err != nil {
				t.Fatal(err)
			}
			if gone, err := l.SwapLease(t.Context(), released, by("c")); gone != nil || err != nil {
				t.Errorf("swapping what is gone: %+v, %v", gone, err)
			}
		})
	}
}

// Of many that want a lease, the same as before, one gets it.
func TestLeaseRace(t *testing.T) {
	for name, b := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			l := stagetest.NewLedger(t, b)
			var current *stage.Lease
			for round := range 20 {
				got := make([]*stage.Lease, 16)
				var racers sync.WaitGroup
				for i := range got {
					racers.Go(func() {
						var err error
						if got[i], err = l.SwapLease(context.WithoutCancel(t.Context()), current, by(fmt.Sprint(round, "-", i))); err != nil {
							t.Error(err)
						}
					})
				}
				racers.Wait()
				winners := 0
				for i, lease := range got {
					if lease == nil || lease.Tag() != got[0].Tag() {
						t.Fatalf("round %d: %+v and %+v", round, got[0], lease)
					}
					if lease.Holder == fmt.Sprint(round, "-", i) {
						winners++
					}
				}
				if winners != 1 {
					t.Fatalf("round %d: %d hold the lease", round, winners)
				}
				current = got[0]
			}
		})
	}
}

// A response that is lost leaves the holder in doubt for no longer than the call.
func TestLeaseLostResponse(t *testing.T) {
	l := stagetest.NewLedger(t, &stagetest.Faulty{Bucket: &mem.Bucket{}, Fault: func(op, _ string) stagetest.Fault {
		if op == "put" {
			return stagetest.Lost
		}
		return stagetest.None
	}})
	first := swap(t, l, nil, "a")
	if second := swap(t, l, first, "a"); first.Holder != "a" || second.Holder != "a" || second.Epoch != 2 {
		t.Errorf("got %+v, then %+v", first, second)
	}
}

// limited is a store that creates, and knows no condition on what it replaces.
type limited struct{ stage.Bucket }

func (b limited) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	if condition.IfMatch != "" {
		return "", fmt.Errorf("put: %w", errors.ErrUnsupported)
	}
	return b.Bucket.Put(ctx, key, body, condition)
}

func TestLeaseWithoutConditions(t *testing.T) {
	for name, b := range map[string]stage.Bucket{
		"ignored": &stagetest.Careless{Bucket: &mem.Bucket{}}, "looks first": &stagetest.Careless{Bucket: &mem.Bucket{}, Looks: true},
		"unsupported": limited{&mem.Bucket{}},
	} {
		t.Run(name, func(t *testing.T) {
			l := stagetest.NewLedger(t, b)
			lease := swap(t, l, nil, "a")
			for range 3 { // nobody is kept from going on
				lease = swap(t, l, lease, "a")
			}
			if now, err := l.Lease(t.Context(), "segment", leased); err != nil || now.Holder != "a" || now.Epoch != 4 {
				t.Errorf("the lease is %+v, %v", now, err)
			}
		})
	}
}

// What is no lease must not keep a batch from being delivered.
func TestDamagedLease(t *testing.T) {
	b := &mem.Bucket{}
	l := stagetest.NewLedger(t, b)
	good := swap(t, l, nil, "a")
	object, err := b.Open(t.Context(), leasedKey)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, object.Size())
	if _, err := object.ReadAt(text, 0); err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string]string{
		"nothing": "", "not JSON": "lease", "truncated": string(text[:len(text)/2]), "large": strings.Repeat(" ", 17<<20),
		"another format":  strings.Replace(string(text), `"format": 1`, `"format": 2`, 1),
		"another batch":   strings.Replace(string(text), "T170000Z", "T180000Z", 1),
		"for ever":        strings.Replace(string(text), "120", "1200000", 1),
		"in the past":     strings.Replace(string(text), "120", "-1", 1),
		"what is unknown": strings.Replace(string(text), `"epoch"`, `"eternal": true, "epoch"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if err := stagetest.Tamper(t.Context(), b, leasedKey, damaged); err != nil {
				t.Fatal(err)
			}
			found, err := l.Lease(t.Context(), "segment", leased)
			if err != nil || found == nil || found.Holder == "" || found.Holder == good.Holder || found.Life() != stage.DefaultLease {
				t.Fatalf("found %+v, %v", found, err)
			}
			if now := swap(t, l, found, "b"); now.Holder != "b" {
				t.Errorf("it cannot be replaced: %+v", now)
			}
		})
	}
}

func FuzzLease(f *testing.F) {
	golden, err := os.ReadFile("testdata/lease.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":1,"destination":"segment","cluster":"2e7d2c03a950","batch":"20261122T170000Z-0f1e2d3c4b5a6978","epoch":9,"seconds":3600}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b := &mem.Bucket{}
		if _, err := b.Put(t.Context(), leasedKey, bytes.NewReader(text), stage.Condition{}); err != nil {
			t.Fatal(err)
		}
		l := stage.NewLedger(b, stage.Options{})
		found, err := l.Lease(t.Context(), "segment", leased)
		if err != nil || found == nil || found.ID() != leased || found.Life() < time.Second || found.Life() > stage.MaxLease {
			t.Fatalf("found %+v, %v", found, err)
		}
		if now, err := l.SwapLease(t.Context(), found, by("b")); err != nil || now.Holder != "b" {
			t.Fatalf("it cannot be replaced: %+v, %v", now, err)
		}
	})
}

// The format of a lease.
func TestLeaseFormat(t *testing.T) {
	b := &mem.Bucket{}
	swap(t, stagetest.NewLedger(t, b), nil, "ZP2Z4L7LHGGJGNKQ3YJQYKEQSM")
	got := content(t, b)[leasedKey]
	if *update {
		if err := os.WriteFile("testdata/lease.json", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/lease.json")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("a lease is\n%s", got)
	}
}

// Leases go with their batch, and those of no batch as orphans, whether anything was
// delivered to the destination or not.
func TestLeasesAreSwept(t *testing.T) {
	b := archive(t)
	l := stagetest.NewLedger(t, b)
	for batch, err := range l.Batches(t.Context(), stage.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, destination := range []string{"segment", "never-delivered"} {
			lease := stage.Lease{Destination: destination, Cluster: batch.Cluster, Batch: batch.Name, Holder: "a", Seconds: 120}
			if _, err := l.SwapLease(t.Context(), nil, lease); err != nil {
				t.Fatal(err)
			}
		}
	}
	swap(t, l, nil, "a") // of a batch that never was
	left := func() int {
		keys, err := stagetest.Keys(t.Context(), b, "v1/leases/")
		if err != nil {
			t.Fatal(err)
		}
		all := content(t, b)
		for _, key := range keys {
			_, batch, _ := strings.Cut(key, "/cluster=")
			if _, ok := all["v1/manifests/cluster="+batch]; !ok {
				t.Errorf("%s is left, and its batch is not", key)
			}
		}
		return len(keys)
	}
	expire(t, b, sweep)
	all := left()
	compact(t, b, compactAll)
	expire(t, b, upTo(afterArchive))
	if n := left(); n == 0 || n >= all {
		t.Errorf("%d of %d leases are left", n, all)
	}
}
