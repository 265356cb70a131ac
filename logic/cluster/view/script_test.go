//go:build cluster

package view_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/redis/redistest"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

var chat0 = chain.Queue{Class: chain.Chat}

// newWriter makes a view of one queue under a name, and a writer.
func newWriter(t testing.TB, addresses []string, name string) (*view.View, *view.Writer) {
	t.Helper()
	v, err := view.New(newClient(t, addresses), view.Options{Name: name, Queues: []chain.Queue{chat0}, Counts: newMemory()})
	if err != nil {
		t.Fatal(err)
	}
	w, err := v.Writer(chat0)
	if err != nil {
		t.Fatal(err)
	}
	return v, w
}

// talked makes a confirmed view, under a name of its own, in which user 1 has written to users 2
// and 3.
func talked(t testing.TB, addresses []string) (name string, v *view.View, w *view.Writer) {
	t.Helper()
	name = redistest.Prefix(t, addresses...)
	v, w = newWriter(t, addresses, name)
	must(t, w.Confirm(t.Context()))
	must(t, w.Forward(t.Context(), markOf(1, 1), said(1, "one", 2, 3)))
	return name, v, w
}

// said is a change in which user 1 writes message seq to each peer.
func said(seq uint64, body string, peers ...uint64) *ledger.Change {
	c := new(ledger.Change)
	for i, peer := range peers {
		key := protocol.Target{Kind: protocol.KindDirect, ID: peer}.Conversation(1)
		m := protocol.Message{
			Target: key.Target(1), Seq: seq, Time: 1000 + seq, Sender: 1, Device: 5, ClientID: seq,
			Content: protocol.ContentText, Body: []byte(body),
		}
		one := hop.Span{Start: uint32(i), End: uint32(i + 1)}
		c.Messages = append(c.Messages, ledger.Message{Seq: seq, Previous: seq - 1, Count: seq, Own: seq, Payload: m.AppendPayload(nil)})
		c.Members = append(c.Members, ledger.Member{User: 1, Total: seq})
		c.Devices = append(c.Devices, ledger.Device{User: 1, Device: 5, MaxID: seq, Last: seq, Acked: seq, Time: 1000 + seq})
		c.Conversations = append(c.Conversations, ledger.Changed{
			Key: key, Before: ledger.Progress{Head: seq - 1}, After: ledger.Progress{Head: seq, Time: 1000 + seq, Count: seq},
			Messages: one, Members: one, Devices: one,
		})
	}
	return c
}

func markOf(writer, number uint64) chain.Mark {
	return chain.Mark{Offset: int64(number), Writer: writer, Number: number}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// states gives the whole inbox of a user.
func states(t testing.TB, inbox logic.Inbox, user uint64, since uint64) []protocol.State {
	t.Helper()
	page, err := inbox.Changed(t.Context(), logic.InboxQuery{User: user, Device: 5, Since: since, Limit: 1000, Room: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return page.States
}

func TestOneOfTwoWriters(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		name := redistest.Prefix(t, addresses...)
		v, a := newWriter(t, addresses, name)
		_, b := newWriter(t, addresses, name)
		must(t, a.Confirm(t.Context()))
		wins := map[*view.Writer]int{}
		for round := uint64(1); round <= 100; round++ {
			var wg sync.WaitGroup
			var errs [2]error
			for i, w := range []*view.Writer{a, b} {
				wg.Go(func() {
					errs[i] = w.Forward(t.Context(), markOf(uint64(i+1), round), said(round, fmt.Sprint("by ", i), 2, uint64(3+i)))
				})
			}
			wg.Wait()
			winner, loser := 0, 1
			if errs[0] != nil {
				winner, loser = 1, 0
			}
			var conflict *view.Conflict
			if errs[winner] != nil || !errors.As(errs[loser], &conflict) || conflict.Has != markOf(uint64(winner+1), round) {
				t.Fatalf("round %d: %v and %v", round, errs[0], errs[1])
			}
			w := []*view.Writer{a, b}
			wins[w[winner]]++
			w[loser].Believe(conflict.Has, w[winner].Stamp())
			for _, s := range states(t, v, 1, 0) {
				if s.Target.ID == 2 && string(lastBody(t, s)) != fmt.Sprint("by ", winner) {
					t.Fatalf("round %d: writer %d won, and the message is %q", round, winner, lastBody(t, s))
				}
			}
		}
		t.Logf("the wins are %d and %d", wins[a], wins[b])
	})
}

func lastBody(t *testing.T, s protocol.State) []byte {
	t.Helper()
	var m protocol.Message
	must(t, m.Decode(s.Last))
	return m.Body
}

// load reads the conversations of user 1 with peers.
func load(t *testing.T, w *view.Writer, peers ...uint64) (list []*ledger.Loaded) {
	t.Helper()
	for _, peer := range peers {
		list = append(list, &ledger.Loaded{Key: protocol.Target{Kind: protocol.KindDirect, ID: peer}.Conversation(1)})
	}
	must(t, w.Load(t.Context(), list))
	for _, c := range list {
		must(t, c.Err)
	}
	return list
}

// TestRepeats: the same record twice, by two who believe the same, changes nothing the
// second time, and neither does one that comes late.
func TestRepeats(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		name := redistest.Prefix(t, addresses...)
		v, a := newWriter(t, addresses, name)
		_, b := newWriter(t, addresses, name)
		must(t, a.Confirm(t.Context()))
		must(t, a.Forward(t.Context(), markOf(1, 1), said(1, "one", 2, 3)))
		first := load(t, a, 2, 3)
		must(t, b.Forward(t.Context(), markOf(1, 1), said(1, "another", 2, 3)))
		must(t, b.Again(t.Context()))
		if b.Stamp() != a.Stamp() || b.Mark() != markOf(1, 1) || !reflect.DeepEqual(load(t, b, 2, 3), first) {
			t.Fatalf("a repetition gave stamp %d after %d, and %+v", b.Stamp(), a.Stamp(), load(t, b, 2, 3))
		}
		for _, s := range states(t, v, 1, 0) {
			if string(lastBody(t, s)) != "one" {
				t.Fatalf("a repetition gave %q", lastBody(t, s))
			}
		}
		must(t, a.Forward(t.Context(), markOf(1, 2), said(2, "two", 2)))
		b.Believe(chain.Beginning, 0)
		var conflict *view.Conflict
		if err := b.Forward(t.Context(), markOf(1, 1), said(1, "late", 2, 3)); !errors.As(err, &conflict) || conflict.Has != markOf(1, 2) {
			t.Fatalf("a record that came late: %v", err)
		}
		if got := states(t, v, 1, 0); len(got) != 2 || string(lastBody(t, got[0])) != "two" {
			t.Fatalf("a record that came late left %+v", got)
		}
		must(t, newClient(t, addresses).ScriptFlush(t.Context()).Err())
		must(t, a.Forward(t.Context(), markOf(1, 3), said(3, "three", 2)))
		if got := states(t, v, 1, 0); string(lastBody(t, got[0])) != "three" {
			t.Fatalf("after scripts were forgotten: %+v", got)
		}
	})
}

