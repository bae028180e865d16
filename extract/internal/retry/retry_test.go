// SPDX-License-Identifier: Apache-2.0

package retry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var (
	errBusy  = errors.New("busy")
	errFinal = errors.New("final")
)

func TestDo(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []error
		timeout time.Duration
		tries   int
		want    error
	}{
		{"success at once", []error{nil}, time.Hour, 1, nil},
		{"success at last", []error{errBusy, errBusy, errBusy, nil}, time.Hour, 4, nil},
		{"never", []error{errBusy, errBusy, errBusy, errBusy, nil}, time.Hour, 4, errBusy},
		{"for good", []error{errBusy, errFinal, nil}, time.Hour, 2, errFinal},
		// The first pause ends after a second at most, the second after one and a half at least.
		{"no time left", []error{errBusy, errBusy, errBusy, nil}, 1200 * time.Millisecond, 2, context.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
				defer cancel()
				tries, start := 0, time.Now()
				err := Default.Do(ctx, func(err error) bool { return errors.Is(err, errBusy) }, func() error {
					tries++
					return test.answers[tries-1]
				})
				if !errors.Is(err, test.want) || tries != test.tries {
					t.Errorf("Do = %v after %d tries, want %v after %d", err, tries, test.want, test.tries)
				}
				// The pauses are 1, 2 and 4 seconds, less at most half.
				longest := time.Duration(1<<(tries-1)-1) * time.Second
				if took := time.Since(start); test.timeout == time.Hour && (took > longest || took < longest/2) {
					t.Errorf("%d tries took %v, want between %v and %v", tries, took, longest/2, longest)
				}
			})
		})
	}
}
