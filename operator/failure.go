// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"errors"
	"io/fs"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// A failure says in our own words why a request to the API server failed: what servers write in their errors may hold
// names, and failures end in conditions, events and logs. The cause is kept for errors.Is and errors.As and not printed.
type failure struct {
	op  string // what was tried, such as "apply CronJob segment-bridge"
	err error
}

// failed returns nil for no error.
func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return &failure{op, err}
}

func (f *failure) Error() string { return f.op + ": " + f.why() }

func (f *failure) Unwrap() error { return f.err }

// Is makes the error [fs.ErrNotExist] and [fs.ErrPermission] when the server said so.
func (f *failure) Is(target error) bool {
	return target == fs.ErrNotExist && apierrors.IsNotFound(f.err) ||
		target == fs.ErrPermission && apierrors.IsForbidden(f.err)
}

func (f *failure) why() string {
	switch err := f.err; {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return "its namespace is being deleted: wait until it is gone"
	case apierrors.IsForbidden(err):
		return "the operator's account may not: compare its roles with deploy/operator/rbac.yaml"
	case apierrors.IsUnauthorized(err):
		return "the API server does not know the operator's account"
	case apierrors.IsNotFound(err):
		return "it does not exist, or its kind does not"
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return "another wrote at the same time; this is tried again"
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return "the API server refuses it: it asks for what cannot be changed in place or is not allowed here"
	case apierrors.ReasonForError(err) == "":
		return "the API server was not reached; this is tried again"
	default:
		return "the API server could not; this is tried again"
	}
}

// A problem stands between the resource and what it asks for. Its reason is a word for conditions and events.
type problem struct {
	reason string
	err    error
}

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

// blocked returns err with a reason; an error that has one keeps it.
func blocked(reason string, err error) error {
	if _, has := errors.AsType[*problem](err); has || err == nil {
		return err
	}
	return &problem{reason, err}
}
