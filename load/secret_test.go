// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/load"
)

func TestSecretDoesNotShow(t *testing.T) {
	const text = "Correct0Horse0Battery0Staple0000"
	secret := load.NewSecret(text)
	holder := struct {
		Public load.Secret
		hidden load.Secret
	}{secret, secret}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, secret, &secret, holder)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("configured", "secret", secret, "holder", holder)
	}
	if err := json.NewEncoder(&out).Encode(holder); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{text, fmt.Sprintf("%x", text)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret shows in %q", out.String())
		}
	}
	if got := secret.Reveal(); got != text {
		t.Errorf("Reveal returned %q", got)
	}
	if (load.Secret{}).Reveal() != "" {
		t.Error("the zero Secret is not empty")
	}
	var read load.Secret
	if err := read.UnmarshalText([]byte(text)); err != nil || read.Reveal() != text {
		t.Errorf("UnmarshalText gave %q, %v", read.Reveal(), err)
	}
}
