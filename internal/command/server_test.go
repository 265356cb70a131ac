package command

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A server starts though it cannot write its process id, and says so.
func TestStartWithoutAProcessFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "gannet.pid", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	var s server
	if err := s.holdData(dir, slog.New(slog.NewTextHandler(&lines, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(lines.String(), "no file in it names this process") {
		t.Errorf("it logs %q", lines.String())
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}
