// SPDX-License-Identifier: Apache-2.0

// Package crash kills the hourly job before and after every one of its side
// effects, and in its recovery again, and checks that nothing is lost and nothing
// happens twice. It has tests alone.
//
// A process is the real job over instrumented seams. At the chosen point the seam
// reports an error and the process is dead: its context ends, and whatever it
// still tries is refused and leaves no trace. What outlives it is a world: the
// bucket, the folder of the pod, and what the receiver took. Worlds that are equal
// have equal futures, so each is explored once, however many kills lead to it.
package crash
