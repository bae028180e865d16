// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Lease says which loader is at work on a batch for a destination, so that the
// others leave it alone. It stands until the batch has a receipt, or its holder lets
// go, or others have not heard of the holder for too long. Nothing but the peace
// among loaders depends on it: what counts is the receipt.
type Lease struct {
	Format      int                 `json:"format"`
	Destination string              `json:"destination"`
	Cluster     telemetry.Pseudonym `json:"cluster"`
	Batch       string              `json:"batch"`
	// Holder is a random name; empty when the holder has let go.
	Holder string `json:"holder,omitempty"`
	// Epoch counts the versions, so that no two of them are equal.
	Epoch int64 `json:"epoch"`
	// Seconds is how long the holder may be silent. Who has seen the same version for
	// longer may take its place. Clocks are never compared.
	Seconds int `json:"seconds"`

	tag string // of the object
}

// DefaultLease is how long a loader may usually be silent, MaxLease how long at most.
const (
	DefaultLease = 2 * time.Minute
	MaxLease     = time.Hour
)

// Life is Seconds as a duration.
func (l *Lease) Life() time.Duration { return time.Duration(l.Seconds) * time.Second }

// Tag identifies the version.
func (l *Lease) Tag() string { return l.tag }

// ID returns the name of the batch that the lease is of.
func (l *Lease) ID() Batch { return Batch{l.Cluster, l.Batch} }

const leaseRoot = "v1/leases/"

func leaseFolder(destination string) string { return leaseRoot + destination + "/" }

func (b Batch) leaseKey(destination string) string {
	return leaseFolder(destination) + b.String() + manifestExt
}

// SwapLease writes the next version of a lease, if old is still the present one; nil
// stands for none. Format and epoch are filled in. It returns the lease that is there
// then: the next one, or what somebody else has written; nil when there is none any
// more. Where the store knows no conditions on what is replaced, it replaces.
func (l *Ledger) SwapLease(ctx context.Context, old *Lease, next Lease) (*Lease, error) {
	if err := checkDestination(next.Destination); err != nil {
		return nil, err
	}
	next.Format, next.Epoch = Format, 1
	condition := Condition{IfAbsent: true}
	if old != nil {
		next.Epoch = old.Epoch + 1
		condition = Condition{IfMatch: old.tag}
	}
	text, err := encode(next)
	if err != nil {
		return nil, fmt.Errorf("write lease: %w", err)
	}
	key := next.ID().leaseKey(next.Destination)
	next.tag, err = l.bucket.Put(ctx, key, bytes.NewReader(text), condition)
	if old != nil && errors.Is(err, errors.ErrUnsupported) {
		next.tag, err = l.bucket.Put(ctx, key, bytes.NewReader(text), Condition{})
	}
	switch {
	case errors.Is(err, fs.ErrExist), errors.Is(err, ErrChanged):
		// Somebody was faster. It may be ourselves, with the response lost.
		return l.Lease(ctx, next.Destination, next.ID())
	case err != nil:
		return nil, fmt.Errorf("write lease: %w", err)
	}
	return &next, nil
}

// Lease returns the lease of a batch at a destination; nil when there is none.
// Something else in its place is a lease of somebody unknown, whom nobody will hear
// of: it holds the batch for DefaultLease and no longer.
func (l *Ledger) Lease(ctx context.Context, destination string, b Batch) (*Lease, error) {
	if err := checkDestination(destination); err != nil {
		return nil, err
	}
	text, tag, err := l.readTagged(ctx, b.leaseKey(destination))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("read lease: %w", err)
	}
	lease := parseLease(text, destination, b)
	lease.tag = tag
	return lease, nil
}

func parseLease(text []byte, destination string, b Batch) *Lease {
	var lease Lease
	err := decode(text, &lease)
	if err != nil || lease.ID() != b || lease.Destination != destination || lease.Epoch < 1 ||
		lease.Seconds < 1 || lease.Seconds > int(MaxLease/time.Second) {
		return &Lease{
			Destination: destination, Cluster: b.Cluster, Batch: b.Name,
			Holder: "unknown", Seconds: int(DefaultLease / time.Second),
		}
	}
	return &lease
}
