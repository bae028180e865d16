// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"errors"
	"strings"
)

// MaxUIDBytes bounds a [UID]; with the longest suffix of a message ID it stays
// below the 99 bytes that Segment keeps.
const MaxUIDBytes = 64

// A UID is the unique identity that the API server gave to an object
// (metadata.uid): opaque, assigned by the server and never by a person. The zero
// UID means "none".
type UID struct{ text string }

// ParseUID reads a UID: 1 to 64 letters, digits, dots and dashes. The error says
// nothing of the text.
func ParseUID(text []byte) (UID, error) {
	if len(text) == 0 || len(text) > MaxUIDBytes || !every(text, isUIDByte) {
		return UID{}, errors.New("uid is not 1 to 64 letters, digits, dots and dashes")
	}
	return UID{string(text)}, nil
}

// String returns the UID as it was read.
func (u UID) String() string { return u.text }

// IsZero reports whether u is no UID.
func (u UID) IsZero() bool { return u.text == "" }

// MarshalText implements [encoding.TextMarshaler].
func (u UID) MarshalText() ([]byte, error) { return []byte(u.text), nil }

// UnmarshalText reads what MarshalText wrote.
func (u *UID) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*u = UID{}
		return nil
	}
	*u, err = ParseUID(text)
	return err
}

// maxVersionBytes bounds a [Version].
const maxVersionBytes = 48

// A Version is the version of a piece of software, such as "v1.36.3" or
// "v1.29.0-eks-a5df82a". The zero Version means "not known".
type Version struct{ text string }

// ParseVersion reads a version: an optional "v", one to four numbers joined by
// dots, and an optional suffix of letters, digits, dots, dashes and plus signs
// after a dash or a plus sign; at most 48 bytes. Free text is an error.
func ParseVersion(text string) (Version, error) {
	if !isVersion(text) {
		return Version{}, errors.New(`version does not look like "v1.2.3" or "1.2.3-suffix"`)
	}
	return Version{text}, nil
}

// ParseRelease reads a version as [ParseVersion] does, and leaves out its suffix: what
// vendors append can single a cluster out.
func ParseRelease(text string) (Version, error) {
	if end := strings.IndexAny(text, "-+"); end >= 0 {
		text = text[:end]
	}
	return ParseVersion(text)
}

// String returns the version as it was read.
func (v Version) String() string { return v.text }

// IsZero reports whether the version is not known.
func (v Version) IsZero() bool { return v.text == "" }

// MarshalText implements [encoding.TextMarshaler].
func (v Version) MarshalText() ([]byte, error) { return []byte(v.text), nil }

// UnmarshalText reads what MarshalText wrote.
func (v *Version) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*v = Version{}
		return nil
	}
	*v, err = ParseVersion(string(text))
	return err
}

func isVersion(s string) bool {
	if len(s) > maxVersionBytes {
		return false
	}
	i := 0
	if i < len(s) && s[i] == 'v' {
		i++
	}
	for numbers := 1; ; numbers++ {
		start := i
		for i < len(s) && isDigit(s[i]) {
			i++
		}
		if i == start || numbers > 4 {
			return false
		}
		if i == len(s) {
			return true
		}
		if s[i] != '.' {
			break
		}
		i++
	}
	if s[i] != '-' && s[i] != '+' || i+1 == len(s) {
		return false
	}
	return every([]byte(s[i+1:]), func(c byte) bool { return isUIDByte(c) || c == '+' })
}

func isUIDByte(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '.'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func every(b []byte, ok func(byte) bool) bool {
	for _, c := range b {
		if !ok(c) {
			return false
		}
	}
	return true
}
