// SPDX-License-Identifier: Apache-2.0

package segmentbridge_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/segment-bridge/segment-bridge"

// A rule says what the packages of one folder may not reach, directly or through others. The linter holds direct
// imports; what follows from them is held here. Names are folders of this module or import paths.
type rule struct {
	from   string
	except []string // folders under from that the rule leaves out
	only   []string // when set, what may be reached beside the standard library
	never  []string
	why    string
}

var rules = []rule{
	{from: "telemetry", only: []string{"telemetry"}, why: "who embeds the library inherits no dependency"},
	{from: "extract", never: []string{"transform", "stage", "load", "audit", "operator"}, why: "verbs never import verbs"},
	{from: "extract", except: []string{"extract/kube"}, never: []string{"k8s.io/client-go"}, why: "one source talks to the API server"},
	{from: "extract", except: []string{"extract/results"}, never: []string{"google.golang.org/grpc", "github.com/tektoncd"}, why: "one source talks to Tekton Results"},
	{from: "transform", only: []string{"telemetry", "transform"}, never: []string{"net/http", "os/exec"}, why: "transform is pure"},
	{from: "stage", never: []string{"extract", "transform", "load", "audit", "operator"}, why: "the place knows no verb"},
	{from: "stage", except: []string{"stage/s3", "stage/open"}, never: []string{"github.com/minio"}, why: "one bucket talks to S3"},
	{from: "load", never: []string{"extract", "transform", "audit", "operator"}, why: "verbs never import verbs"},
	{from: "load", never: []string{"k8s.io", "github.com/minio"}, why: "a destination has no business with the cluster or the bucket's protocol"},
	{from: "audit", never: []string{"extract", "transform", "load", "operator"}, why: "an auditor needs the stage alone"},
	{from: "operator", never: []string{"extract", "transform", "load"}, why: "the operator runs the verbs as containers"},
	{from: "cmd/segment-bridge", never: []string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go/kubernetes", "k8s.io/client-go/informers"}, why: "the operator is a program of its own, so that the job's is small"},
}

// wiring is where packages meet: it reaches anything and nothing reaches it.
var wiring = []string{"cmd", "examples", "integration"}

func TestImports(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Deps", "./...")
	list.Stderr = t.Output()
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := map[string][]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Deps       []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		deps[p.ImportPath] = p.Deps
	}
	if _, ok := deps[module+"/telemetry"]; !ok {
		t.Fatalf("go list found %d packages and telemetry is not among them", len(deps))
	}
	for _, v := range violations(deps) {
		t.Error(v)
	}
}

func TestImportsSeesViolations(t *testing.T) {
	tests := map[string]struct {
		pkg, dep string
		bad      bool
	}{
		"library reaches a third party":      {"telemetry/record", "github.com/google/uuid", true},
		"library reaches a verb":             {"telemetry", module + "/load", true},
		"library reaches std":                {"telemetry", "crypto/sha256", false},
		"library reaches std's vendor":       {"telemetry", "vendor/golang.org/x/crypto/chacha20", false},
		"library reaches itself":             {"telemetry", module + "/telemetry/record", false},
		"verb reaches a verb":                {"load/segment", module + "/extract/kube", true},
		"verb reaches the stage":             {"extract", module + "/stage", true},
		"transform reaches the network":      {"transform", "net/http", true},
		"transform reaches a client":         {"transform", "k8s.io/client-go/rest", true},
		"transform prints":                   {"transform", "os", false}, // fmt and log/slog import os
		"a source of files reaches client":   {"extract/dir", "k8s.io/client-go/rest", true},
		"the source of objects reaches it":   {"extract/kube", "k8s.io/client-go/rest", false},
		"a folder whose name only begins so": {"extractor", module + "/load", false},
		"stage reaches minio":                {"stage", "github.com/minio/minio-go/v7", true},
		"stage/s3 reaches minio":             {"stage/s3", "github.com/minio/minio-go/v7", false},
		"the place reaches a verb":           {"stage/file", module + "/load", true},
		"the audit reaches a verb":           {"audit", module + "/load", true},
		"the operator reaches a verb":        {"operator/controller", module + "/extract", true},
		"a package reaches cmd":              {"audit", module + "/cmd/segment-bridge", true},
		"cmd wires":                          {"cmd/segment-bridge", module + "/load", false},
		"the job links the operator":         {"cmd/segment-bridge", "sigs.k8s.io/controller-runtime/pkg/client", true},
		"the job links every kind there is":  {"cmd/segment-bridge", "k8s.io/client-go/kubernetes/scheme", true},
		"the operator links it":              {"cmd/segment-bridge-operator", "sigs.k8s.io/controller-runtime/pkg/client", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := violations(map[string][]string{module + "/" + tt.pkg: {"fmt", tt.dep}})
			if (len(got) == 1) != tt.bad || len(got) > 1 {
				t.Errorf("violations = %q, want one: %t", got, tt.bad)
			}
		})
	}
}

