// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/segment-bridge/segment-bridge/operator/install"
)

// The table in docs/install.md names every object that there can be, and no other.
func TestDocumented(t *testing.T) {
	made := map[string]bool{}
	for _, s := range every() {
		objects, err := install.Objects(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			made[o.GetObjectKind().GroupVersionKind().Kind+" "+o.GetName()] = true
		}
	}
	page, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| ([A-Z]\\w+) \\| `([^`]+)` \\|").FindAllSubmatch(page, -1) {
		told[string(row[1])+" "+string(row[2])] = true
	}
	if got, want := slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(made)); !slices.Equal(got, want) {
		t.Errorf("docs/install.md tells of\n%q, and there are\n%q", got, want)
	}
}
