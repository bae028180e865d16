// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
)

// Semantics says which of the promises of a [Bucket] a store keeps.
//
// Batches are correct where conditions do not hold, since the name of an object is
// made from what is in it: the worst that may be replaced is the same. What
// conditions add is that of two loaders one knows that the other was faster.
// Without the reads and lists a store cannot be a stage.
type Semantics struct {
	// CreateOnly: of many that create one key at the same time, one succeeds.
	CreateOnly bool `json:"createOnly"`
	// IfMatch: of many that replace one version at the same time, one succeeds.
	IfMatch bool `json:"ifMatch"`
	// ReadAfterWrite: what was written is read at once, also over something older.
	ReadAfterWrite bool `json:"readAfterWrite"`
	// ListOrder: what was written is listed at once, in the order of keys.
	ListOrder bool `json:"listOrder"`
	// Delete: objects can be deleted, which nothing but hygiene needs.
	Delete bool `json:"delete"`
}

const (
	probeFolder = "v1/probe/"
	probers     = 32
	// cleanupTime bounds the deletes at the end, which also follow a cancellation.
	cleanupTime = 10 * time.Second
)

// Probe finds out what the store behind a bucket promises, by some 70 small writes
// of new objects under v1/probe/, half of them at the same time: stores that know
// conditions often forget them under concurrency. It deletes what it has written.
// An error means that the store could not be written or read at all.
func Probe(ctx context.Context, b Bucket) (Semantics, error) {
	p := &probe{bucket: b, id: rand.Text()}
	s, err := p.run(ctx)
	deleted := p.clean(ctx)
	if err != nil {
		return Semantics{}, fmt.Errorf("probe store: %w", err)
	}
	s.Delete = deleted
	return s, nil
}

type probe struct {
	bucket  Bucket
	id      string // ends the keys of this probe, so that it does not leave folders of its own
	written []string
}

func (p *probe) run(ctx context.Context) (s Semantics, err error) {
	contested := p.key("contested-")
	created, err := p.contest(ctx, contested, Condition{IfAbsent: true}, fs.ErrExist)
	if err != nil {
		return s, err
	}
	first, tag, err := p.read(ctx, contested)
	if err != nil {
		return s, err
	}
	s.CreateOnly = slices.Equal(created, []string{first})
	replaced, err := p.contest(ctx, contested, Condition{IfMatch: tag}, ErrChanged)
	if err != nil {
		return s, err
	}
	second, _, err := p.read(ctx, contested)
	if err != nil {
		return s, err
	}
	s.IfMatch = slices.Equal(replaced, []string{second})
	if s.ReadAfterWrite, err = p.overwrite(ctx, p.key("replaced-")); err != nil {
		return s, err
	}
	s.ListOrder, err = p.lists(ctx)
	return s, err
}

// key returns a key of the probe, and remembers it for the end.
func (p *probe) key(name string) string {
	key := probeFolder + name + p.id
	p.written = append(p.written, key)
	return key
}

// contest lets many writers write one key at the same time, each a text of its own,
// and returns the texts of those that succeeded. The others fail with lost.
func (p *probe) contest(ctx context.Context, key string, condition Condition, lost error) ([]string, error) {
	texts := make([]string, probers)
	errs := make([]error, probers)
	start := make(chan struct{})
	var writers sync.WaitGroup
	for i := range probers {
		texts[i] = rand.Text()
		writers.Go(func() {
			<-start
			_, errs[i] = p.bucket.Put(ctx, key, strings.NewReader(texts[i]), condition)
		})
	}
	close(start)
	writers.Wait()
	var won []string
	for i, err := range errs {
		switch {
		case err == nil:
			won = append(won, texts[i])
		case !errors.Is(err, lost):
			return nil, err
		}
	}
	return won, nil
}

// overwrite reports whether each of a few versions is read after it was written.
func (p *probe) overwrite(ctx context.Context, key string) (bool, error) {
	for range 3 {
		text := rand.Text()
		if _, err := p.bucket.Put(ctx, key, strings.NewReader(text), Condition{}); err != nil {
			return false, err
		}
		if got, _, err := p.read(ctx, key); err != nil || got != text {
			return false, err
		}
	}
	return true, nil
}

// lists reports whether new objects are listed in the order of their keys, which is
// not that of folders: "-" sorts before "." and that before "/".
func (p *probe) lists(ctx context.Context) (bool, error) {
	keys := []string{p.key("a-"), p.key("a."), p.key("a/"), p.key("a0")}
	for _, key := range slices.Backward(keys) {
		if _, err := p.bucket.Put(ctx, key, strings.NewReader(key), Condition{}); err != nil {
			return false, err
		}
	}
	for i, after := range append([]string{""}, keys...) {
		listed, err := p.list(ctx, "a", after)
		if err != nil {
			return false, err
		}
		if !slices.Equal(listed, keys[i:]) {
			return false, nil
		}
	}
	return true, nil
}

// list returns the keys of this probe in a list.
func (p *probe) list(ctx context.Context, prefix, after string) ([]string, error) {
	var listed []string
	for info, err := range p.bucket.List(ctx, probeFolder+prefix, after) {
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(info.Key, p.id) {
			listed = append(listed, info.Key)
		}
	}
	return listed, nil
}

// read returns an object; nothing when it is not there, which a probe takes for an
// answer and not for an error.
func (p *probe) read(ctx context.Context, key string) (text, tag string, err error) {
	o, err := p.bucket.Open(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	} else if err != nil {
		return "", "", err
	}
	defer o.Close()
	all, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	return string(all), o.Tag(), err
}

// clean deletes what was written and reports whether it is gone.
func (p *probe) clean(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	gone := true
	for _, key := range p.written {
		gone = p.bucket.Delete(ctx, key) == nil && gone
	}
	left, err := p.list(ctx, "", "")
	return gone && err == nil && len(left) == 0
}

const storeKey = "v1/store.json"

// storeRecord is what is written of a store when it is first used.
type storeRecord struct {
	Format    int       `json:"format"`
	Producer  Producer  `json:"producer"`
	Semantics Semantics `json:"semantics"`
}

// FirstUse probes the store and records the result in v1/store.json, unless that has
// been done. It is for the first batch of a cluster: later ones need not ask. The
// record is for those who look at the stage, and nothing depends on it; so what
// goes wrong is logged, and is no reason not to stage.
func (l *Ledger) FirstUse(ctx context.Context) {
	if err := l.firstUse(ctx); err != nil && ctx.Err() == nil {
		l.options.Logger.WarnContext(ctx, "what the store promises could not be found out and recorded: run doctor", "error", err)
	}
}

func (l *Ledger) firstUse(ctx context.Context) error {
	if _, err := l.read(ctx, storeKey); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	found, err := Probe(ctx, l.bucket)
	if err != nil {
		return err
	}
	if found != (Semantics{CreateOnly: true, IfMatch: true, ReadAfterWrite: true, ListOrder: true, Delete: true}) {
		l.options.Logger.WarnContext(ctx, "the store does not keep all that is asked of one: run doctor", "semantics", found)
	}
	text, err := encode(storeRecord{Format, l.producer(), found})
	if err != nil {
		return fmt.Errorf("write store record: %w", err)
	}
	_, err = l.bucket.Put(ctx, storeKey, bytes.NewReader(text), Condition{IfAbsent: true})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write store record: %w", err)
	}
	return nil
}
