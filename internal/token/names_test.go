package token_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gannet/internal/token"
)

// Names tell keys apart, also those of one kid, and nothing of a secret.
func TestNames(t *testing.T) {
	names := func(files map[string]string) []string {
		t.Helper()
		dir := t.TempDir()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k, err := token.LoadKeys(dir)
		if err != nil {
			t.Fatal(err)
		}
		return k.Names()
	}
	pair := func() string {
		t.Helper()
		dir := t.TempDir()
		if _, err := token.OpenKeys(dir); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		content, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	one, other, secret := pair(), pair(), strings.Repeat("s", 32)
	got := names(map[string]string{"a.pem": one, "b.secret": secret})
	if len(got) != 2 || !strings.HasPrefix(got[0], "a:") || got[1] != "b" {
		t.Errorf("the names are %q", got)
	}
	if again := names(map[string]string{"a.pem": one}); again[0] != got[0] {
		t.Errorf("the same key is called %q and %q", got[0], again[0])
	}
	if differs := names(map[string]string{"a.pem": other}); differs[0] == got[0] {
		t.Errorf("two keys are called %q", got[0])
	}
}
