package folder

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// What only the file says is believed as long as such a process exists.
func TestHolderByItsFile(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		fmt.Sprint(os.Getpid(), "\n"): fmt.Sprint("process ", os.Getpid()),
		"2147483646":                  "another process", // above any process id
		"-1":                          "another process", // would be everybody's
		"":                            "another process",
	} {
		if err := os.WriteFile(filepath.Join(dir, holderFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := holderOf(dir); got != want {
			t.Errorf("%q: %s, want %s", content, got, want)
		}
	}
}
