// SPDX-License-Identifier: Apache-2.0

// Package file is a bucket in a folder: on a laptop, or on a volume.
//
// The folder may be on a network file system if that has hard links and locks
// (NFS 4 has). Keys are paths below the folder, so "a" and "a/b" cannot both be
// there.
package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/segment-bridge/segment-bridge/stage"
)

var _ stage.Bucket = (*Bucket)(nil)

// Names that begin with a dot are no keys.
const (
	tempPattern = ".tmp-*"
	lockName    = ".lock"
)

// A Bucket keeps objects as files.
type Bucket struct{ root string }

// New returns the bucket in the folder, which is made when something is written.
func New(folder string) *Bucket { return &Bucket{root: folder} }

func (b *Bucket) path(ctx context.Context, key string) (string, error) {
	if err := errors.Join(ctx.Err(), stage.CheckKey(key)); err != nil {
		return "", err
	}
	return filepath.Join(b.root, filepath.FromSlash(key)), nil
}

// Open implements [stage.Bucket].
func (b *Bucket) Open(ctx context.Context, key string) (stage.Object, error) {
	path, err := b.path(ctx, key)
	if err != nil {
		return nil, err
	}
	return openFile(path, key)
}

func openFile(path, key string) (*object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, failed("open", key, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, errors.Join(failed("open", key, err), f.Close())
	}
	return &object{File: f, size: info.Size()}, nil
}

// Put implements [stage.Bucket]. The object is on the disk, name and all, when Put
// returns.
func (b *Bucket) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	path, err := b.path(ctx, key)
	if err != nil {
		return "", err
	}
	folder := filepath.Dir(path)
	if err := makeFolders(folder); err != nil {
		return "", failed("put", key, err)
	}
	// The whole content reaches the disk under a name that is not listed, then takes
	// its own name at once.
	temp, err := os.CreateTemp(folder, tempPattern)
	if err != nil {
		return "", failed("put", key, err)
	}
	// After a rename it is gone already.
	defer os.Remove(temp.Name())
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(temp, sum), reader{ctx, body})
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return "", failed("put", key, err)
	}
	if condition.IfAbsent {
		err = os.Link(temp.Name(), path) // fails when the name is taken
	} else {
		err = b.replace(temp.Name(), path, key, condition.IfMatch)
	}
	if err != nil {
		return "", failed("put", key, err)
	}
	if err := syncFolder(folder); err != nil {
		return "", failed("put", key, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// replace renames temp to path, if what is there has the tag; "" is any. A lock
// keeps the check and the rename together.
func (b *Bucket) replace(temp, path, key, tag string) error {
	unlock, err := b.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if tag != "" {
		current, err := openFile(path, key)
		if errors.Is(err, fs.ErrNotExist) {
			return stage.ErrChanged
		} else if err != nil {
			return err
		}
		defer current.Close()
		if current.Tag() != tag {
			return stage.ErrChanged
		}
	}
	return os.Rename(temp, path)
}

// Delete implements [stage.Bucket].
func (b *Bucket) Delete(ctx context.Context, key string) error {
	path, err := b.path(ctx, key)
	if err != nil {
		return err
	}
	o, err := openFile(path, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer o.Close()
	unlock, err := b.lock()
	if err != nil {
		return failed("delete", key, err)
	}
	defer unlock()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("delete", key, err)
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return failed("delete", key, err)
	}
	return nil
}

// lock takes the lock of the bucket; the system drops it when the process ends.
func (b *Bucket) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(b.root, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // closing drops the lock
}

// List implements [stage.Bucket]. It holds the names of one folder, and of those
// above it, in memory.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[stage.ObjectInfo, error] {
	return func(yield func(stage.ObjectInfo, error) bool) {
		w := walk{ctx: ctx, root: b.root, prefix: prefix, after: after, yield: yield}
		if err := w.folder(""); err != nil && !errors.Is(err, errStop) {
			yield(stage.ObjectInfo{}, err)
		}
	}
}

// errStop ends a walk whose caller has had enough.
var errStop = errors.New("stop")

type walk struct {
	ctx                 context.Context //nolint:containedctx // a walk lives as long as the call of List
	root, prefix, after string
	yield               func(stage.ObjectInfo, error) bool
}

// folder lists a folder; at is its key with a slash at the end, or "".
func (w *walk) folder(at string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(w.root, filepath.FromSlash(at)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // an empty bucket, or deleted since
	} else if err != nil {
		return failed("list", at, err)
	}
	keys := make([]string, 0, len(entries))
	for _, e := range entries {
		key := at + e.Name()
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			keys = append(keys, key+"/") // sorts as what is in it
		case e.Type().IsRegular():
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if err := w.entry(key); err != nil {
			return err
		}
	}
	return nil
}

// entry lists a file, or a folder if its key ends in a slash.
func (w *walk) entry(key string) error {
	if strings.HasSuffix(key, "/") {
		// All below has the key as prefix: look only if that can matter.
		outside := !strings.HasPrefix(key, w.prefix) && !strings.HasPrefix(w.prefix, key)
		before := key <= w.after && !strings.HasPrefix(w.after, key)
		if outside || before {
			return nil
		}
		return w.folder(key)
	}
	if !strings.HasPrefix(key, w.prefix) || key <= w.after {
		return nil
	}
	info, err := os.Lstat(filepath.Join(w.root, filepath.FromSlash(key)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted since
	} else if err != nil {
		return failed("list", key, err)
	}
	if !w.yield(stage.ObjectInfo{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil) {
		return errStop
	}
	return nil
}

// makeFolders makes a folder and those above it, durably.
func makeFolders(folder string) error {
	if info, err := os.Stat(folder); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(folder)
	if parent == folder {
		return fs.ErrNotExist
	}
	if err := makeFolders(parent); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(parent)
}

// syncFolder makes the names in a folder durable.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// failed names the key and keeps the cause, which names no path.
func failed(op, key string, err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	if errors.Is(err, syscall.ENOTDIR) {
		err = fs.ErrNotExist // the key of an object is taken for a folder
	}
	return fmt.Errorf("%s object %s: %w", op, key, err)
}

// An object is an opened file.
type object struct {
	*os.File
	size int64
}

// Size implements [stage.Object].
func (o *object) Size() int64 { return o.size }

// Tag implements [stage.Object]: the SHA-256 of the content, which is read for it.
func (o *object) Tag() string {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(o.File, 0, o.size)); err != nil {
		return "unreadable" // which is the tag of nothing
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// A reader stops when its context is done.
type reader struct {
	ctx context.Context //nolint:containedctx // a reader lives as long as the call of Put
	r   io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}
