// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"fmt"
	"testing"

	"github.com/segment-bridge/segment-bridge/load/secret"
)

func ExampleSecret() {
	token := secret.New("hunter2")
	fmt.Printf("%v %q %+v\n", token, token, struct{ Token secret.Secret }{token})
	fmt.Println(token.Reveal())
	// Output:
	// [redacted] [redacted] {Token:[redacted]}
	// hunter2
}

func TestZeroSecretIsEmpty(t *testing.T) {
	if (secret.Secret{}).Reveal() != "" {
		t.Error("it is not")
	}
}
