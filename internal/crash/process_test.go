// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/internal/jobtest"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

var errKilled = errors.New("the process was killed")

// A point is a moment at which a process can be killed.
type point struct{ when, op, key string }

// String is the point with a pattern in place of its key.
func (p point) String() string {
	return strings.TrimSpace(p.when + " " + p.op + " " + pattern(p.key))
}

// effect is the side effect that the point belongs to.
func (p point) effect() string {
	if p.when == "within" {
		return p.op + " spool"
	}
	return p.op + " " + pattern(p.key)
}

var variable = []struct {
	expression *regexp.Regexp
	name       string
}{
	{regexp.MustCompile(`cluster=[0-9a-f]{12}`), "cluster=CLUSTER"},
	{regexp.MustCompile(`\d{8}T\d{6}Z-[0-9a-f]{16}`), "BATCH"},
	{regexp.MustCompile(`\d{8}T\d{6}Z-merged-[0-9a-f]{16}`), "MERGED"},
	{regexp.MustCompile(`date=\d{4}-\d{2}-\d{2}`), "date=DATE"},
	{regexp.MustCompile(`\.[0-9a-f]{16}\.`), ".HASH."},
}

func pattern(key string) string {
	for _, v := range variable {
		key = v.expression.ReplaceAllString(key, v.name)
	}
	return key
}

// A process is the seams of a job: a [stage.Bucket] and a [http.RoundTripper]. It
// keeps the world as it is at every point, and dies at one of them if told to.
type process struct {
	dir      string
	receiver *segmenttest.Receiver
	cancel   context.CancelFunc

	mu     sync.Mutex
	world  *world // now
	points []point
	worlds []*world // at each point
	kill   int      // the point to die at; negative means none
	dead   bool
	// sleep, unless nil, is told of each point that is passed, and may take its time.
	sleep func(i int)
	slept time.Duration
	// written are the objects that the process put, or found when it tried to.
	written map[string]bool
	// changes counts what it changed in the bucket, requests what it sent.
	changes, requests int
	faults            []string
}

// killed passes a point and reports whether the process is dead.
func (p *process) killed(when, op, key string) bool {
	dead := p.pass(when, op, key)
	if !dead && p.sleep != nil {
		p.sleep(len(p.points) - 1)
	}
	return dead
}

func (p *process) pass(when, op, key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return true
	}
	if p.dead = len(p.points) == p.kill; p.dead {
		p.cancel()
	}
	p.points = append(p.points, point{when, op, key})
	p.worlds = append(p.worlds, p.world)
	return p.dead
}

// change makes another world the present one.
func (p *process) change(f func(w *world)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := *p.world
	f(&next)
	p.world = &next
}

// effect does something with a point before and a point after it.
func (p *process) effect(op, key string, do func() error) error {
	if p.killed("before", op, key) {
		return errKilled
	}
	err := do()
	if p.killed("after", op, key) {
		return errKilled
	}
	return err
}

// Open implements [stage.Bucket].
func (p *process) Open(ctx context.Context, key string) (object stage.Object, err error) {
	err = p.effect("open", key, func() error {
		p.checkRead(key)
		object, err = p.world.bucket.Open(context.WithoutCancel(ctx), key)
		return err
	})
	return object, err
}

// Put implements [stage.Bucket].
func (p *process) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (tag string, err error) {
	err = p.effect("put", key, func() error {
		layer := mem.Over(p.world.bucket)
		tag, err = layer.Put(context.WithoutCancel(ctx), key, body, condition)
		if err == nil {
			p.changes++
			p.change(func(w *world) { w.bucket = layer })
		}
		if err == nil || errors.Is(err, fs.ErrExist) {
			p.written[key] = true
		}
		return err
	})
	return tag, err
}

// Delete implements [stage.Bucket].
func (p *process) Delete(ctx context.Context, key string) error {
	return p.effect("delete", key, func() error {
		p.changes++
		layer := mem.Over(p.world.bucket)
		p.change(func(w *world) { w.bucket = layer })
		return layer.Delete(context.WithoutCancel(ctx), key)
	})
}

// List implements [stage.Bucket].
func (p *process) List(ctx context.Context, prefix, after string) iter.Seq2[stage.ObjectInfo, error] {
	return func(yield func(stage.ObjectInfo, error) bool) {
		if p.killed("before", "list", prefix) {
			yield(stage.ObjectInfo{}, errKilled)
			return
		}
		for info, err := range p.world.bucket.List(ctx, prefix, after) {
			if !yield(info, err) || err != nil {
				return
			}
		}
		if p.killed("after", "list", prefix) {
			yield(stage.ObjectInfo{}, errKilled)
		}
	}
}

