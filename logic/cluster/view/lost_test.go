//go:build cluster

package view_test

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// lossy is a store over a Redis of its own, with conversations of user 1.
type lossy struct {
	*store
	server *servicestest.PrivateRedis
	ids    uint64
}

func newLossy(t *testing.T, args ...string) *lossy {
	server := servicestest.OwnRedis(t, args...)
	l := &lossy{server: server, store: openStore(t, options{addresses: []string{server.Address}, name: "lossy", queues: 2, cache: 1000}, newMemory())}
	t.Cleanup(l.stop)
	l.stop() // nothing is written but what the test does
	return l
}

// send writes a message of user 1 to each peer, and gives what became of them.
func (l *lossy) send(peers ...uint64) (outcomes []logic.Outcome) {
	l.t.Helper()
	for _, peer := range peers {
		l.ids++
		key := protocol.Target{Kind: protocol.KindDirect, ID: peer}.Conversation(1)
		b := &logic.Batch{Queue: key.Partition() % len(l.queues)}
		appendMessage(b, key, l.ids)
		must(l.t, l.Apply(l.t.Context(), []*logic.Batch{b}))
		outcomes = append(outcomes, b.Entries[0].Outcome)
	}
	return outcomes
}

func (l *lossy) sent(peers ...uint64) {
	l.t.Helper()
	for i, outcome := range l.send(peers...) {
		if outcome != logic.Applied {
			l.t.Fatalf("a message to %d has outcome %d", peers[i], outcome)
		}
	}
}

// closed checks that no inbox is answered.
func (l *lossy) closed(when string) {
	l.t.Helper()
	_, err := l.view.Changed(l.t.Context(), logic.InboxQuery{User: 1, Device: 5, Limit: 100, Room: 1 << 20})
	if !errors.Is(err, logic.ErrUnavailable) {
		l.t.Fatalf("%s an inbox is answered: %v", when, err)
	}
}

// retried calls f until Redis answers.
func retried(f func() error) error {
	for {
		if err := f(); !errors.Is(err, logic.ErrUnavailable) {
			return err
		}
	}
}

func (l *lossy) state(q *queue) (s view.State) {
	l.t.Helper()
	must(l.t, retried(func() (err error) { s, err = q.writer.State(l.t.Context()); return err }))
	return s
}

func (l *lossy) ofQueue(i int) func(protocol.Conversation) bool {
	return func(c protocol.Conversation) bool { return c.Partition()%len(l.queues) == i }
}

func u64(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

var peers = []uint64{2, 3, 4, 5, 6, 7, 8, 9}

// TestRestartWithData: nothing was lost, and nothing is believed before the owner says so.
func TestRestartWithData(t *testing.T) {
	l := newLossy(t, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	l.sent(peers...)
	before := states(t, l.view, 1, 0)
	page, err := l.view.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 5, Limit: 100, Room: 1 << 20})
	must(t, err)
	l.server.Kill()
	l.server.Start()
	for i, q := range l.queues {
		if s := l.state(q); s.Mark != q.writer.Mark() || s.Confirmed || s.Incomplete {
			t.Fatalf("after a restart queue %d is at %+v, want %v, not confirmed", i, s, q.writer.Mark())
		}
		l.closed("before the confirmation of all")
		must(t, q.writer.Confirm(t.Context()))
		if s := l.state(q); !s.Confirmed {
			t.Fatalf("confirmed queue %d is at %+v", i, s)
		}
	}
	if got := states(t, l.view, 1, 0); !reflect.DeepEqual(got, before) || len(got) != len(peers) {
		t.Fatalf("after a restart there is %+v, was %+v", got, before)
	}
	l.sent(4)
	if got := states(t, l.view, 1, page.Next); !slices.ContainsFunc(got, func(s protocol.State) bool { return s.Target.ID == 4 && s.Head == 2 }) {
		t.Fatalf("since a page before the restart: %+v", got)
	}
}

