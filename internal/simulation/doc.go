// SPDX-License-Identifier: Apache-2.0

// Package simulation runs the hourly job through days of a model cluster in which
// everything that may go wrong does, over and over, each time from another seed.
//
// The model knows the whole life of every object, so that what anyone may see of
// it is a function of time, and what the stage must hold in the end follows from
// what the job could see. Time is a number that operations move on. Deliveries to
// Segment wait by the clock; they run in a bubble of testing/synctest, where waiting takes no time.
//
// A seed decides everything. One that fails is run again by its number:
//
//	go test ./internal/simulation -run TestSimulation -seed N
package simulation
