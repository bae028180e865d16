// SPDX-License-Identifier: Apache-2.0

package load

import "github.com/segment-bridge/segment-bridge/load/secret"

// A Secret is a write key or a token, and does not show. Destinations that are embedded elsewhere import
// package secret alone: this one brings the stage along.
type Secret = secret.Secret

// NewSecret hides text.
func NewSecret(text string) Secret { return secret.New(text) }
