// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated files")

// api.txt lists what programs that embed the library may rely on, a line each. Lines
// are only ever added: this test writes new ones with -update and never removes one,
// and it refuses a method that is added to an interface which others implement.
// docs/library.md says what that promises.
func TestAPIIsCompatible(t *testing.T) {
	now, err := features(".")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("api.txt")
	if err != nil && !*update {
		t.Fatal(err)
	}
	listed := strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' })
	for _, broken := range incompatible(listed, now) {
		t.Error(broken)
	}
	want := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(listed), now...))))
	if *update {
		if err := os.WriteFile("api.txt", []byte(strings.Join(want, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !slices.Equal(listed, want) {
		t.Error("api.txt lacks what was added: run make generate")
	}
}

// incompatible returns what changed for the worse.
func incompatible(listed, now []string) []string {
	var broken []string
	interfaces := map[string]bool{}
	for _, line := range listed {
		if !slices.Contains(now, line) {
			broken = append(broken, "gone or changed, which breaks programs: "+line)
		}
		if name, _, ok := strings.Cut(line, " interface, "); ok {
			interfaces[name] = true
		}
	}
	for _, line := range now {
		if name, _, ok := strings.Cut(line, " interface, "); ok && interfaces[name] && !slices.Contains(listed, line) {
			broken = append(broken, "added, which breaks programs that implement it: "+line)
		}
	}
	return broken
}

func TestIncompatibleSeesWhatBreaks(t *testing.T) {
	listed := []string{"func A()", "type I interface, M()", "type S struct, F int"}
	for name, tt := range map[string]struct {
		now  []string
		want int
	}{
		"the same":                  {listed, 0},
		"a function and a field":    {append(slices.Clone(listed), "func B()", "type S struct, G int"), 0},
		"an interface":              {append(slices.Clone(listed), "type J interface, M()"), 0},
		"a function less":           {listed[1:], 1},
		"a field of another type":   {[]string{listed[0], listed[1], "type S struct, F string"}, 1},
		"a method to implement":     {append(slices.Clone(listed), "type I interface, N()"), 1},
		"a method of another shape": {[]string{listed[0], "type I interface, M() error", listed[2]}, 2},
	} {
		if got := incompatible(listed, tt.now); len(got) != tt.want {
			t.Errorf("%s: %q, want %d", name, got, tt.want)
		}
	}
}

// features returns the exported API of the package in dir, a line for each name, field
// and method.
func features(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	lines := map[string]bool{}
	files := token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.FileExports(file)
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				receiver := ""
				if d.Recv != nil {
					if receiver = source(files, d.Recv.List[0].Type); !ast.IsExported(strings.TrimLeft(receiver, "*")) {
						continue
					}
					receiver = "(" + receiver + ") "
				}
				generic := source(files, d.Type.TypeParams)
				d.Type.TypeParams = nil
				lines["func "+receiver+d.Name.Name+generic+signature(files, d.Type)] = true
			case *ast.GenDecl:
				var typ ast.Expr
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.ValueSpec:
						if s.Type != nil || len(s.Values) > 0 {
							typ = s.Type
						}
						for _, name := range s.Names {
							lines[strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Tok, name.Name, source(files, typ)))] = true
						}
					case *ast.TypeSpec:
						members(files, s, lines)
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(lines)), nil
}

func members(files *token.FileSet, s *ast.TypeSpec, lines map[string]bool) {
	name := "type " + s.Name.Name + source(files, s.TypeParams)
	kind, fields := "struct", (*ast.FieldList)(nil)
	switch t := s.Type.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		kind, fields = "interface", t.Methods
	default:
		lines[name+" "+source(files, s.Type)] = true
		return
	}
	lines[name+" "+kind] = true
	for _, field := range fields.List {
		for _, member := range field.Names {
			text := " " + source(files, field.Type)
			if kind == "interface" {
				if method, ok := field.Type.(*ast.FuncType); ok {
					text = signature(files, method)
				}
			}
			lines[name+" "+kind+", "+member.Name+text] = true
		}
	}
}

// signature prints parameters and results without their names, which nobody relies on.
func signature(files *token.FileSet, f *ast.FuncType) string {
	for _, list := range []*ast.FieldList{f.Params, f.Results} {
		if list == nil {
			continue
		}
		var unnamed []*ast.Field
		for _, field := range list.List {
			for range max(len(field.Names), 1) {
				unnamed = append(unnamed, &ast.Field{Type: field.Type})
			}
		}
		list.List = unnamed
	}
	return strings.TrimPrefix(source(files, f), "func")
}

// source prints a node on one line; nothing for none.
func source(files *token.FileSet, node any) string {
	var b bytes.Buffer
	if list, ok := node.(*ast.FieldList); ok {
		if list == nil {
			return ""
		}
		for _, f := range list.List {
			fmt.Fprintf(&b, "[%s %s]", f.Names[0].Name, source(files, f.Type))
		}
		return b.String()
	}
	if expression, ok := node.(ast.Expr); node == nil || ok && expression == nil {
		return ""
	}
	if err := printer.Fprint(&b, files, node); err != nil {
		panic(err)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
