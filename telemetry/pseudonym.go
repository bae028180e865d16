// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// pseudonymBytes is the length of a pseudonym: 6 bytes, written as 12
// hexadecimal digits, which is what analytics dashboards already hold.
const pseudonymBytes = 6

// A Pseudonym stands for a name that must not leave the process that read it.
// It is comparable, holds no pointer to the name, and prints as 12 lower-case
// hexadecimal digits. The zero Pseudonym means "no name was there".
//
// A Pseudonym comes from a [Pseudonymizer], or from the text of an earlier one.
type Pseudonym struct {
	hash [pseudonymBytes]byte
	set  bool
}

// IsZero reports whether p stands for no name.
func (p Pseudonym) IsZero() bool { return !p.set }

// String returns the 12 digits, or "" for the zero Pseudonym.
func (p Pseudonym) String() string {
	if !p.set {
		return ""
	}
	return hex.EncodeToString(p.hash[:])
}

// AppendText appends what String returns. It never fails.
func (p Pseudonym) AppendText(b []byte) ([]byte, error) {
	if !p.set {
		return b, nil
	}
	return hex.AppendEncode(b, p.hash[:]), nil
}

// MarshalText implements [encoding.TextMarshaler].
func (p Pseudonym) MarshalText() ([]byte, error) { return p.AppendText(nil) }

// UnmarshalText reads the text of an earlier Pseudonym. Anything else than 12
// lower-case hexadecimal digits, or nothing at all, is an error: a name does not
// become a Pseudonym by being read from a file.
func (p *Pseudonym) UnmarshalText(text []byte) error {
	*p = Pseudonym{}
	if len(text) == 0 {
		return nil
	}
	if len(text) != 2*pseudonymBytes || strings.ToLower(string(text)) != string(text) {
		return errors.New("pseudonym is not 12 lower-case hexadecimal digits")
	}
	if _, err := hex.Decode(p.hash[:], text); err != nil {
		*p = Pseudonym{}
		return errors.New("pseudonym is not 12 lower-case hexadecimal digits")
	}
	p.set = true
	return nil
}

// Scheme names the way names become pseudonyms. A manifest records it, so that
// a reader knows which pseudonyms may be compared.
type Scheme string

const (
	// SchemeSHA256 is an unkeyed hash of the name joined with the cluster ID.
	// Whoever knows the cluster ID can check a guess.
	SchemeSHA256 Scheme = "sha256"
	// SchemeHMAC is HMAC-SHA-256 under a key that never leaves the cluster.
	// A guess cannot be checked without the key.
	SchemeHMAC Scheme = "hmac-sha256"
)

// MinKeyBytes is the shortest key of the HMAC scheme.
const MinKeyBytes = 16

// A Pseudonymizer turns names into pseudonyms. It is safe for concurrent use.
// Only the code that reads a cluster makes one.
type Pseudonymizer struct {
	clusterID string
	key       []byte
}

// NewPseudonymizer returns a Pseudonymizer of the SHA-256 scheme, salted with
// the cluster ID. An empty cluster ID is an error: with a constant salt the same
// name would be recognisable in every cluster.
func NewPseudonymizer(clusterID string) (*Pseudonymizer, error) {
	if strings.TrimSpace(clusterID) == "" {
		return nil, errors.New("cluster ID is empty: names cannot be hidden without it; pass --cluster-id or set CLUSTER_ID")
	}
	return &Pseudonymizer{clusterID: clusterID}, nil
}

// NewKeyedPseudonymizer returns a Pseudonymizer of the HMAC scheme. The key has
// at least [MinKeyBytes] bytes and stays in the cluster.
func NewKeyedPseudonymizer(clusterID string, key []byte) (*Pseudonymizer, error) {
	p, err := NewPseudonymizer(clusterID)
	if err != nil {
		return nil, err
	}
	if len(key) < MinKeyBytes {
		return nil, fmt.Errorf("pseudonym key has %d bytes: give at least %d random ones", len(key), MinKeyBytes)
	}
	p.key = append([]byte(nil), key...)
	return p, nil
}

// Scheme returns the scheme in use.
func (p *Pseudonymizer) Scheme() Scheme {
	if p.key != nil {
		return SchemeHMAC
	}
	return SchemeSHA256
}

// KeyID identifies the key without revealing it: 8 hexadecimal digits, or "" in
// the SHA-256 scheme. Pseudonyms under different key IDs cannot be compared.
func (p *Pseudonymizer) KeyID() string {
	if p.key == nil {
		return ""
	}
	return KeyID(p.key)
}

// KeyID identifies a key as [Pseudonymizer.KeyID] does, for those who keep the key and hide no names.
func KeyID(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("key id"))
	return hex.EncodeToString(mac.Sum(nil)[:4])
}

// Cluster returns the pseudonym of the cluster: the start of the SHA-256 of its
// ID, in both schemes. The ID is random, hence not guessable, and the same
// pseudonym has to appear wherever this cluster's events are counted.
func (p *Pseudonymizer) Cluster() Pseudonym {
	return truncate(sha256.Sum256([]byte(p.clusterID)))
}

// Namespace returns the pseudonym of a namespace.
func (p *Pseudonymizer) Namespace(name []byte) Pseudonym {
	return p.hide("namespace", name, nil)
}

// User returns the pseudonym of a user, such as the sender of a commit.
func (p *Pseudonymizer) User(name []byte) Pseudonym {
	return p.hide("user", name, nil)
}

// Component returns the pseudonym of a component in a namespace.
func (p *Pseudonymizer) Component(name, namespace []byte) Pseudonym {
	return p.hide("component", name, namespace)
}

// Application returns the pseudonym of an application in a namespace. A
// component without an application has an empty name here, which is hashed like
// any other.
func (p *Pseudonymizer) Application(name, namespace []byte) Pseudonym {
	return p.hide("application", name, namespace)
}

// hide hashes "name:clusterID", or "name:scope:clusterID" when there is a scope
// (a nil scope is none). The HMAC scheme also separates the kinds of names, so
// that a user called like a namespace has another pseudonym.
func (p *Pseudonymizer) hide(domain string, name, scope []byte) Pseudonym {
	var stack [256]byte // long enough for nearly all names, which then cost no memory
	if p.key == nil {
		return truncate(sha256.Sum256(p.join(stack[:0], name, scope)))
	}
	mac := hmac.New(sha256.New, p.key)
	mac.Write(p.join(append([]byte(domain), 0), name, scope))
	return truncate([sha256.Size]byte(mac.Sum(nil)))
}

func (p *Pseudonymizer) join(b, name, scope []byte) []byte {
	b = append(append(b, name...), ':')
	if scope != nil {
		b = append(append(b, scope...), ':')
	}
	return append(b, p.clusterID...)
}

func truncate(sum [sha256.Size]byte) Pseudonym {
	return Pseudonym{hash: [pseudonymBytes]byte(sum[:pseudonymBytes]), set: true}
}
