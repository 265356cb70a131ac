package gannet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

func TestRestartResendsUnackedUnderTheSameID(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	store := openStore(t, dir)
	alice := join(t, s, 1, WithStore(store))
	s.settled(t, alice)
	s.play(func(p *peer, f protocol.Frame) bool { return f.Type == protocol.TypeSend && p.login == 1 })
	for _, text := range []string{"1", "2"} {
		post(t, alice, User(2), text)
	}
	s.until("SENDs", func() bool { return s.count(protocol.TypeSend) == 2 })
	crash(alice)
	store.Close()

	store = openStore(t, dir)
	again := join(t, s, 1, WithStore(store))
	if again.Device() != alice.Device() {
		t.Errorf("device %d, before %d", again.Device(), alice.Device())
	}
	if ack, err := again.Send(testContext(t), User(2), Text("3")); err != nil || ack.Seq != 3 {
		t.Errorf("ack %+v, %v", ack, err)
	}
	first, second := s.sends(1), s.sends(2)
	if len(second) != 3 || second[0].ClientID != first[0].ClientID || second[1].ClientID != first[1].ClientID ||
		second[2].ClientID <= second[1].ClientID || string(second[0].Body) != "1" {
		t.Errorf("sent %+v, then %+v", first, second)
	}
	if err := again.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	if left := again.journal.saved.taken; len(left) != 0 {
		t.Errorf("the store keeps %v", left)
	}
}

func TestRestartRepeatsNothingReceived(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	store := openStore(t, dir)
	d := newDiary()
	bob := join(t, s, 2, WithStore(store), WithHandler(d.handler()))
	s.say(1, User(2), "1")
	s.say(1, User(2), "2")
	d.expect(t, "1", "2")
	s.until("PUSHACK", func() bool { return s.delivered(2, pair) == 2 })
	crash(bob)
	store.Close()

	s.whisper(1, User(2), "3")
	s.mu.Lock()
	s.conversation(pair).delivered[2] = 3 // by another device: this one has not seen it
	s.mu.Unlock()
	d = newDiary()
	join(t, s, 2, WithStore(openStore(t, dir)), WithHandler(d.handler()))
	d.expect(t, "3")
}

// crash ends a client at once.
func crash(c *Client) {
	c.end(errors.New("crash"))
	<-c.ended
	<-c.hooks.ended
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
