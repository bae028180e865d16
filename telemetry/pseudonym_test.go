// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// The expected values were made with sha256sum, so that dashboards can join on
// the pseudonyms that they already hold:
//
//	printf 'team-a:0b1f' | sha256sum | cut -c1-12
func TestPseudonymsOfTheDefaultScheme(t *testing.T) {
	p, err := telemetry.NewPseudonymizer("0b1f")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		hashed string
		got    telemetry.Pseudonym
		want   string
	}{
		{"0b1f", p.Cluster(), "b2fe62cea726"},
		{"team-a:0b1f", p.Namespace([]byte("team-a")), "9060fbfacf6c"},
		{"alice:0b1f", p.User([]byte("alice")), "2c7aaf539d27"},
		{"web:team-a:0b1f", p.Component([]byte("web"), []byte("team-a")), "69547932a8d9"},
		{"shop:team-a:0b1f", p.Application([]byte("shop"), []byte("team-a")), "53876d4cddf7"},
		{":team-a:0b1f", p.Application(nil, []byte("team-a")), "f2c048d2c740"},
	} {
		if got := test.got.String(); got != test.want {
			t.Errorf("pseudonym of %q: got %s, want %s", test.hashed, got, test.want)
		}
	}
}

func TestKeyedPseudonyms(t *testing.T) {
	key := []byte("0123456789abcdef")
	keyed, err := telemetry.NewKeyedPseudonymizer("0b1f", key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := telemetry.NewPseudonymizer("0b1f")
	if err != nil {
		t.Fatal(err)
	}
	other, err := telemetry.NewKeyedPseudonymizer("0b1f", []byte("0123456789abcdeg"))
	if err != nil {
		t.Fatal(err)
	}
	name := []byte("team-a")
	if keyed.Namespace(name) == plain.Namespace(name) || keyed.Namespace(name) == other.Namespace(name) {
		t.Error("the key makes no difference")
	}
	if keyed.Namespace(name) == keyed.User(name) {
		t.Error("a user called like a namespace has the same pseudonym")
	}
	if keyed.Cluster() != plain.Cluster() {
		t.Error("the cluster's pseudonym depends on the key")
	}
	if keyed.KeyID() == other.KeyID() || len(keyed.KeyID()) != 8 || plain.KeyID() != "" {
		t.Errorf("key IDs: %q, %q, %q", keyed.KeyID(), other.KeyID(), plain.KeyID())
	}
	key[0] = 'x'
	if again, _ := telemetry.NewKeyedPseudonymizer("0b1f", []byte("0123456789abcdef")); again.Namespace(name) != keyed.Namespace(name) {
		t.Error("the pseudonymizer shares the caller's key")
	}
}

func TestPseudonymizerRefusesAConstantSalt(t *testing.T) {
	for _, id := range []string{"", " ", "\n"} {
		if _, err := telemetry.NewPseudonymizer(id); err == nil || !strings.Contains(err.Error(), "--cluster-id") {
			t.Errorf("cluster ID %q: error %v does not say what to do", id, err)
		}
	}
	if _, err := telemetry.NewKeyedPseudonymizer("0b1f", []byte("short")); err == nil {
		t.Error("a short key is accepted")
	}
}

// A name does not become a pseudonym by being read from a file.
func TestPseudonymText(t *testing.T) {
	for _, text := range []string{"team-a", "0123456789a", "0123456789abc", "0123456789AB", "0123456789ag", "            "} {
		var p telemetry.Pseudonym
		if err := p.UnmarshalText([]byte(text)); err == nil || !p.IsZero() {
			t.Errorf("%q was read as pseudonym %q", text, p)
		} else if strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats the text: %v", err)
		}
	}
	var p, q telemetry.Pseudonym
	if err := json.Unmarshal([]byte(`"0123456789ab"`), &p); err != nil || p.String() != "0123456789ab" {
		t.Errorf("read %q, error %v", p, err)
	}
	if err := json.Unmarshal([]byte(`""`), &q); err != nil || !q.IsZero() || q.String() != "" {
		t.Errorf("read %q, error %v", q, err)
	}
}

func BenchmarkNamespace(b *testing.B) {
	p, err := telemetry.NewPseudonymizer("5f1f2c57-1d6b-4a5e-9b53-0d9f5a1d7a10")
	if err != nil {
		b.Fatal(err)
	}
	name := []byte("team-of-some-length-tenant")
	b.ReportAllocs()
	for b.Loop() {
		p.Namespace(name)
	}
}
