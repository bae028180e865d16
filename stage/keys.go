// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"fmt"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Batch names a batch. Names of batches of one cluster sort by the end of their
// windows.
type Batch struct {
	// Cluster is where the events happened.
	Cluster telemetry.Pseudonym
	// Name is the end of the window and the first 16 digits of the hash of the
	// data, such as "20261122T170000Z-0f1e2d3c4b5a6978", and with "merged-" between
	// the two when it was compacted from others.
	Name string
}

const (
	batchTime   = "20060102T150405Z"
	hashDigits  = 16 // of the SHA-256, in a name
	manifestExt = ".json"
	// mergedMark sorts after every hash: a merged batch comes after the ones of the
	// same end that it replaces.
	mergedMark = "merged-"
)

// batchName names the batch of a window that ends then and whose data has the
// SHA-256 sum, in hexadecimal digits.
func batchName(end time.Time, sum string) string {
	return end.UTC().Format(batchTime) + "-" + sum[:hashDigits]
}

// mergedName names the merged batch of a union of windows.
func mergedName(end time.Time, sum string) string {
	return end.UTC().Format(batchTime) + "-" + mergedMark + sum[:hashDigits]
}

// merged reports whether the batch was compacted from others.
func (b Batch) merged() bool { return strings.Contains(b.Name, mergedMark) }

// parseBatchName returns the end of the window and the start of the sum.
func parseBatchName(name string) (end time.Time, sum string, ok bool) {
	name = strings.Replace(name, "-"+mergedMark, "-", 1)
	if len(name) != len(batchTime)+1+hashDigits || name[len(batchTime)] != '-' {
		return time.Time{}, "", false
	}
	end, err := time.Parse(batchTime, name[:len(batchTime)])
	if err != nil || end.Format(batchTime) != name[:len(batchTime)] {
		return time.Time{}, "", false
	}
	sum = name[len(batchTime)+1:]
	return end, sum, isHex(sum)
}

// End returns the end of the batch's window; the zero time if the name is not one
// of a batch.
func (b Batch) End() time.Time {
	end, _, _ := parseBatchName(b.Name)
	return end
}

// String returns the batch as it appears in keys.
func (b Batch) String() string { return clusterFolder(b.Cluster) + b.Name }

const (
	manifestFolder = "v1/manifests/"
	eventFolder    = "v1/events/"
)

func receiptFolder(destination string) string  { return "v1/receipts/" + destination + "/" }
func rejectedFolder(destination string) string { return "v1/rejected/" + destination + "/" }

func clusterFolder(cluster telemetry.Pseudonym) string { return "cluster=" + cluster.String() + "/" }

func (b Batch) manifestKey() string { return manifestFolder + b.String() + manifestExt }

func (b Batch) dataKey() string {
	return eventFolder + clusterFolder(b.Cluster) + "date=" + b.End().Format(time.DateOnly) + "/" + b.Name + ".parquet"
}

func (b Batch) receiptKey(destination string) string {
	return receiptFolder(destination) + b.String() + manifestExt
}

func (b Batch) replayKey(destination string, at time.Time) string {
	return fmt.Sprintf("%s%s.replay-%d%s", receiptFolder(destination), b, at.Unix(), manifestExt)
}

func (b Batch) rejectedReplayKey(destination string, at time.Time) string {
	return fmt.Sprintf("%s%s.rejected-%d%s", receiptFolder(destination), b, at.UnixMilli(), manifestExt)
}

func (b Batch) rejectedKey(destination, sum string) string {
	return rejectedFolder(destination) + b.String() + "." + sum[:hashDigits] + ".parquet"
}

// parseBatch reads "cluster=<pseudonym>/<batch>.json", which is how keys of
// manifests and first receipts end.
func parseBatch(rest string) (Batch, bool) {
	folder, name, _ := strings.Cut(rest, "/")
	digits, hasCluster := strings.CutPrefix(folder, "cluster=")
	name, hasExt := strings.CutSuffix(name, manifestExt)
	var b Batch
	if !hasCluster || !hasExt || b.Cluster.UnmarshalText([]byte(digits)) != nil || b.Cluster.IsZero() {
		return Batch{}, false
	}
	b.Name = name
	_, _, ok := parseBatchName(name)
	return b, ok
}

// checkDestination guards the keys against names that would change their shape.
func checkDestination(name string) error {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("destination %q: a name has lower-case letters, digits and dashes only", name)
		}
	}
	if name == "" {
		return fmt.Errorf("destination has no name")
	}
	return nil
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
