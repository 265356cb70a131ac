package endtoend

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// A store that an earlier format wrote is refused, with what to do, and left as it
// is.
func TestStoreOfAnotherFormatIsRefused(t *testing.T) {
	data := t.TempDir()
	folder := filepath.Join(data, "db")
	// The first format had Pebble's own merger and neither identity nor version.
	open := func() *pebble.DB {
		t.Helper()
		db, err := pebble.Open(folder, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: silent{}})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	if err := errors.Join(db.Set([]byte("m-old"), []byte("message"), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first try changes nothing that would let a second one pass
		stdout, stderr, err := run(t, "--data", data, "--listen", "127.0.0.1:0")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("ended with %v, want exit status 1", err)
		}
		for _, want := range []string{folder, "format", "use the gannet that wrote it, or another folder"} {
			if !strings.Contains(stderr, want) {
				t.Errorf("%q is not in:\n%s", want, stderr)
			}
		}
		if strings.Contains(stdout+stderr, "goroutine") || strings.Contains(stdout, "listens") {
			t.Errorf("it was not simply refused:\n%s%s", stdout, stderr)
		}
	}
	db = open()
	value, closer, err := db.Get([]byte("m-old"))
	if err != nil || string(value) != "message" {
		t.Errorf("what was in the store is %q, %v", value, err)
	}
	if err == nil {
		err = closer.Close()
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Error(err)
	}
}

// silent keeps Pebble's own lines out of the test's output.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(format)
}
