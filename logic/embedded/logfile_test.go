package embedded

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func sizeOf(t *testing.T, fs vfs.FS, name string) int64 {
	t.Helper()
	info, err := fs.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A logStep writes so many bytes, syncs, and finds the file that large.
type logStep struct{ write, size int }

func runLogSteps(t *testing.T, f vfs.File, steps []logStep) {
	t.Helper()
	for i, s := range steps {
		if _, err := f.Write(make([]byte, s.write)); err != nil {
			t.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Size(); got != int64(s.size) {
			t.Errorf("step %d: %d bytes, want %d", i, got, s.size)
		}
	}
}

func TestSmallSyncsFillTheLogAhead(t *testing.T) {
	fs := logFS{vfs.NewMem()}
	f, err := fs.Create("log", logCategory)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	end := 100 + logAhead // of the first stretch
	runLogSteps(t, f, []logStep{
		{100, end},
		{logSmall, end},
		{end - 100 - logSmall, end},                       // up to its last byte
		{logSmall + 1, end + logSmall + 1},                // a large one: the zeros would cost more than they save
		{1, end + logSmall + 2 + logAhead},                // and small again
		{logAhead + 9, end + logSmall + 2 + logAhead + 9}, // over the end in one go
	})
}

func TestALogThatIsUsedAgainIsFilledBeyondItsEnd(t *testing.T) {
	fs := logFS{vfs.NewMem()}
	old, err := fs.Create("old", "other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if got := sizeOf(t, fs, "old"); got != 5000 {
		t.Fatalf("%d bytes in a file that is no log, want 5000", got)
	}
	f, err := fs.ReuseForWrite("old", "new", logCategory)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	runLogSteps(t, f, []logStep{{5000, 5000}, {1, 5001 + logAhead}})
}

// full refuses to be filled.
type full struct {
	vfs.File
	tries int
}

func (f *full) WriteAt([]byte, int64) (int, error) {
	f.tries++
	return 0, errors.New("no space left on device")
}

func TestALogThatCannotBeFilledIsSynced(t *testing.T) {
	mem, err := vfs.NewMem().Create("log", logCategory)
	if err != nil {
		t.Fatal(err)
	}
	disk := &full{File: mem}
	runLogSteps(t, &logFile{File: disk}, []logStep{{10, 10}, {10, 20}})
	if disk.tries != 1 {
		t.Errorf("tried %d times, want once", disk.tries)
	}
}

func TestTheStoreFillsItsLogAhead(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustSend(t, s, 1, 1, 2, 1)
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	if got := sizeOf(t, vfs.Default, logs[0]); got < logAhead {
		t.Errorf("the log has %d bytes, want more than %d", got, logAhead)
	}
}

// BenchmarkLogSync compares syncs of a new log that grows with each, and of one
// that is filled ahead, on the disk of temporary files.
func BenchmarkLogSync(b *testing.B) {
	for _, size := range []int{200, 6 << 10, logSmall} {
		for _, ahead := range []bool{false, true} {
			b.Run(fmt.Sprintf("bytes=%d/ahead=%t", size, ahead), func(b *testing.B) {
				var fs vfs.FS = vfs.Default
				if ahead {
					fs = logFS{fs}
				}
				f, err := fs.Create(filepath.Join(b.TempDir(), "log"), logCategory)
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				p := make([]byte, size)
				for b.Loop() {
					if _, err := f.Write(p); err != nil {
						b.Fatal(err)
					}
					if err := f.SyncData(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
