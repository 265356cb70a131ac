package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// globalSettings are functions that change how the whole process runs: an operator's
// to decide, by environment variables, and nobody's while it runs.
var globalSettings = map[string][]string{
	"runtime":       {"GOMAXPROCS", "SetDefaultGOMAXPROCS", "SetFinalizer"},
	"runtime/debug": {"SetGCPercent", "SetMemoryLimit", "SetMaxThreads"},
}

// An ordinary process: nothing in it changes what belongs to the operator.
func TestNothingChangesTheProcess(t *testing.T) {
	seen := 0
	walk(t, func(path string, content []byte) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		seen++
		found, err := changes(path, content)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			t.Errorf("%s: %s changes the whole process", path, f)
		}
	}, ".go")
	if seen < 80 {
		t.Errorf("only %d files were looked at", seen)
	}
}

// changes gives the uses of globalSettings in a file. runtime.GOMAXPROCS(0) only
// asks.
func changes(path string, content []byte) (found []string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, content, 0)
	if err != nil {
		return nil, err
	}
	packages := map[string]string{} // import path, by the name that it has in the file
	for _, i := range file.Imports {
		imported, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, err
		}
		if globalSettings[imported] == nil {
			continue
		}
		name := imported[strings.LastIndexByte(imported, '/')+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "." {
			found = append(found, "import . "+i.Path.Value)
		}
		packages[name] = imported
	}
	asks := map[*ast.SelectorExpr]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr: // comes before its Fun
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "GOMAXPROCS" && len(n.Args) == 1 {
				number, ok := n.Args[0].(*ast.BasicLit)
				asks[s] = ok && number.Value == "0"
			}
		case *ast.SelectorExpr:
			of, ok := n.X.(*ast.Ident)
			if ok && slices.Contains(globalSettings[packages[of.Name]], n.Sel.Name) && !asks[n] {
				found = append(found, of.Name+"."+n.Sel.Name)
			}
		}
		return true
	})
	return found, nil
}

func TestChangesAreFound(t *testing.T) {
	const source = `package x
import (
	"runtime"
	gc "runtime/debug"
)
func f(n int) {
	runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(n)
	set := runtime.GOMAXPROCS
	set(2)
	gc.SetGCPercent(400)
	gc.FreeOSMemory()
	debug.SetMemoryLimit(1)
	runtime.SetFinalizer(&n, nil)
}`
	found, err := changes("x.go", []byte(source))
	want := []string{"runtime.GOMAXPROCS", "runtime.GOMAXPROCS", "gc.SetGCPercent", "runtime.SetFinalizer"}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("found %v, %v, want %v", found, err, want)
	}
}