// TestOlder: Redis comes back as it was some records ago; the owner writes again what has
// changed since.
func TestOlder(t *testing.T) {
	l := newLossy(t, "--save", "", "--appendonly", "no")
	l.sent(peers...)
	must(t, l.client.Save(t.Context()).Err())
	was := []chain.Mark{l.queues[0].writer.Mark(), l.queues[1].writer.Mark()}
	changed := []uint64{3, 5, 8, 20, 21, 22, 23}
	l.sent(changed...)
	l.sent(changed...)
	before := states(t, l.view, 1, 0)
	l.server.Kill()
	l.server.Start()
	for i, q := range l.queues {
		own := q.writer.Mark()
		if s := l.state(q); s.Mark != was[i] || was[i] == own {
			t.Fatalf("queue %d came back at %v, want %v, before %v", i, s.Mark, was[i], own)
		}
		var conflict *view.Conflict
		if err := q.writer.Confirm(t.Context()); !errors.As(err, &conflict) || conflict.Has != was[i] {
			t.Fatalf("an older view was confirmed: %v", err)
		}
		one := &ledger.Loaded{Key: protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 3}}
		if err := q.writer.Load(t.Context(), []*ledger.Loaded{one}); !errors.Is(err, logic.ErrUnavailable) {
			t.Fatalf("a conversation was loaded from an older view: %v, %+v", err, one)
		}
		list := l.memory.loaded(func(c protocol.Conversation) bool { return l.ofQueue(i)(c) && slices.Contains(changed, c.B) })
		for _, w := range list { // a device that has made room since
			key := fmt.Sprintf("{lossy.chat.%d}c\x01%s%s", i, u64(w.Key.A), u64(w.Key.B))
			must(t, l.client.HSet(t.Context(), key, "d"+u64(1)+u64(77), "\x01"+strings.Repeat("\x00", 40)).Err())
		}
		for range 2 { // as one who is not sure
			must(t, q.writer.Restore(t.Context(), was[i], list))
		}
		l.closed("before the mark is set")
		must(t, q.writer.Adopt(t.Context(), was[i], false))
		must(t, q.writer.Adopt(t.Context(), was[i], false))
		if err := q.writer.Restore(t.Context(), was[i], list); !errors.As(err, &conflict) {
			t.Fatalf("what is of an older mark was written into a view that goes on: %v", err)
		}
		stamp := q.writer.Stamp()
		must(t, q.writer.Confirm(t.Context()))
		if q.writer.Stamp() < stamp+10_000_000 {
			t.Fatalf("under another Redis stamp %d follows %d, its clock may be that of another machine", q.writer.Stamp(), stamp)
		}
	}
	l.check()
	if got := states(t, l.view, 1, 0); !reflect.DeepEqual(got, before) || len(got) != 12 {
		t.Fatalf("brought back there is %+v, was %+v", got, before)
	}
	l.sent(peers...)
	l.check()
}

// check compares what is loaded with what changes have said.
func (s *store) check() {
	s.t.Helper()
	for i, q := range s.queues {
		var list []*ledger.Loaded
		want := s.memory.loaded(func(c protocol.Conversation) bool { return c.Partition()%len(s.queues) == i })
		for _, w := range want {
			list = append(list, &ledger.Loaded{Key: w.Key})
		}
		must(s.t, q.writer.Load(s.t.Context(), list))
		state, err := q.writer.State(s.t.Context()) // readers who keep counts draw stamps too
		must(s.t, err)
		for i, got := range list {
			w := want[i].Loaded
			if got.Changed == 0 || got.Changed > state.Stamp {
				s.t.Fatalf("%v changed at %d, the last stamp is %d", got.Key, got.Changed, state.Stamp)
			}
			got.Changed = w.Changed
			if !reflect.DeepEqual(got, w) {
				s.t.Fatalf("there is\n%+v, changes said\n%+v", got, w)
			}
		}
	}
}

