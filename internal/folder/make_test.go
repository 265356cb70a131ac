package folder

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestMakeSyncsParents: what holds the name of a folder that was made is synced, and
// nothing else.
func TestMakeSyncsParents(t *testing.T) {
	top := t.TempDir()
	a, b, c := filepath.Join(top, "a"), filepath.Join(top, "a", "b"), filepath.Join(top, "a", "b", "c")
	for _, step := range []struct {
		path   string
		synced []string
	}{
		{b, []string{a, top}},
		{b, nil},
		{c + "/", []string{b}},
	} {
		var synced []string
		err := makeAll(step.path, 0o700, func(path string) error {
			if _, err := os.Stat(step.path); err != nil {
				t.Errorf("synced before it is there: %v", err)
			}
			synced = append(synced, path)
			return nil
		})
		if err != nil || !slices.Equal(synced, step.synced) {
			t.Errorf("%s: synced %v, want %v; %v", step.path, synced, step.synced, err)
		}
	}
	if err := makeAll(filepath.Join(c, "d"), 0o700, func(string) error { return syscall.EIO }); !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync that fails gives %v", err)
	}
}

func TestMake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		if err := Make(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Fatalf("%v, %v", info, err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if err := Make(path, 0o700); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
