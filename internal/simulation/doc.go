// SPDX-License-Identifier: Apache-2.0

// Package simulation runs the hourly job through days of a model cluster in which
// everything that may go wrong does, over and over, each time from another seed.
//
// The model knows the whole life of every object, so that what anyone may see of
// it is a function of time, and what the stage must hold in the end follows from
// what the job could see. Time is a number that operations move on. Deliveries to
// Segment wait by the clock; they run in a bubble of testing/synctest, where
// waiting takes no time.
//
// The job is accountable for what it could see in a source that it read to its end,
// unless the source showed it for the first time long after it happened: an archive
// that stores runs when they are done does not tell in time that they began. Such
// events are counted as late where no other source helped.
//
// A seed decides everything. One that fails is run again by its number:
//
//	go test ./internal/simulation -run TestSimulation -seed N
package simulation
