package gannet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"gannet/protocol"
)

func openStore(t *testing.T, dir string) *FileStore {
	t.Helper()
	store, err := NewFileStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// load gives what the store remembers, its cursors in order.
func load(t *testing.T, store *FileStore) Saved {
	t.Helper()
	saved, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(saved.Cursors, func(a, b Cursor) int { return int(a.Target.ID) - int(b.Target.ID) })
	return saved
}

// write makes some of every change and gives what is remembered of it.
func write(t *testing.T, store *FileStore) Saved {
	t.Helper()
	outgoing := func(id uint64) Outgoing {
		return Outgoing{ClientID: id, Target: Group(id), Draft: Text(fmt.Sprint("body ", id))}
	}
	if err := errors.Join(
		store.SetDevice(7),
		store.AddOutgoing(outgoing(10)),
		store.AddOutgoing(outgoing(20)),
		store.AddOutgoing(outgoing(30)),
		store.RemoveOutgoing(30),
		store.RemoveOutgoing(10),
		store.RemoveOutgoing(15),
		store.SetReceived([]Cursor{{Target: User(1), Seq: 1}, {Target: User(2), Seq: 5}}),
		store.SetReceived([]Cursor{{Target: User(1), Seq: 2}}),
		store.SetPosition(99),
		store.Sync(),
	); err != nil {
		t.Fatal(err)
	}
	return Saved{
		Device: 7, LastID: 30, Position: 99,
		Outgoing: []Outgoing{outgoing(20)},
		Cursors:  []Cursor{{Target: User(1), Seq: 2}, {Target: User(2), Seq: 5}},
	}
}

func TestFileStoreRemembers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	store := openStore(t, dir)
	if saved := load(t, store); !reflect.DeepEqual(saved, Saved{}) {
		t.Errorf("a new store remembers %+v", saved)
	}
	want := write(t, store)
	if saved := load(t, store); !reflect.DeepEqual(saved, want) {
		t.Errorf("before closing %+v, want %+v", saved, want)
	}
	store.Close()
	if err := store.SetPosition(1); err == nil {
		t.Error("a closed store takes a change")
	}
	if saved := load(t, openStore(t, dir)); !reflect.DeepEqual(saved, want) {
		t.Errorf("after opening again %+v, want %+v", saved, want)
	}
}

func TestFileStoreIsLocked(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	if _, err := NewFileStore(dir); err == nil {
		t.Error("a second one opened the same directory")
	}
}

func TestFileStoreSurvivesAnyTornEnd(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	want := write(t, store)
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
	if saved := load(t, store); !reflect.DeepEqual(saved, want) {
		t.Errorf("with a torn record behind: %+v, want %+v", saved, want)
	}
	store.Close()
	for cut := len(whole) - 1; cut >= len(magic); cut-- {
		if err := os.WriteFile(name, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		store := openStore(t, dir)
		load(t, store)
		if err := store.SetPosition(uint64(cut)); err != nil { // it goes on behind what is whole
			t.Fatal(err)
		}
		store.Close()
		again := openStore(t, dir)
		if saved := load(t, again); saved.Position != uint64(cut) {
			t.Fatalf("cut to %d bytes: position %d", cut, saved.Position)
		}
		again.Close()
	}
}

func TestFileStoreCutsAtADamagedRecord(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	write(t, store)
	store.Close()
	name := filepath.Join(dir, "journal")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1 // in the position
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if saved := load(t, openStore(t, dir)); saved.Position != 0 || len(saved.Cursors) != 2 {
		t.Errorf("remembers %+v", saved)
	}
}

func TestFileStoreRefusesWhatIsNotAJournal(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "journal"), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewFileStore(dir); !errors.Is(err, errNotJournal) {
		t.Errorf("error %v", err)
	}
}

func TestFileStoreIsCompacted(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	body := Text(string(make([]byte, 10_000)))
	for id := uint64(1); id <= 500; id++ {
		if err := store.AddOutgoing(Outgoing{ClientID: id, Target: User(1), Draft: body}); err != nil {
			t.Fatal(err)
		}
		if err := store.RemoveOutgoing(id); err != nil {
			t.Fatal(err)
		}
	}
	want := write(t, store) // its ids are below: a store does not mind
	want.LastID = 30
	info, err := os.Stat(filepath.Join(dir, "journal"))
	if err != nil || info.Size() > 2*minJournal {
		t.Errorf("a journal of %d bytes, %v", info.Size(), err)
	}
	store.Close()
	if saved := load(t, openStore(t, dir)); !reflect.DeepEqual(saved, want) {
		t.Errorf("remembers %+v, want %+v", saved, want)
	}
}

func TestFileStoreConcurrently(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 20 {
				store.SetReceived([]Cursor{{Target: User(uint64(i + 1)), Seq: uint64(k + 1)}})
				if err := store.Sync(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	store.Close()
	for _, cursor := range load(t, openStore(t, dir)).Cursors {
		if cursor.Seq != 20 {
			t.Errorf("cursor %+v", cursor)
		}
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
		if err := alice.SendFunc(User(2), Text(text), nil); err != nil {
			t.Fatal(err)
		}
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
	if left := load(t, store).Outgoing; len(left) != 0 {
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
}

// failingStore fails to reach the disk.
type failingStore struct{ Store }

func (failingStore) Sync() error { return errNoDisk }

var errNoDisk = errors.New("no disk")

func TestSendFailsWhenTheStoreDoes(t *testing.T) {
	s := newServer(t)
	store := openStore(t, t.TempDir())
	if err := store.SetDevice(5); err != nil {
		t.Fatal(err)
	}
	alice := join(t, s, 1, WithStore(failingStore{store}))
	if _, err := alice.Send(testContext(t), User(2), Text("x")); !errors.Is(err, errNoDisk) {
		t.Errorf("Send: %v", err)
	}
	if err := alice.Close(testContext(t)); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n := s.seen(protocol.TypeSend); n != 0 {
		t.Errorf("%d SENDs of a message that is not on disk", n)
	}
}
