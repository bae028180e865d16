// SPDX-License-Identifier: Apache-2.0

//go:build race

package simulation

// defaultSeeds is how many seeds a test runs; the race detector slows them down.
const defaultSeeds = 150
