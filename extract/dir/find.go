// SPDX-License-Identifier: Apache-2.0

package dir

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// files are the files to read, below one folder. Nothing leads out of that.
type files struct {
	*os.Root

	names  []string // in the order of a walk
	passed int      // that are of no use
	broken []string // folders that cannot be listed
}

// find finds the files to read: the one at location, or those below it. A link to
// a file is followed if it stays below, a link to a folder is not.
func find(location string) (*files, error) {
	location, err := filepath.EvalSymlinks(location)
	if err != nil {
		return nil, fmt.Errorf("the file or folder %w", unopened(err))
	}
	info, err := os.Stat(location)
	if err != nil {
		return nil, fmt.Errorf("the file or folder %w", unopened(err))
	}
	folder := location
	if !info.IsDir() {
		folder = filepath.Dir(location)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("the folder %w", unopened(err))
	}
	found := &files{Root: root}
	if !info.IsDir() {
		found.add(filepath.Base(location))
		return found, nil
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			found.broken = append(found.broken, fmt.Sprintf("a folder %s", unopened(err)))
			return fs.SkipDir
		case !entry.IsDir():
			found.add(name)
		}
		return nil
	})
	return found, err
}

// add adds a file if it is of use.
func (f *files) add(name string) {
	info, err := f.Stat(name)
	if _, _, known := format(name); !known || err != nil || !info.Mode().IsRegular() {
		f.passed++
		return
	}
	f.names = append(f.names, name)
}

// endings are those of the files that are read; from the fourth on they hold YAML.
var endings = []string{".json", ".ndjson", ".jsonl", ".yaml", ".yml"}

// format tells by its name what a file holds.
func format(name string) (yaml, gzip, known bool) {
	name, gzip = strings.CutSuffix(strings.ToLower(name), ".gz")
	i := slices.Index(endings, path.Ext(name))
	return i >= 3, gzip, i >= 0
}
