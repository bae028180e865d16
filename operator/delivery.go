// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

// A wish is what somebody asked for as to the destination. It holds a write key: it is never printed.
type wish struct {
	key    string
	secret *corev1.SecretKeySelector
	url    string
}

// konfluxWish reads spec.telemetry.spec of a Konflux resource, and nothing else of it.
func konfluxWish(konflux *unstructured.Unstructured) wish {
	text := func(fields ...string) string {
		value, _, _ := unstructured.NestedString(konflux.Object, append([]string{"spec", "telemetry", "spec"}, fields...)...)
		return value
	}
	w := wish{key: text("segmentKey"), url: text("segmentAPIURL")}
	if name := text("segmentKeySecretRef", "name"); name != "" {
		w.secret = &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: text("segmentKeySecretRef", "key")}
		if optional, found, err := unstructured.NestedBool(konflux.Object, "spec", "telemetry", "spec", "segmentKeySecretRef", "optional"); found && err == nil {
			w.secret.Optional = &optional
		}
	}
	return w
}

func specWish(s v1alpha1.Segment) wish {
	return wish{key: s.WriteKey, secret: s.WriteKeySecretRef, url: s.URL}
}

// A delivery is the destination that counts. It holds the write key: it is never printed.
type delivery struct {
	key, url string
	// missing says why nothing is delivered, or nothing of what was asked for; nil when all is well.
	missing *problem
}

// The reasons why nothing is delivered.
const (
	reasonNoWriteKey         = "NoWriteKey"
	reasonWriteKeyMissing    = "WriteKeyMissing"
	reasonWriteKeyUnreadable = "WriteKeyUnreadable"
	reasonInvalidURL         = "InvalidURL"
)

// resolve returns the destination: that of the first wish that names a key, else the key that is built in. A wish is for
// a key written out, before one in a Secret. A Secret that is not there is no reason to send under another's
// key, unless it is optional. Each wish's URL counts alone, for a URL without a key is a server with the built-in one.
// The error is that a Secret could not be read, which says nothing of what is in it.
func resolve(ctx context.Context, read func(context.Context, corev1.SecretKeySelector) (string, error), builtIn string, wishes ...wish) (delivery, error) {
	var d delivery
	var err error
	if d.url, err = endpoint(wishes); err != nil {
		// An address that is wrong is no reason to send elsewhere.
		d.missing = &problem{reasonInvalidURL, fmt.Errorf("events are staged and not delivered: %w", err)}
		return d, nil
	}
	for _, w := range wishes {
		if d.key = strings.TrimSpace(w.key); d.key != "" {
			return d, nil
		}
		if w.secret == nil {
			continue
		}
		key, err := read(ctx, *w.secret)
		if d.key = strings.TrimSpace(key); d.key != "" {
			return d, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return delivery{}, blocked(reasonWriteKeyUnreadable, err)
		}
		if w.secret.Optional == nil || !*w.secret.Optional {
			d.missing = &problem{reasonWriteKeyMissing, fmt.Errorf("events are staged and not delivered: create Secret %s in namespace %s with the write key under %q", w.secret.Name, install.Namespace, w.secret.Key)}
			return d, nil
		}
	}
	if d.key = builtIn; d.key == "" {
		d.missing = &problem{reasonNoWriteKey, errors.New("events are staged and not delivered: there is no write key; set spec.segment.writeKeySecretRef, or spec.telemetry.spec of the Konflux resource")}
	}
	return d, nil
}

// endpoint returns the first address that a wish has, as https://host/path before /v1; "" is Segment itself.
func endpoint(wishes []wish) (string, error) {
	for _, w := range wishes {
		if strings.TrimSpace(w.url) != "" {
			return base(w.url)
		}
	}
	return "", nil
}

// base returns the address before /v1. People write it in many ways: with or without a scheme (https then), /v1, /batch
// and slashes. The error does not repeat it, for it may hold a password.
func base(address string) (string, error) {
	address = strings.TrimSpace(address)
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "":
		return "", errors.New("the address of Segment is not a URL: write one such as https://api.segment.io")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("the address of Segment has an unknown scheme: write an https URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("the address of Segment holds more than host and path: leave user, query and fragment out")
	}
	path := u.EscapedPath()
	for _, end := range []string{"", "/batch", "/v1"} {
		path = strings.TrimRight(strings.TrimSuffix(path, end), "/")
	}
	return u.Scheme + "://" + u.Host + path, nil
}
