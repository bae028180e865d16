// SPDX-License-Identifier: Apache-2.0

//go:build !race

package simulation

// defaultSeeds is how many seeds a test runs.
const defaultSeeds = 10_000
