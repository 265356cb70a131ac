package command

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gannet/benchmark/yardstick"
	logicstore "gannet/logic/embedded"
)

// The yardsticks may not import the store whose settings they share; that they do
// share them shows in the files that Pebble writes.
func TestTheYardsticksHaveTheStoresSettings(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	store, err := logicstore.Open(ours, logicstore.Options{Queues: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := yardstick.OpenStore(theirs, yardstick.StoreMemtable)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	want, got := pebbleSettings(t, ours), pebbleSettings(t, theirs)
	if len(want) < 20 {
		t.Fatalf("only %d settings were found: %q", len(want), want)
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("the store has %q, the yardsticks have not", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("the yardsticks have %q, the store has not", line)
		}
	}
}

// pebbleSettings reads the settings of a store, without its merger, which is a
// matter of what it stores. Each names the level that it is of, if any.
func pebbleSettings(t *testing.T, dir string) (settings []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "OPTIONS-*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files with settings, %v", len(files), err)
	}
	b, err := os.ReadFile(slices.Max(files))
	if err != nil {
		t.Fatal(err)
	}
	section := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "["):
			section = line
		case line != "" && !strings.HasPrefix(line, "merger="):
			settings = append(settings, section+" "+line)
		}
	}
	return settings
}
