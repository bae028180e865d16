// SPDX-License-Identifier: Apache-2.0

//go:build !race

package crash

// defaultKills is the most kills in an execution.
const defaultKills = 2
