// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// rereadAfter is how old what was read from a token file may get. Kubernetes renews
// the tokens in its files many minutes before they expire.
const rereadAfter = time.Minute

// A bearer gives the token to send. It is safe for concurrent use.
type bearer struct {
	file string

	mutex sync.Mutex
	token string
	since time.Time // when file was read
}

func newBearer(config Config) *bearer {
	b := &bearer{file: config.TokenFile}
	if config.Token != nil {
		b.token = config.Token.Reveal()
	}
	return b
}

// header returns the value of the authorization header; empty for none.
func (b *bearer) header() (string, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.file != "" && (b.token == "" || time.Since(b.since) >= rereadAfter) {
		if err := b.read(); err != nil {
			return "", err
		}
	}
	if b.token == "" {
		return "", nil
	}
	return "Bearer " + b.token, nil
}

// renewed reads the file again, since the server refused the token, and reports
// whether there is another token now.
func (b *bearer) renewed() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	refused := b.token
	return b.file != "" && b.read() == nil && b.token != refused
}

func (b *bearer) read() error {
	text, err := os.ReadFile(b.file)
	if err != nil {
		return fmt.Errorf("read the token file: %w", err)
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return errors.New("read the token file: it is empty")
	}
	b.token, b.since = string(text), time.Now()
	return nil
}
