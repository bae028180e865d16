// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestVersion(t *testing.T) {
	for _, text := range []string{
		"v1.36.3", "1.36.3", "v0", "4.18", "v1.27.3+rke2r1", "v1.28.2-gke.1157000", "v1.29.0-eks-a5df82a",
		"v0.0.0-master+$Format"[:13], "1.2.3.4", "v1.2.3-rc.1+build.5",
	} {
		if v, err := telemetry.ParseVersion(text); err != nil || v.String() != text {
			t.Errorf("%q: got %q, %v", text, v, err)
		}
	}
	for _, text := range []string{
		"", "v", "latest", "team-a", "v1.", "1..2", "1.2.3.4.5", "v1.2-", "v1.2 team", "v1.2_x", "1.2/3", "V1.2", "v1.2-é",
		"1." + strings.Repeat("2", 60),
	} {
		if v, err := telemetry.ParseVersion(text); err == nil || !v.IsZero() {
			t.Errorf("%q was read as version %q", text, v)
		}
	}
}

func TestRelease(t *testing.T) {
	for text, want := range map[string]string{
		"v1.28.2-gke.1157000": "v1.28.2", "1.27.3+rke2r1": "1.27.3", "3.9": "3.9", "v1.2-" + strings.Repeat("secret ", 20): "v1.2", "-1.2": "", "team-a": "", "": "",
	} {
		if v, err := telemetry.ParseRelease(text); (err == nil) != (want != "") || v.String() != want {
			t.Errorf("%q: got %q, %v, want %q", text, v, err, want)
		}
	}
}

// The parser and the pattern that the JSON Schema publishes agree.
func FuzzVersion(f *testing.F) {
	published := regexp.MustCompile(`^v?[0-9]+(\.[0-9]+){0,3}([-+][0-9A-Za-z.+-]+)?$`)
	for _, seed := range []string{"v1.36.3", "1.2.3.4.5", "v1-", "", "1.2+a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := telemetry.ParseVersion(text)
		if want := len(text) <= 48 && published.MatchString(text); want != (err == nil) {
			t.Errorf("%q: error %v, but the pattern says %t", text, err, want)
		}
	})
}

func TestUID(t *testing.T) {
	for _, text := range []string{"0c1d3a52-6a3a-4b55-8f1d-3b1f5b9c1a11", "a", strings.Repeat("x", 64)} {
		if u, err := telemetry.ParseUID([]byte(text)); err != nil || u.String() != text {
			t.Errorf("%q: got %q, %v", text, u, err)
		}
	}
	for _, text := range []string{"", "team a", "a/b", "ünïcode", strings.Repeat("x", 65), "a@example.com"} {
		if u, err := telemetry.ParseUID([]byte(text)); err == nil || !u.IsZero() {
			t.Errorf("%q was read as UID %q", text, u)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats the text: %v", err)
		}
	}
}

type colours struct{}

func (colours) Words() []string { return []string{"red", "green"} }

func TestEnum(t *testing.T) {
	green, ok := telemetry.ParseEnum[colours]("green")
	if !ok || green.String() != "green" || green != telemetry.MustEnum[colours]("green") {
		t.Errorf("got %q, %t", green, ok)
	}
	if none, ok := telemetry.ParseEnum[colours]([]byte("team-a")); ok || !none.IsZero() || none.String() != "" {
		t.Errorf("a word outside the list became %q", none)
	}
	var read telemetry.Enum[colours]
	if err := read.UnmarshalText([]byte("team-a")); err == nil || !read.IsZero() {
		t.Errorf("a word outside the list was read as %q", read)
	}
	if err := read.UnmarshalText([]byte("red")); err != nil || read.String() != "red" {
		t.Errorf("read %q, %v", read, err)
	}
}