// TestStampsRise: stamps are above one that the owner knows, whatever the clock of Redis
// says, and a next that a reader was given is not given to a change before it.
func TestStampsRise(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		v, w := newWriter(t, addresses, redistest.Prefix(t, addresses...))
		must(t, w.Confirm(t.Context()))
		must(t, w.Forward(t.Context(), markOf(1, 1), said(1, "one", 2)))
		states(t, v, 1, 0)
		first, err := v.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 5, Limit: 10, Room: 1 << 16})
		must(t, err)
		state, err := w.State(t.Context())
		must(t, err)
		if next := first.Next >> 12; next > state.Stamp+1 { // a clock that is set back gives it again
			t.Fatalf("a reader was given the stamp %d as the next one, and Redis takes %d for the last", next, state.Stamp)
		}
		ahead := w.Stamp() + 3_600_000_000
		w.Believe(w.Mark(), ahead)
		for n := uint64(2); n <= 20; n++ {
			before := w.Stamp()
			must(t, w.Forward(t.Context(), markOf(1, n), said(n, "more", 2)))
			if w.Stamp() <= before || w.Stamp() > ahead+100 {
				t.Fatalf("stamp %d follows %d", w.Stamp(), before)
			}
			page, err := v.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 5, Limit: 10, Room: 1 << 16})
			must(t, err)
			must(t, w.Forward(t.Context(), markOf(1, n+100), said(n, "behind the page", 2)))
			w.Believe(markOf(1, n+100), 0)
			if got := states(t, v, 1, page.Next); len(got) == 0 {
				t.Fatalf("nothing changed since a page, after which something did")
			}
		}
	})
}

// TestStandingRedis: a server that stands still gives errors in time, and what was tried
// is there once when it goes on.
func TestStandingRedis(t *testing.T) {
	server := servicestest.OwnRedis(t)
	v, w := newWriter(t, []string{server.Address}, "stands")
	must(t, w.Confirm(t.Context()))
	server.Stop()
	err := w.Forward(t.Context(), markOf(1, 1), said(1, "one", 2))
	if !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("a server that stands still: %v", err)
	}
	if _, err := v.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 5, Limit: 1}); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("an inbox on a server that stands still: %v", err)
	}
	server.Continue()
	for err = w.Again(t.Context()); errors.Is(err, logic.ErrUnavailable); err = w.Again(t.Context()) {
	}
	must(t, err)
	if got := states(t, v, 1, 0); len(got) != 1 || got[0].Head != 1 || w.Mark() != markOf(1, 1) {
		t.Fatalf("afterwards there is %+v at %v", got, w.Mark())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Forward(ctx, markOf(1, 2), nil); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("a call that ended: %v", err)
	}
	must(t, w.Again(t.Context()))
	if w.Mark() != markOf(1, 2) || v.Vars()["failed.redis"] == 0 {
		t.Fatalf("at %v, counters %v", w.Mark(), v.Vars())
	}
}
