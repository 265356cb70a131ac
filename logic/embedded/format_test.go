package embedded

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// rawOpen opens what a Store would, without looking at what is in it.
func rawOpen(t *testing.T, fs vfs.FS, change func(*pebble.Options)) *pebble.DB {
	t.Helper()
	opts := pebbleOptions(fs, defaultCacheBytes, logger{})
	if change != nil {
		change(opts)
	}
	db, err := pebble.Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// refused checks that Open gives the error and says what is the matter, and that it
// lets go of the folder.
func refused(t *testing.T, fs vfs.FS, want error, says ...string) {
	t.Helper()
	for range 2 {
		s, err := Open("data", Options{Queues: 2, FS: fs})
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, want) {
			t.Fatalf("Open gives %v, want %v", err, want)
		}
		for _, part := range append(says, "data") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error is %q and does not say %q", err, part)
			}
		}
	}
}

func TestIdentity(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := mustOpen(t, Options{Queues: 1, FS: disk})
	name := s.Identity()
	if name == [16]byte{} {
		t.Fatal("the store has no name")
	}
	if other := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem()}); other.Identity() == name {
		t.Fatal("two stores have the same name")
	}
	for queues := 1; queues < 4; queues++ {
		if left := mustOpen(t, Options{Queues: queues, FS: disk.CrashClone(vfs.CrashCloneCfg{})}); left.Identity() != name {
			t.Fatalf("after a crash the store is called %x, was %x", left.Identity(), name)
		}
		mustSend(t, s, 1, 1, 2, uint64(queues))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s = mustOpen(t, Options{Queues: queues, FS: disk}); s.Identity() != name {
			t.Fatalf("with %d queues the store is called %x, was %x", queues, s.Identity(), name)
		}
	}
}

func TestQueuesOutOfBounds(t *testing.T) {
	for _, queues := range []int{-1, 0, 257} {
		if s, err := Open("data", Options{Queues: queues, FS: vfs.NewMem()}); err == nil {
			s.Close()
			t.Errorf("a store with %d queues was opened", queues)
		}
	}
	s := mustOpen(t, Options{Queues: 256, FS: vfs.NewMem()})
	mustSend(t, s, 1, 1, 2, 1)
}

func TestFolderInUse(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"disk": nil, "memory": vfs.NewMem()} {
		dir := t.TempDir()
		s, err := Open(dir, Options{Queues: 1, FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{Queues: 1, FS: fs}); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: the second Open gives %v, want ErrLocked", name, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, err = Open(dir, Options{Queues: 1, FS: fs})
		if err != nil {
			t.Fatalf("%s: after Close: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
