package embedded

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/protocol"
)

// TestMessages: whatever runs the messages lie in, each is found from everywhere.
func TestMessages(t *testing.T) {
	const total = 400
	r := rand.New(rand.NewPCG(7, 8))
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem()})
	key := direct(1, 2)
	mustSend(t, s, 1, 1, 1, 1)
	for id := uint64(1); id <= total; {
		b := new(entries)
		for n := min(1+r.IntN(60), int(total+1-id)); n > 0; n-- {
			b.send(1, 1, 2, id)
			id++
		}
		b.mustApply(t, s)
	}
	mustSend(t, s, 1, 1, 3, 1)

	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	m := messagesOf(it, placeOf(key))
	at := func(what string, ok bool, want uint64) {
		t.Helper()
		if m.err != nil || ok != (want != 0) || ok && (m.seq() != want || m.message().ClientID != want) {
			t.Fatalf("%s: %v, %v, want message %d", what, ok, m.err, want)
		}
	}
	runs := 0
	for seq := uint64(1); seq <= total; seq++ {
		at("seek", m.seek(seq), seq)
		if m.at == 0 {
			runs++
		}
		if seq < total {
			at("next", m.next(), seq+1)
			at("prev", m.prev(), seq)
		} else {
			at("next of the last", m.next(), 0)
		}
		at("seekBack", m.seekBack(seq), seq)
		back := 1 + r.Uint64N(seq)
		if err := m.findBack(back); err != nil || m.seq() != back {
			t.Fatalf("findBack from %d to %d: %v", seq, back, err)
		}
		if m.prev() != (back > 1) {
			t.Fatalf("before %d there is %v", back, m.seq())
		}
	}
	if runs < 10 || runs > total/2 {
		t.Fatalf("%d messages lie in %d runs; the test finds nothing", total, runs)
	}
	at("seek past the last", m.seek(total+1), 0)
	at("seekBack past the last", m.seekBack(total+1), total)
	at("newest", m.newest(), total)
	if m.find(total+1) == nil {
		t.Fatal("a message was found that does not exist")
	}

	for range 500 {
		page := logic.Page{
			Conversation: key, From: r.Uint64N(total + 10), To: r.Uint64N(2) * r.Uint64N(total+10), Backward: r.IntN(2) == 0,
			Limit: 1 + r.IntN(100), Room: 1 + r.IntN(8000),
		}
		asked := page
		if err := s.Pages(t.Context(), []*logic.Page{&page}); err != nil || page.Err != nil {
			t.Fatal(err, page.Err)
		}
		seq := page.First
		eachItem(t, page.Items, func(m *protocol.Message) {
			if m.Seq != seq {
				t.Fatalf("%+v has message %d where %d is due", asked, m.Seq, seq)
			}
			seq++
		})
		if want := page.Last + 1; page.Last >= page.First && seq != want {
			t.Fatalf("%+v says that it is whole from %d to %d and ends before %d", asked, page.First, page.Last, seq)
		}
	}
}

// eachItem goes through the items of a page.
func eachItem(t *testing.T, items []byte, visit func(m *protocol.Message)) {
	t.Helper()
	in := input{b: items}
	for len(in.b) > 0 {
		size := in.bytes(itemHead)
		var m protocol.Message
		if in.bad || m.Decode(in.bytes(uint64(size[2])<<8|uint64(size[3]))) != nil || in.bad {
			t.Fatal("a page with an item that is none")
		}
		visit(&m)
	}
}
