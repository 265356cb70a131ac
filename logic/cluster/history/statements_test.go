package history

import (
	"slices"
	"testing"
)

func TestEmbeddedMigrations(t *testing.T) {
	steps, err := migrations()
	if err != nil || len(steps) == 0 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	for i, s := range steps {
		if int(s.version) != i+1 || len(s.statements) == 0 {
			t.Errorf("step %d is version %d with %d statements", i, s.version, len(s.statements))
		}
	}
	got := statements("-- a; b\nCREATE x;\n\n  -- c\nINSERT y\nz;\n")
	if !slices.Equal(got, []string{"CREATE x", "INSERT y\nz"}) {
		t.Errorf("the statements are %q", got)
	}
}
