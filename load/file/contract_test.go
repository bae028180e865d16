// SPDX-License-Identifier: Apache-2.0

package file_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/segment-bridge/segment-bridge/load/file"
	"github.com/segment-bridge/segment-bridge/load/loadtest"
)

// A stream that can be full.
type stream struct {
	mu   sync.Mutex
	full bool
	text bytes.Buffer
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return 0, errors.New("the disk is full")
	}
	return s.text.Write(b)
}

func (s *stream) fail(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

func (s *stream) messageIDs() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range bytes.Lines(s.text.Bytes()) {
		var call struct{ MessageID string }
		if json.Unmarshal(line, &call) != nil {
			return []string{"not a track call"}
		}
		ids = append(ids, call.MessageID)
	}
	return ids
}

func TestContract(t *testing.T) {
	loadtest.Destination(t, func(*testing.T) *loadtest.World {
		var s stream
		return &loadtest.World{Destination: file.NewStream("stdout", &s), Arrived: s.messageIDs, Fail: s.fail}
	})
}
