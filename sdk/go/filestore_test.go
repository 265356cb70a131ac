package gannet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gannet/protocol"
)

func openStore(t testing.TB, dir string) *FileStore {
	t.Helper()
	store, err := NewFileStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// recordsOf gives what a store has.
func recordsOf(t testing.TB, store Store) []string {
	t.Helper()
	var list []string
	err := store.Load(func(r []byte) error {
		list = append(list, string(r))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFileStoreRemembers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	store := openStore(t, dir)
	if have := recordsOf(t, store); len(have) != 0 {
		t.Errorf("a new store has %q", have)
	}
	record := []byte("one")
	if err := errors.Join(store.Append(record, []byte{}), store.Append([]byte("three")), store.Sync()); err != nil {
		t.Fatal(err)
	}
	record[0] = 'x' // the store has its own copy
	want := []string{"one", "", "three"}
	if have := recordsOf(t, store); !slices.Equal(have, want) {
		t.Errorf("before closing %q, want %q", have, want)
	}
	store.Close()
	if err := store.Append([]byte("late")); err == nil {
		t.Error("a closed store takes a record")
	}
	store = openStore(t, dir)
	if have := recordsOf(t, store); !slices.Equal(have, want) {
		t.Errorf("after opening again %q, want %q", have, want)
	}
	if err := errors.Join(store.Rewrite([]byte("new")), store.Append([]byte("and on")), store.Sync()); err != nil {
		t.Fatal(err)
	}
	store.Close()
	want = []string{"new", "and on"}
	if have := recordsOf(t, openStore(t, dir)); !slices.Equal(have, want) {
		t.Errorf("after a rewrite %q, want %q", have, want)
	}
}

func TestFileStoreTellsItsOwnErrors(t *testing.T) {
	store := openStore(t, t.TempDir())
	if err := store.Append([]byte("one")); err != nil {
		t.Fatal(err)
	}
	want := errors.New("enough")
	if err := store.Load(func([]byte) error { return want }); !errors.Is(err, want) {
		t.Errorf("Load: %v, want the error of its function", err)
	}
}

func TestFileStoreIsLocked(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	if _, err := NewFileStore(dir); !errors.Is(err, ErrStore) {
		t.Errorf("a second one opened the same directory: %v", err)
	}
}

func TestFileStoreSurvivesAnyTornEnd(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	want := []string{"first", "second", "third and last"}
	for _, r := range want {
		if err := store.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	store.Close()
	name := filepath.Join(dir, "journal")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(bytes.Clone(whole), 0, 0, 0, 9, 1, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	store = openStore(t, dir)
	if have := recordsOf(t, store); !slices.Equal(have, want) {
		t.Errorf("with a torn record behind: %q, want %q", have, want)
	}
	store.Close()
	for cut := len(whole) - 1; cut >= len(magic); cut-- {
		if err := os.WriteFile(name, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		store := openStore(t, dir)
		left := recordsOf(t, store)
		if n := len(left); n == len(want) || !slices.Equal(left, want[:n]) {
			t.Fatalf("cut to %d bytes: %q", cut, left)
		}
		if err := store.Append([]byte("behind")); err != nil { // it goes on behind what is whole
			t.Fatal(err)
		}
		store.Close()
		again := openStore(t, dir)
		if have := recordsOf(t, again); !slices.Equal(have, append(left, "behind")) {
			t.Fatalf("cut to %d bytes: %q, then %q", cut, left, have)
		}
		again.Close()
	}
}

func TestFileStoreCutsAtADamagedRecord(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	if err := store.Append([]byte("good"), []byte("bad")); err != nil {
		t.Fatal(err)
	}
	store.Close()
	name := filepath.Join(dir, "journal")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if have := recordsOf(t, openStore(t, dir)); !slices.Equal(have, []string{"good"}) {
		t.Errorf("it has %q", have)
	}
}

func TestFileStoreRefusesWhatIsNotAJournal(t *testing.T) {
	for _, what := range []string{"something else", "gannet\x00\x01"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "journal"), []byte(what), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewFileStore(dir); !errors.Is(err, errNotJournal) || !errors.Is(err, ErrStore) {
			t.Errorf("%q: error %v", what, err)
		}
	}
}

func TestFileStoreConcurrently(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	var appending sync.Mutex
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 20 {
				appending.Lock()
				err := store.Append(fmt.Appendf(nil, "%d %d", i, k))
				appending.Unlock()
				if err := errors.Join(err, store.Sync()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	store.Close()
	if have := recordsOf(t, openStore(t, dir)); len(have) != 8*20 {
		t.Errorf("%d records, want %d", len(have), 8*20)
	}
}

// Damage anywhere before the last record is an error that says where, and leaves the
// journal as it is. In the last record it is what a crash may leave.
func TestFileStoreTellsOfDamage(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	want := []string{"first", "second", "third and last"}
	starts := []int{len(magic)}
	for i, r := range want {
		if err := store.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
		starts = append(starts, starts[i]+recordHeader+len(r))
	}
	store.Close()
	name := filepath.Join(dir, "journal")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := len(magic); at < len(whole); at++ {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x41
		if err := os.WriteFile(name, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if at >= starts[2] {
			store := openStore(t, dir)
			if have := recordsOf(t, store); !slices.Equal(have, want[:2]) {
				t.Errorf("damaged at %d it has %q", at, have)
			}
			store.Close()
			continue
		}
		start := starts[0]
		if at >= starts[1] {
			start = starts[1]
		}
		_, err := NewFileStore(dir)
		if !errors.Is(err, ErrStore) || !strings.Contains(err.Error(), fmt.Sprintf("%s is damaged at offset %d,", name, start)) {
			t.Errorf("damaged at %d: %v", at, err)
		}
		if after, err := os.ReadFile(name); err != nil || !bytes.Equal(after, damaged) {
			t.Errorf("damaged at %d: the journal was changed, %v", at, err)
		}
	}
}

// A file may have grown on disk without what was written to it.
func TestFileStoreCutsZerosOffItsEnd(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	want := []string{"first", "", "last"}
	for _, r := range want {
		if err := store.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	store.Close()
	name := filepath.Join(dir, "journal")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, zeros := range []int{1, recordHeader, 3*recordHeader + 1, 4096} {
		if err := os.WriteFile(name, append(bytes.Clone(data), make([]byte, zeros)...), 0o600); err != nil {
			t.Fatal(err)
		}
		store := openStore(t, dir)
		if have := recordsOf(t, store); !slices.Equal(have, want) {
			t.Errorf("with %d zeros behind it has %q", zeros, have)
		}
		if err := store.Append([]byte("next")); err != nil {
			t.Fatal(err)
		}
		if have := recordsOf(t, store); !slices.Equal(have, append(slices.Clone(want), "next")) {
			t.Errorf("with %d zeros behind, and a record, it has %q", zeros, have)
		}
		store.Close()
	}
}

// crash ends a client at once.
func crash(c *Client) {
	c.end(errors.New("crash"))
	<-c.ended
	<-c.hooks.ended
	c.release() // a process that is gone has no store open
}

// failingStore fails to reach the disk once it is told to.
type failingStore struct {
	Store
	fail *bool
}

func (s failingStore) Sync() error {
	if *s.fail {
		return errNoDisk
	}
	return s.Store.Sync()
}

var errNoDisk = errors.New("no disk")

func TestSendFailsWhenTheStoreDoes(t *testing.T) {
	s := newServer(t)
	fail := false
	alice := join(t, s, 1, WithStore(failingStore{openStore(t, t.TempDir()), &fail}))
	fail = true
	if _, err := alice.Send(testContext(t), User(2), Text("x")); !errors.Is(err, errNoDisk) || !errors.Is(err, ErrUncertain) {
		t.Errorf("Send: %v", err)
	}
	if err := alice.Close(testContext(t)); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n := s.seen(protocol.TypeSend); n != 0 {
		t.Errorf("%d SENDs of a message that is not on disk", n)
	}
}
