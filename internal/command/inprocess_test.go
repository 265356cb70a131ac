package command

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// A server in somebody else's process takes its settings from its caller alone.
func TestStartServerHeedsFlagsAlone(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("gannet.json", []byte(`{"lanes": "plenty"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	t.Setenv("GANNET_READY_FILE", elsewhere)
	s, err := StartServer(slog.New(slog.DiscardHandler), "--data", t.TempDir(), "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(elsewhere); !os.IsNotExist(err) {
		t.Errorf("the environment sets a ready file: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}
