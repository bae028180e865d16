// SPDX-License-Identifier: Apache-2.0

// Package secret keeps credentials out of everything that is printed.
package secret

import "fmt"

// A Secret is a write key or a token. However it is printed, logged or marshalled, even
// as an unexported field of something else, it does not show. The zero Secret is empty.
type Secret struct{ text *string }

const redacted = "[redacted]"

// New hides text.
func New(text string) Secret { return Secret{&text} }

// Reveal returns the text, for the request that needs it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Format implements [fmt.Formatter] for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements [encoding.TextMarshaler], which JSON and slog use as well.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Secret) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}
