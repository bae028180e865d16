// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestBase(t *testing.T) {
	for address, want := range map[string]string{
		"https://api.segment.io":               "https://api.segment.io",
		" https://api.segment.io/v1/batch/ ":   "https://api.segment.io",
		"https://api.segment.io/v1":            "https://api.segment.io",
		"https://api.segment.io//v1//batch//":  "https://api.segment.io",
		"api.segment.io/v1/batch":              "https://api.segment.io",
		"http://127.0.0.1:8080/batch":          "http://127.0.0.1:8080",
		"https://example.com/connections/api/": "https://example.com/connections/api",
		"https://example.com/api/v1/batch":     "https://example.com/api",
		"":                                     "", "https://": "", "ftp://example.com": "", "https://u:canary@example.com": "",
		"https://example.com?key=canary": "", "https://example.com/#canary": "", "https://exa mple.com/canary": "",
	} {
		got, err := base(address)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", address, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: the error repeats the address: %v", address, err)
		}
	}
}

func FuzzBase(f *testing.F) {
	f.Add("https://api.segment.io/v1/batch")
	f.Fuzz(func(t *testing.T, address string) {
		got, err := base(address)
		if err != nil {
			return
		}
		if again, err := base(got); err != nil || again != got && !strings.HasSuffix(got, "/v1") && !strings.HasSuffix(got, "/batch") {
			t.Errorf("%q becomes %q, and that %q (error %v)", address, got, again, err)
		}
	})
}

func TestResolveFailure(t *testing.T) {
	secret := wish{secret: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "k", Optional: new(true)}}
	down := errors.New("down")
	_, err := resolve(t.Context(), func(context.Context, corev1.SecretKeySelector) (string, error) { return "", down }, "builtin", secret)
	var p *problem
	if !errors.As(err, &p) || p.reason != reasonWriteKeyUnreadable {
		t.Errorf("a Secret that cannot be read is no reason to send under another key: %v", err)
	}
	d, err := resolve(t.Context(), func(context.Context, corev1.SecretKeySelector) (string, error) {
		return "", fmt.Errorf("read: %w", fs.ErrNotExist)
	}, "builtin", secret)
	if err != nil || d.key != "builtin" || d.missing != nil {
		t.Errorf("an optional Secret that is missing: %v, %v", d.missing, err)
	}
	if d, err = resolve(t.Context(), nil, ""); err != nil || d.missing == nil || d.missing.reason != reasonNoWriteKey {
		t.Errorf("no key at all: %v, %v", d.missing, err)
	}
}

func FuzzKonfluxWish(f *testing.F) {
	f.Add([]byte(`{"spec":{"telemetry":{"spec":{"segmentKey":1,"segmentKeySecretRef":{"name":"n","optional":"x"}}}}}`))
	f.Add([]byte(`{"spec":[]}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		var u unstructured.Unstructured
		if u.UnmarshalJSON(append([]byte(`{"apiVersion":"a/b","kind":"K",`), text...)) == nil {
			konfluxWish(&u) // it does not panic
		}
	})
}
