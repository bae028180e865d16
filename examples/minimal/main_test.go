// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// TestEmbeddingIsShort counts the lines that a controller takes to report.
func TestEmbeddingIsShort(t *testing.T) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "main.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "newReporter" {
			if n := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; n >= 30 {
				t.Errorf("newReporter has %d lines", n)
			}
			return
		}
	}
	t.Error("there is no newReporter")
}
