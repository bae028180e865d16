// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/open"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

// openMinIO returns a new bucket on the server, opened as a user would.
func openMinIO(t *testing.T) stage.Bucket {
	t.Helper()
	b := world.MinIO(t)
	t.Setenv("AWS_ACCESS_KEY_ID", b.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", b.SecretKey)
	bucket, err := open.Bucket(t.Context(), b.URL("a/prefix"))
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func TestBucketOnMinIO(t *testing.T) { stagetest.Bucket(t, openMinIO) }

func TestLedgerOnMinIO(t *testing.T) { stagetest.Ledger(t, openMinIO) }

// Every pair of operations at which two runs, one after the other, may die.
func TestCrashPairs(t *testing.T) {
	stagetest.CrashPairs(t, func(*testing.T) stage.Bucket { return new(mem.Bucket) })
}

// TestCommitRace: of 32 writers of one key exactly one wins, round after round.
func TestCommitRace(t *testing.T) {
	for _, store := range []struct {
		name   string
		rounds int
		open   func(*testing.T) stage.Bucket
	}{
		{"mem", 10_000, func(*testing.T) stage.Bucket { return new(mem.Bucket) }},
		{"file", 1_000, func(t *testing.T) stage.Bucket { return file.New(t.TempDir()) }},
		{"minio", 200, openMinIO},
	} {
		t.Run(store.name, func(t *testing.T) {
			b := store.open(t)
			ctx := context.WithoutCancel(t.Context())
			for round := range store.rounds {
				var winners atomic.Int32
				var wg sync.WaitGroup
				for i := range 32 {
					wg.Go(func() {
						_, err := b.Put(ctx, fmt.Sprintf("race/%d", round), strings.NewReader(fmt.Sprint(i)), stage.Condition{IfAbsent: true})
						if err == nil {
							winners.Add(1)
						} else if !errors.Is(err, fs.ErrExist) {
							t.Errorf("round %d: %v", round, err)
						}
					})
				}
				if wg.Wait(); winners.Load() != 1 {
					t.Fatalf("round %d: %d winners", round, winners.Load())
				}
			}
			t.Logf("%d rounds of 32 writers: one winner each", store.rounds)
		})
	}
}

// What an administrator sees when something is not set up.
func TestMinIORefusals(t *testing.T) {
	b := world.MinIO(t)
	url := b.URL("")
	for _, test := range []struct{ name, url, access, secret, want string }{
		{"no such bucket", strings.Replace(url, b.Name, "no-such-bucket", 1), b.AccessKey, b.SecretKey, "create it"},
		{"wrong key", url, "nobody", b.SecretKey, "AWS_ACCESS_KEY_ID"},
		{"wrong secret", url, b.AccessKey, "wrong-secret", "AWS_SECRET_ACCESS_KEY"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("AWS_ACCESS_KEY_ID", test.access)
			t.Setenv("AWS_SECRET_ACCESS_KEY", test.secret)
			bucket, err := open.Bucket(t.Context(), test.url)
			if err != nil {
				t.Fatal(err)
			}
			_, err = stagetest.NewLedger(t, bucket).Head(t.Context(), stagetest.Names().Cluster())
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), test.secret) {
				t.Errorf("error: %v, want one about %q", err, test.want)
			}
		})
	}
}
