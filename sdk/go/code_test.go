package gannet

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"strconv"
	"testing"

	"gannet/protocol"
)

// constants gives the constants of a type that a file declares with their values.
func constants(t *testing.T, file, of string) map[string]uint64 {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]uint64)
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if name, ok := v.Type.(*ast.Ident); !ok || name.Name != of {
			return true
		}
		if number, ok := v.Values[0].(*ast.BasicLit); ok && number.Kind == token.INT {
			value, err := strconv.ParseUint(number.Value, 0, 64)
			if err != nil {
				t.Error(err)
			}
			found[v.Names[0].Name] = value
		}
		return true
	})
	return found
}

// The names of the SDK are those of the protocol, so that nobody needs its package.
func TestNamesOfTheProtocol(t *testing.T) {
	for _, test := range []struct{ file, of, theirs string }{
		{"code.go", "Code", "codes_gen.go"},
		{"message.go", "Kind", "frames_gen.go"},
		{"message.go", "Content", "frames_gen.go"},
		{"options.go", "Platform", "frames_gen.go"},
	} {
		ours, theirs := constants(t, test.file, test.of), constants(t, "../../protocol/"+test.theirs, test.of)
		delete(theirs, "KindNone") // the zero Target
		if !maps.Equal(ours, theirs) || len(ours) == 0 {
			t.Errorf("%s: %v, want %v", test.of, ours, theirs)
		}
	}
}

func TestErrorsAreFoundByTheirCode(t *testing.T) {
	err := fmt.Errorf("the app says: %w", failure(protocol.Failure{Code: protocol.CodeBadTarget, Text: []byte("who?")}.AppendError(nil, 1)[protocol.HeaderSize:]))
	var e *Error
	var code Code
	if !errors.Is(err, CodeBadTarget) || errors.Is(err, CodeBusy) || !errors.As(err, &e) || !errors.As(err, &code) || code != CodeBadTarget || e.Text != "who?" {
		t.Errorf("%v", err)
	}
	if text := e.Error(); text != "gannet: bad_target: who?" {
		t.Errorf("it says %q", text)
	}
	if text := (&Error{Code: 3999}).Error(); text != "gannet: code 3999" {
		t.Errorf("an unknown code says %q", text)
	}
	if text := (&Error{Code: CodeBusy}).Error(); text != CodeBusy.Error() || CodeBusy.String() != "busy" {
		t.Errorf("a code without a text says %q", text)
	}
}