// TestEmptied: of an emptied Redis conversations come back while those go on that their
// owner knows.
func TestEmptied(t *testing.T) {
	l := newLossy(t)
	l.sent(peers...)
	before := states(t, l.view, 1, 0)
	l.server.Kill()
	l.server.Start()
	for i, q := range l.queues {
		if s := l.state(q); s.Mark != chain.Beginning || s.Confirmed {
			t.Fatalf("an emptied queue %d is at %+v", i, s)
		}
		must(t, q.writer.Adopt(t.Context(), chain.Beginning, true))
		must(t, q.writer.Adopt(t.Context(), chain.Beginning, true))
		q.ledger.Forget()
	}
	l.closed("while nothing is back")
	if got := l.send(2, 30); !slices.Equal(got, []logic.Outcome{logic.Unknown, logic.Unknown}) {
		t.Fatalf("conversations of which nobody knows anything had outcomes %v", got)
	}
	var later []view.Whole
	for i, q := range l.queues {
		list := l.memory.loaded(l.ofQueue(i))
		slices.SortFunc(list, func(a, b view.Whole) int { return cmp.Compare(a.Key.B, b.Key.B) })
		must(t, q.writer.Fill(t.Context(), list[:len(list)/2]))
		must(t, q.writer.Fill(t.Context(), list[:len(list)/2]))
		if n, err := l.client.Exists(t.Context(), "lossy:m"+u64(list[0].Key.B)).Result(); n != 1 || err != nil {
			t.Fatalf("a conversation is back and the mask of its user is not: %v", err)
		}
		l.sent(list[0].Key.B)
		later = append(later, list[len(list)/2:]...)
	}
	l.closed("while half is back")
	if got := l.send(later[0].Key.B); got[0] != logic.Unknown {
		t.Fatalf("a conversation that is not back had outcome %v", got)
	}
	for i, q := range l.queues {
		list := later[:0:0]
		for _, w := range append(l.memory.loaded(l.ofQueue(i)), later...) {
			if l.ofQueue(i)(w.Key) {
				list = append(list, w)
			}
		}
		must(t, q.writer.Fill(t.Context(), list))
		must(t, q.writer.Complete(t.Context()))
		if s := l.state(q); !s.Confirmed || s.Incomplete {
			t.Fatalf("queue %d is complete: %+v", i, s)
		}
	}
	l.check()
	got := states(t, l.view, 1, 0)
	if len(got) != len(before) {
		t.Fatalf("brought back there is %+v, was %+v", got, before)
	}
	for i, s := range got {
		if s.Target != before[i].Target || s.Head < before[i].Head {
			t.Fatalf("brought back there is %+v, was %+v", s, before[i])
		}
	}
	l.sent(append(peers, 30)...)
	l.check()
}

// TestFillMerges: what a record brings to a conversation that is not back stays, and the
// rest comes to it. Until then nobody takes the part for the whole.
func TestFillMerges(t *testing.T) {
	l := newLossy(t)
	l.sent(peers...)
	old := [][]view.Whole{l.memory.clone().loaded(l.ofQueue(0)), l.memory.clone().loaded(l.ofQueue(1))}
	l.server.Kill()
	l.server.Start()
	for _, q := range l.queues {
		l.state(q)
		must(t, q.writer.Adopt(t.Context(), chain.Beginning, true))
	}
	l.sent(2, 3, 4, 5) // the ledgers know them
	for i, q := range l.queues {
		one := &ledger.Loaded{Key: old[i][0].Key}
		for _, w := range old[i] {
			if w.Key.B == 2 || w.Key.B == 3 {
				one.Key = w.Key
			}
		}
		must(t, q.writer.Load(t.Context(), []*ledger.Loaded{one}))
		if !errors.Is(one.Err, logic.ErrUnavailable) {
			t.Fatalf("a part of a conversation was loaded: %+v", one)
		}
		must(t, q.writer.Fill(t.Context(), old[i]))
		must(t, q.writer.Complete(t.Context()))
	}
	l.check()
	if got := states(t, l.view, 1, 0); len(got) != len(peers) || got[0].Head != 2 || got[7].Head != 1 {
		t.Fatalf("there is %+v", got)
	}
}
