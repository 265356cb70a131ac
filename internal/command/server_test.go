package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gannet/internal/folder"
	"gannet/internal/hop"
	logicstore "gannet/logic/embedded"
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

// Messages that others may change are refused, in a data folder that they may only pass
// through too.
func TestFolderOfMessagesThatOthersMayChange(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "db")
	if err := firstError(os.Chmod(dir, 0o755), os.Mkdir(db, 0o700), os.Chmod(db, 0o777)); err != nil {
		t.Fatal(err)
	}
	var s server
	log := slog.New(slog.DiscardHandler)
	if err := s.holdData(dir, log); !errors.Is(err, folder.ErrUnsafe) || !strings.Contains(err.Error(), "chmod go-w "+db) {
		t.Errorf("it is taken: %v", err)
	}
	if err := firstError(os.Chmod(db, 0o755), s.holdData(dir, log), s.stop()); err != nil {
		t.Error(err)
	}
}

// Where the folder has no lock, as on some network file systems, the store's own lock keeps
// a second server off, which names the process that has it.
func TestAServerThatOnlyTheStoreKeepsOff(t *testing.T) {
	dir := t.TempDir()
	store, err := logicstore.Open(filepath.Join(dir, "db"), logicstore.Options{Queues: 1, Publish: func(context.Context, *hop.Record) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	holder := "another process"
	if runtime.GOOS == "linux" {
		holder = fmt.Sprint("process ", os.Getpid())
	}
	_, err = StartServer(slog.New(slog.DiscardHandler), "--data", dir, "--listen", "127.0.0.1:0", "--min-free", "0")
	if err == nil || !strings.Contains(err.Error(), "in use by "+holder) {
		t.Errorf("a second server: %v", err)
	}
	if got := folder.Holder(filepath.Join(dir, "nothing")); got != "another process" {
		t.Errorf("what nobody has locked is held by %s", got)
	}
}