// checkRead notes when data is read that no manifest names: only the process that
// is about to commit it may.
func (p *process) checkRead(key string) {
	if !strings.HasPrefix(key, eventFolder) || p.written[key] {
		return
	}
	if named, err := namedFiles(context.Background(), p.world.bucket); err != nil || !named[key] {
		p.faults = append(p.faults, fmt.Sprintf("%s was read and no manifest names it (%v)", pattern(key), err))
	}
}

// RoundTrip implements [http.RoundTripper].
func (p *process) RoundTrip(req *http.Request) (response *http.Response, err error) {
	err = p.effect("send", req.Method+" "+req.URL.Path, func() error {
		p.requests++
		before := len(p.receiver.Events())
		response, err = p.receiver.RoundTrip(req.WithContext(context.WithoutCancel(req.Context()))) //nolint:bodyclose // the job closes it
		if taken := p.receiver.Events()[before:]; len(taken) > 0 {
			p.change(func(w *world) { w.send(taken) })
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// wait is waiting that takes no time.
func (p *process) wait(context.Context, time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errKilled
	}
	return nil
}

// now is the time, as far as it matters: it passes while the process sleeps.
func (p *process) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Time{}.Add(p.slept)
}

// A source is read at a cost of one point before and one after.
type source struct {
	extract.Source
	process *process
}

// Extract implements [extract.Source].
func (s source) Extract(ctx context.Context, w record.Window, stats *extract.Stats, emit func(record.Record) error) error {
	return s.process.effect("read", s.Name().String(), func() error { return s.Source.Extract(ctx, w, stats, emit) })
}

// create is [jobtest.Job.Create].
func (p *process) create(dir string) (s jobtest.Spool, err error) {
	err = p.file("create", func() error {
		folder := maps.Clone(p.world.folder)
		delete(folder, reportFile)
		if err := p.within("create", "no report", folder); err != nil {
			return err
		}
		s, err = record.Create(dir)
		return err
	})
	return &spool{s, p}, err
}

// within passes a point at which the files are like that.
func (p *process) within(op, name string, folder map[string][]byte) error {
	p.change(func(w *world) { w.folder = folder })
	if p.killed("within", op, name) {
		return errors.Join(errKilled, restore(p.dir, folder))
	}
	return nil
}

// file does something to the files of the spool.
func (p *process) file(op string, do func() error) error {
	return p.effect(op, "spool", func() error {
		if err := do(); err != nil {
			return err
		}
		folder, err := files(p.dir)
		if err == nil && !maps.EqualFunc(folder, p.world.folder, bytes.Equal) {
			p.change(func(w *world) { w.folder = folder })
		}
		return err
	})
}

type spool struct {
	jobtest.Spool
	process *process
}

func (s *spool) Write(r record.Record) error {
	return s.process.file("write", func() error { return s.Spool.Write(r) })
}

func (s *spool) Commit(report record.Report) error {
	p := s.process
	return p.file("commit", func() error {
		if err := s.Spool.Commit(report); err != nil {
			return err
		}
		done, err := files(p.dir)
		if err != nil {
			return err
		}
		for _, cut := range cuts {
			folder := maps.Clone(done)
			cut.make(folder)
			if err := p.within("commit", cut.name, folder); err != nil {
				return err
			}
		}
		return nil
	})
}

// The files of a spool.
const (
	recordsFile = "spool/records.ndjson.gz"
	reportFile  = "spool/report.json"
)

// A cut is a point within the commit of a spool, which has no seam there: what the
// files are like at that moment is made from what they are in the end.
type cut struct {
	name string
	make func(files map[string][]byte)
}

// cuts are in the order of the commit.
var cuts = []cut{
	{"half of the records", func(files map[string][]byte) {
		files[recordsFile] = half(files[recordsFile])
		delete(files, reportFile)
	}},
	{"no report", func(files map[string][]byte) { delete(files, reportFile) }},
	{"start of the report", func(files map[string][]byte) {
		files[reportFile+".tmp"] = files[reportFile][:9] // the rest may be of any length
		delete(files, reportFile)
	}},
	{"report not renamed", func(files map[string][]byte) {
		files[reportFile+".tmp"] = files[reportFile]
		delete(files, reportFile)
	}},
}

func half(text []byte) []byte { return text[:len(text)/2] }

// files returns the content of the files below dir by their path.
func files(dir string) (map[string][]byte, error) {
	found := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		found[name], err = os.ReadFile(path)
		return err
	})
	return found, err
}

// restore makes the folder hold exactly those files.
func restore(dir string, want map[string][]byte) error {
	have, err := files(dir)
	if err != nil {
		return err
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for name, text := range want {
		if bytes.Equal(have[name], text) {
			continue
		}
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600)); err != nil {
			return err
		}
	}
	return nil
}
