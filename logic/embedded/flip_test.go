package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic"
	"gannet/protocol"
)

const (
	flipPeers    = 40 // conversations of user 1
	flipMessages = 12 // in each
)

// smallBlocks makes a few messages fill a block.
func smallBlocks(o *pebble.Options) {
	smallTables(o)
	o.L0CompactionThreshold = 2
	for i := range o.Levels {
		o.Levels[i].BlockSize = 1 << 10
	}
}

// writeTables makes a store on the disk whose messages lie in tables, and gives its
// files.
func writeTables(t *testing.T, dir string) (files map[string][]byte) {
	t.Helper()
	s, err := Open(dir, Options{Queues: 1, Log: slog.New(slog.DiscardHandler), tune: func(o *pebble.Options) {
		smallBlocks(o)
		o.DisableAutomaticCompactions = true // each flush leaves a table
	}})
	if err != nil {
		t.Fatal(err)
	}
	for id := uint64(1); id <= flipMessages; id++ {
		b := new(entries)
		for peer := uint64(2); peer < 2+flipPeers; peer++ {
			b.body(1, 1, peer, id, bodyOf(peer, id))
		}
		b.mustApply(t, s)
		if id%4 == 0 {
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files = make(map[string][]byte)
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if files[f.Name()], err = os.ReadFile(filepath.Join(dir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if files[markName], err = os.ReadFile(markPath(dir)); err != nil {
		t.Fatal(err)
	}
	return files
}

// bodyOf gives a body that is found in a table.
func bodyOf(peer, id uint64) []byte {
	body := make([]byte, 300)
	copy(body, fmt.Sprintf("message %d to %d.", id, peer))
	return body
}

// restore puts the files into a folder of their own.
func restore(t *testing.T, files map[string][]byte) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "db")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		path := filepath.Join(dir, name)
		if name == markName {
			path = markPath(dir)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// markName stands for the mark among the files of a store.
const markName = "the mark"

// wantNamed says that an error of damage names the file and what to do.
func wantNamed(t *testing.T, err error, file string) {
	t.Helper()
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("the error is %q, want %s and what to do in it", err, file)
	}
}

// TestFlippedByte: wherever a byte of a table is not as it was written, a conversation
// is answered for as it is or unavailable, everybody else is served, and the store
// stays up. The errors name the file.
func TestFlippedByte(t *testing.T) {
	files := writeTables(t, filepath.Join(t.TempDir(), "db"))
	refused, whole, partly, harmless := 0, 0, 0, 0
	for name, content := range files {
		if !isTable(name) {
			continue
		}
		random := rand.New(rand.NewPCG(7, uint64(len(content))))
		for n := range 16 {
			at := random.IntN(len(content))
			if n < 4 { // footer and what stands before it
				at = len(content) - 1 - 40*n
			}
			t.Run(fmt.Sprint(name, " at ", at), func(t *testing.T) {
				dir := restore(t, files)
				b := append([]byte(nil), content...)
				b[at] ^= 0x10
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
				s, err := Open(dir, Options{Queues: 1, Log: slog.New(slog.DiscardHandler), tune: smallBlocks})
				if err != nil { // what the store says about itself lay there
					refused++
					wantNamed(t, err, name)
					return
				}
				bad := checkFlipped(t, s, name)
				switch {
				case bad == 0:
					harmless++
				case bad <= 5: // what shares blocks with it
					partly++
				default: // the table's index
					whole++
				}
				if err := s.Err(); err != nil {
					t.Errorf("the store has failed: %v", err)
				}
				within(t, "the store closes", func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
	t.Logf("%d starts refused, %d files unreadable, %d with some conversations bad, %d harmless", refused, whole, partly, harmless)
	if partly < 25 || whole > 5 {
		t.Errorf("only %d times some conversations were damaged and others not; the test says nothing", partly)
	}
}

// checkFlipped asks for everything and gives how many conversations are bad.
func checkFlipped(t *testing.T, s *Store, file string) (bad int) {
	t.Helper()
	lost := make(map[uint64]bool) // their heads are not known
	pages := make(map[uint64]*logic.Page)
	for peer := uint64(2); peer < 2+flipPeers; peer++ {
		pages[peer] = &logic.Page{Conversation: direct(1, peer), Limit: 256, Room: 1 << 20}
		if err := s.Pages(t.Context(), []*logic.Page{pages[peer]}); err != nil {
			t.Fatal(err)
		}
	}
	fresh, again := new(entries), new(entries)
	for peer := uint64(2); peer < 2+flipPeers; peer++ {
		fresh.send(1, 1, peer, 100)
		again.send(1, 1, peer, 2)
	}
	fresh.mustApply(t, s)
	again.mustApply(t, s)
	for peer := uint64(2); peer < 2+flipPeers; peer++ {
		broken := false
		page, e, again := pages[peer], fresh.Entries[peer-2], again.Entries[peer-2]
		switch {
		case page.Err != nil:
			broken = true
			if !errors.Is(page.Err, logic.ErrUnavailable) {
				t.Errorf("HISTORY of %d gives %v", peer, page.Err)
			}
			wantNamed(t, page.Err, file)
		case page.Head != flipMessages || page.Count != flipMessages:
			t.Errorf("HISTORY of %d gives %d messages up to %d", peer, page.Count, page.Head)
		}
		switch {
		case e.Outcome == logic.Unknown && broken:
			lost[peer] = true
		case e.Outcome != logic.Applied || e.Seq != flipMessages+1:
			t.Errorf("SEND to %d came to %+v", peer, e)
		}
		switch {
		case again.Outcome == logic.Unknown: // a block is that of its neighbours as well
			broken = true
		case again.Outcome != logic.Repeated || again.Seq != 2:
			t.Errorf("SEND again to %d came to %+v", peer, again)
		}
		if broken {
			bad++
		}
	}
	inbox, err := s.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 1, Limit: 256, Room: 1 << 20})
	if err != nil {
		if bad == 0 {
			t.Errorf("SYNC gives %v", err)
		}
		wantNamed(t, err, file) // the list itself lay there
		return max(bad, 1)
	}
	listed := make(map[uint64]protocol.State)
	for _, state := range inbox.States {
		listed[state.Target.ID] = state
	}
	for peer := uint64(2); peer < 2+flipPeers; peer++ {
		if state, ok := listed[peer]; ok == lost[peer] || ok && (state.Head != flipMessages+1 || state.Acked != flipMessages+1) {
			t.Errorf("SYNC of the conversation with %d, which is lost: %v, gives %+v", peer, lost[peer], state)
		}
	}
	return bad
}

// TestWhatWasLeftOutComes: a conversation that SYNC could not list is listed once it
// can be read, although nothing changed in it since.
func TestWhatWasLeftOutComes(t *testing.T) {
	files := writeTables(t, filepath.Join(t.TempDir(), "db"))
	s := mustOpenDir(t, restore(t, files))
	since := look(t, s, 2).next
	if got := changedSince(t, s, since); len(got) != 0 {
		t.Fatalf("nothing happened, and %v are said to have changed", got)
	}
	for name, content := range files {
		if !isTable(name) {
			continue
		}
		for at := 512; at < len(content)-2048; at += 1024 {
			dir := restore(t, files)
			path := filepath.Join(dir, name)
			b := append([]byte(nil), content...)
			b[at] ^= 0x10
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, Options{Queues: 1, Log: slog.New(slog.DiscardHandler), tune: smallBlocks})
			if err != nil {
				continue
			}
			page, err := s.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 1, Limit: 256, Room: 1 << 20})
			missing := err == nil && len(page.States) < flipPeers
			if missing {
				if s.Stats()["failed.inbox"] == 0 {
					t.Error("what is left out is not counted")
				}
				await(t, "it is kept that something was left out", s.damage.kept.Load)
				mustSend(t, s, 9, 1, 8, 1) // life goes on, and a client asks once more
				since := page.Next
				if page, err = s.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 1, Limit: 256, Room: 1 << 20}); err != nil || page.Next <= since || len(page.States) == flipPeers {
					t.Fatalf("%d conversations, next is %d after %d, %v", len(page.States), page.Next, since, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if !missing {
				continue
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s = mustOpenDir(t, dir)
			if got := changedSince(t, s, page.Next); len(got) != flipPeers {
				t.Fatalf("once the file is back %d of %d conversations come", len(got), flipPeers)
			}
			mustSend(t, s, 9, 1, 8, 2)
			next := look(t, s, 2).next
			if got := changedSince(t, s, next); len(got) != 0 {
				t.Fatalf("and then %v come again", got)
			}
			return
		}
	}
	t.Fatal("no damage hides a conversation; the test says nothing")
}

func mustOpenDir(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{Queues: 1, Log: slog.New(slog.DiscardHandler), tune: smallBlocks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// TestCompactionMeetsDamage: a compaction that cannot read what it should merge is
// tried again after a pause; its tables stay, and messages are taken all the while.
func TestCompactionMeetsDamage(t *testing.T) {
	files := writeTables(t, filepath.Join(t.TempDir(), "db"))
	dir := restore(t, files)
	tables := 0
	for name, content := range files {
		if isTable(name) { // all of them, past what a start reads
			tables++
			b := append([]byte(nil), content...)
			b[len(b)/3] ^= 0x10
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := mustOpenDir(t, dir)
	failed := func(n uint64) func() bool {
		return func() bool { return s.Stats()["failed.compaction"] >= n }
	}
	mustSend(t, s, 100, 1, 101, 1)
	if err := s.db.Flush(); err != nil { // one more makes Pebble look at its tables
		t.Fatal(err)
	}
	await(t, "a compaction fails", failed(1))
	first := time.Now()
	await(t, "it is tried again", failed(3))
	if took := time.Since(first); took < retryPause/2 {
		t.Errorf("a compaction failed three times within %v", took)
	}
	if e := mustSend(t, s, 100, 1, 101, 2); e.Outcome != logic.Applied || e.Seq != 2 {
		t.Errorf("a message came to %+v", e)
	}
	if err := s.Err(); err != nil {
		t.Errorf("the store has failed: %v", err)
	}
	for name := range files {
		if _, err := os.Stat(filepath.Join(dir, name)); isTable(name) && err != nil {
			t.Errorf("a table is gone: %v", err)
		}
	}
	if tables < 3 {
		t.Errorf("only %d tables; the test says nothing", tables)
	}
}