// violations returns one line for each package that reaches what a rule forbids. deps holds, for each package, all that
// it is built from.
func violations(deps map[string][]string) []string {
	var found []string
	for pkg, reached := range deps {
		folder := strings.TrimPrefix(pkg, module+"/")
		for _, dep := range reached {
			for _, r := range rules {
				if r.forbids(folder, dep) {
					found = append(found, fmt.Sprintf("%s reaches %s: %s", folder, dep, r.why))
				}
			}
			if within(dep, wiring...) && !within(pkg, wiring...) {
				found = append(found, fmt.Sprintf("%s reaches %s: nobody imports what wires", folder, dep))
			}
		}
	}
	slices.Sort(found)
	return found
}

func (r rule) forbids(folder, dep string) bool {
	if !within(folder, r.from) || within(folder, r.except...) {
		return false
	}
	return within(dep, r.never...) || r.only != nil && !standard(dep) && !within(dep, r.only...)
}

// within reports whether pkg is one of the folders or lies in one.
func within(pkg string, folders ...string) bool {
	pkg = strings.TrimPrefix(pkg, module+"/")
	return slices.ContainsFunc(folders, func(f string) bool { return pkg == f || strings.HasPrefix(pkg, f+"/") })
}

func standard(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return !strings.Contains(first, ".")
}

// makers matches the functions that make a Pseudonymizer, which is what turns names into pseudonyms.
var makers = regexp.MustCompile(`^New\w*Pseudonymizer$`)

func TestPseudonymizersAreMadeWhereNamesAreRead(t *testing.T) {
	declared, misplaced, err := mentions(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range misplaced {
		t.Errorf("%s: only extract, cmd and examples turn names into pseudonyms", place)
	}
	if len(declared) < 2 {
		t.Errorf("telemetry says %v in %q only: were the functions renamed?", makers, declared)
	}
}

func TestPseudonymizersSeesViolations(t *testing.T) {
	maker := &fstest.MapFile{Data: []byte("package p\nvar p, _ = t.NewKeyedPseudonymizer(cluster, key)\n")}
	declared, misplaced, err := mentions(fstest.MapFS{
		"telemetry/pseudonym.go":      maker,
		"telemetry/record/bad.go":     maker,
		"transform/bad.go":            maker,
		"load/segment/bad.go":         maker,
		"extract/kube/good.go":        maker,
		"cmd/segment-bridge/good.go":  maker,
		"examples/minimal/good.go":    maker,
		"integration/good.go":         maker,
		"transform/good_test.go":      maker,
		"transform/testdata/saved.go": maker,
		"stage/stagetest/good.go":     maker,
		"nested/go.mod":               {},
		"nested/another_module.go":    maker,
	})
	if err != nil {
		t.Fatal(err)
	}
	const place = ":2:14: NewKeyedPseudonymizer"
	if want := []string{"telemetry/pseudonym.go" + place}; !slices.Equal(declared, want) {
		t.Errorf("declared = %q, want %q", declared, want)
	}
	if want := []string{"load/segment/bad.go" + place, "telemetry/record/bad.go" + place, "transform/bad.go" + place}; !slices.Equal(misplaced, want) {
		t.Errorf("misplaced = %q, want %q", misplaced, want)
	}
}

// mentions returns the places that name a maker of Pseudonymizers: in the library, which declares them, and in folders
// that have no business with names. Tests, packages for tests (…test) and nested modules are left out.
func mentions(root fs.FS) (declared, misplaced []string, err error) {
	files := token.NewFileSet()
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, err := fs.Stat(root, path.Join(name, "go.mod"))
			if name != "." && (err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(path.Dir(name), "test") || within(name, "extract", "cmd", "examples", "integration") {
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok || !makers.MatchString(id.Name) {
				return true
			}
			place := fmt.Sprintf("%s: %s", files.Position(id.Pos()), id.Name)
			if path.Dir(name) == "telemetry" {
				declared = append(declared, place)
			} else {
				misplaced = append(misplaced, place)
			}
			return true
		})
		return nil
	})
	return declared, misplaced, err
}
