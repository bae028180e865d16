// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// readSecret returns a value of a Secret in the job's namespace. The error is fs.ErrNotExist when it is not there.
func (r *reconciler) readSecret(ctx context.Context, name, field string) ([]byte, error) {
	var secret corev1.Secret
	op := "read Secret " + name + " in namespace " + install.Namespace
	if err := r.live.Get(ctx, client.ObjectKey{Namespace: install.Namespace, Name: name}, &secret); err != nil {
		return nil, failed(op, err)
	}
	value, ok := secret.Data[field]
	if !ok {
		return nil, fmt.Errorf("%s: it has no value %q: %w", op, field, fs.ErrNotExist)
	}
	return value, nil
}

// readKey returns the write key that a Secret holds.
func (r *reconciler) readKey(ctx context.Context, ref corev1.SecretKeySelector) (string, error) {
	key, err := r.readSecret(ctx, ref.Name, ref.Key)
	return string(key), err
}

// The reasons for which names cannot be hidden.
const (
	reasonPseudonymKeyLost       = "PseudonymKeyLost"
	reasonPseudonymKeyInvalid    = "PseudonymKeyInvalid"
	reasonPseudonymKeyUnreadable = "PseudonymKeyUnreadable"
	reasonPseudonymKeyMade       = "PseudonymKeyMade"
	reasonPseudonymKeyChanged    = "PseudonymKeyChanged"
)

// pseudonymKey makes sure that there is a key for scheme HMAC. It makes one once: a key that was there and is gone has to
// come back from a backup, for under another no name can be compared with what is staged.
func (r *reconciler) pseudonymKey(ctx context.Context, bridge *v1alpha1.SegmentBridge, status *v1alpha1.SegmentBridgeStatus) error {
	found, err := r.readSecret(ctx, install.PseudonymKeySecret, install.PseudonymKeyKey)
	switch {
	case errors.Is(err, fs.ErrNotExist) && status.PseudonymKeyID != "":
		return blocked(reasonPseudonymKeyLost, fmt.Errorf("the pseudonym key %s is gone: restore Secret %s in namespace %s; to begin with another key instead, and with other pseudonyms for all names, switch telemetry off and on",
			status.PseudonymKeyID, install.PseudonymKeySecret, install.Namespace))
	case errors.Is(err, fs.ErrNotExist):
		if found, err = r.makePseudonymKey(ctx); err != nil {
			return err
		}
		r.event(bridge, corev1.EventTypeNormal, reasonPseudonymKeyMade, "MakeKey",
			"made the pseudonym key %s in Secret %s: keep a backup of it", telemetry.KeyID(found), install.PseudonymKeySecret)
	case err != nil:
		return blocked(reasonPseudonymKeyUnreadable, err)
	}
	if len(found) < telemetry.MinKeyBytes {
		return blocked(reasonPseudonymKeyInvalid, fmt.Errorf("the pseudonym key in Secret %s has %d bytes: it needs %d random ones", install.PseudonymKeySecret, len(found), telemetry.MinKeyBytes))
	}
	if id := telemetry.KeyID(found); id != status.PseudonymKeyID {
		if status.PseudonymKeyID != "" {
			r.event(bridge, corev1.EventTypeWarning, reasonPseudonymKeyChanged, "ReadKey",
				"somebody replaced the pseudonym key %s by %s: names have other pseudonyms from now on", status.PseudonymKeyID, id)
		}
		status.PseudonymKeyID = id
	}
	return nil
}

// makePseudonymKey makes a key, or returns the one that somebody made at the same time.
func (r *reconciler) makePseudonymKey(ctx context.Context) ([]byte, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	labels := install.Labels()
	labels[ownerLabel] = ownerValue
	err := r.client.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: install.Namespace, Name: install.PseudonymKeySecret, Labels: labels},
		Type:       corev1.SecretTypeOpaque, Data: map[string][]byte{install.PseudonymKeyKey: key},
	}, client.FieldOwner(Name))
	if apierrors.IsAlreadyExists(err) {
		return r.readSecret(ctx, install.PseudonymKeySecret, install.PseudonymKeyKey)
	}
	return key, failed("make Secret "+install.PseudonymKeySecret, err)
}
