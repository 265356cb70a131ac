package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		mode        fs.FileMode
		owner, self uint32
		says        string // "": it is taken
	}{
		{0o700, 5, 5, ""},
		{0o755, 5, 5, ""},
		{0o755, 0, 5, ""},
		{0o500, 0, 0, ""},
		{0o770, 5, 5, "chmod go-w /there"},
		{0o702, 5, 5, "chmod go-w /there"},
		{0o777 | fs.ModeSticky, 0, 0, "chmod go-w /there"},
		{0o720, 0, 5, "chmod go-w /there"},
		{0o700, 6, 5, "chown 5 /there"},
		{0o700, 6, 0, "chown 0 /there"},
	} {
		err := check("/there", c.mode, c.owner, c.self)
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("mode %o of %d, for %d: %v, want %q", c.mode, c.owner, c.self, err, c.says)
		}
	}
}

func TestCheckFollowsLinks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	link := filepath.Join(t.TempDir(), "link")
	for _, err := range []error{os.Mkdir(dir, 0o700), os.Symlink(dir, link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, link} {
		readable, err := Readable(path)
		if err := errors.Join(err, Check(path)); err != nil || readable {
			t.Errorf("%s: %v, readable %v", path, err, readable)
		}
	}
	if err := os.Chmod(dir, 0o775); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, link} {
		readable, err := Readable(path)
		if err != nil || !readable {
			t.Errorf("%s: readable %v, %v", path, readable, err)
		}
		if err := Check(path); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := Check(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is not there: %v", err)
	}
}

// The lock is the folder's: whatever in it is deleted or written, nobody else gets in, and
// hears who is there.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	look, err := os.Open(dir) // whoever has it open without a lock is not taken for its holder
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	if pid := lockHolder(dir); pid != 0 {
		t.Errorf("before it is locked process %d holds it", pid)
	}
	lock, err := Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	holder := fmt.Sprint("by process ", os.Getpid())
	if _, err := Hold(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), holder) {
		t.Errorf("a second lock gives %v", err)
	}
	if err := os.Remove(filepath.Join(dir, holderFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Hold(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), holder) {
		t.Errorf("with an empty folder a second lock gives %v", err)
	}
	for _, content := range []string{"nonsense", "1"} {
		if err := os.WriteFile(filepath.Join(dir, holderFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Hold(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), holder) {
			t.Errorf("with %q in the file a second lock gives %v", content, err)
		}
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, holderFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of the holder after its end: %v", err)
	}
	if lock, err = Hold(dir); err != nil {
		t.Fatalf("once it is released: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := Hold(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is not there: %v", err)
	}
}

// The file that names the process is for people: where it cannot be written the folder
// is locked all the same.
func TestHoldWithoutAName(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, holderFile, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	if lock.Unnamed() == nil {
		t.Error("it does not say that no file names the process")
	}
	if _, err := Hold(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("a second lock gives %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, holderFile)); err != nil {
		t.Fatal(err)
	}
	if lock, err = Hold(dir); err != nil {
		t.Fatalf("once it is released: %v", err)
	}
	if err := errors.Join(lock.Unnamed(), lock.Release()); err != nil {
		t.Error(err)
	}
}
