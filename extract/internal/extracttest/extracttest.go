// SPDX-License-Identifier: Apache-2.0

// Package extracttest has what the tests of the sources share.
package extracttest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/extract"
)

// Secret is a name that must not come out: the servers of the tests put it into every answer.
const Secret = "acme-secret-team"

// CheckError checks that err is an [extract.Error] with the outcome, says hint, and holds
// nothing that the server wrote. Without an outcome there must be no error.
func CheckError(t *testing.T, err error, outcome, hint string) {
	t.Helper()
	if outcome == "" {
		if err != nil {
			t.Errorf("error is %v, want none", err)
		}
		return
	}
	e, ok := errors.AsType[*extract.Error](err)
	if !ok {
		t.Fatalf("error is %v, want an *extract.Error", err)
	}
	if e.Outcome.String() != outcome || !strings.Contains(e.Error(), hint) {
		t.Errorf("error is %q, want outcome %s with %q", e, outcome, hint)
	}
	if strings.Contains(e.Error(), Secret) || strings.Contains(e.Error(), "127.0.0.1") {
		t.Errorf("error %q holds what is not ours", e)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %q counts as the end of the caller's time", e)
	}
}
