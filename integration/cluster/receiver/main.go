// SPDX-License-Identifier: Apache-2.0

// Command receiver serves the strict receiver of Segment's API that tests in one process use, to pods.
//
//	receiver ADDRESS [WRITE-KEY...]
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "receiver: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say the address to listen on")
	}
	options := segmenttest.Options{}
	if len(args) > 1 {
		options.Keys = args[1:]
	}
	server := &http.Server{Addr: args[0], Handler: segmenttest.New(options), ReadHeaderTimeout: time.Minute}
	return server.ListenAndServe()
}
