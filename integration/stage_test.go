// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/open"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

// openMinIO returns a new bucket on the server, opened as a user would.
func openMinIO(t *testing.T) stage.Bucket { return openBucket(t, world.MinIO(t)) }

func openBucket(t *testing.T, b *world.Bucket) stage.Bucket {
	t.Helper()
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
