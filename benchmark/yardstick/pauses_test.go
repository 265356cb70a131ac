package yardstick

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gannet/benchmark/process"
)

// A thread that comes first is seldom late, but not never: what is counted must
// fit the time and the cores. Who may not measure is told so.
func TestPausesOfTheMachine(t *testing.T) {
	const watched = 300 * time.Millisecond
	if err := MayWatchPauses(); err != nil {
		if os.Geteuid() == 0 && runtime.GOOS == "linux" {
			t.Fatal(err)
		}
		if s := err.Error(); !strings.Contains(s, "root") && !strings.Contains(s, "Linux only") {
			t.Fatalf("it does not say what is missing: %v", err)
		}
		return
	}
	w, err := WatchPauses(t.Context(), child(t, pausesArgument))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	time.Sleep(watched)
	found, err := w.Stop()
	if err != nil {
		t.Fatal(err)
	}
	cores, err := usableCores()
	if err != nil {
		t.Fatal(err)
	}
	// The measurement began a moment before and ended a moment after.
	least := int64(len(cores)) * int64(watched/pausePeriod) / 2
	most := int64(len(cores)) * (int64(time.Since(began)/pausePeriod) + int64(process.ReadyTimeout/pausePeriod))
	if found.Count < least || found.Count > most {
		t.Errorf("%d wakes in %v on %d cores", found.Count, watched, len(cores))
	}
	if found.Max < found.P50 || found.P50 < 1 || found.P50 > float64(watched.Microseconds()) {
		t.Errorf("late by %v µs at the median, %v at most", found.P50, found.Max)
	}
	if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", w.dir, err)
	}
}

func TestAPauseWatchThatCannotWriteSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	nowhere := filepath.Join(t.TempDir(), "nowhere", "file")
	w := PauseWatch{ReadyFile: nowhere, ResultFile: nowhere}
	if err := w.Run(ctx, io.Discard, io.Discard); err == nil {
		t.Error("no error")
	}
}
