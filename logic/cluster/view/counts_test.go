//go:build cluster

package view_test

import (
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/internal/redis/redistest"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

// counting is a store with a conversation in which user 1 has sent five messages to user 2,
// who has answered with two.
func counting(t *testing.T, addresses []string) *lossy {
	o := options{addresses: addresses, name: redistest.Prefix(t, addresses...), queues: 2, cache: 100}
	l := &lossy{store: openStore(t, o, newMemory())}
	t.Cleanup(l.stop)
	l.sent(2, 2, 2, 2, 2)
	key := protocol.Target{Kind: protocol.KindDirect, ID: 2}.Conversation(1)
	b := &logic.Batch{Queue: key.Partition() % 2}
	for id := uint64(1); id <= 2; id++ {
		from := uint32(len(b.Blob))
		b.Blob = protocol.Message{Target: key.Target(2), Sender: 2, Device: 1, ClientID: id, Content: protocol.ContentText}.AppendFrame(b.Blob)
		b.Entries = append(b.Entries, logic.Entry{Op: 1, Conversation: key, User: 2, Device: 1, ClientID: id, Frame: hop.Span{Start: from, End: uint32(len(b.Blob))}})
	}
	must(t, l.Apply(t.Context(), []*logic.Batch{b}))
	return l
}

// reads has user 2 read up to a seq.
func (l *lossy) reads(seq uint64) {
	key := protocol.Target{Kind: protocol.KindDirect, ID: 2}.Conversation(1)
	b := &logic.Batch{Queue: key.Partition() % 2, Entries: []logic.Entry{{Op: 2, Conversation: key, User: 2, Device: 1, Seq: seq}}}
	must(l.t, l.Apply(l.t.Context(), []*logic.Batch{b}))
}

// unread gives what user 2 is told.
func (l *lossy) unread() uint64 {
	l.t.Helper()
	page, err := l.Changed(l.t.Context(), logic.InboxQuery{User: 2, Device: 1, Limit: 10, Room: 1 << 20})
	if err != nil || len(page.States) != 1 || page.States[0].Head != 7 {
		l.t.Fatalf("%+v, %v", page, err)
	}
	return page.States[0].Unread
}

// TestCountsAreAsked: what a read cursor leaves unread is asked for where nobody knows, and
// told to who keeps it. Without an answer the list says what it is at most.
func TestCountsAreAsked(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		l := counting(t, addresses)
		l.reads(3)
		for asked := range 3 {
			if got := l.unread(); got != 2 {
				t.Fatalf("%d are unread", got)
			}
			if want := 1; l.memory.counted != want {
				t.Fatalf("look %d: it was asked %d times, want %d", asked, l.memory.counted, want)
			}
		}
		l.check()
		l.memory.failing = true
		l.reads(4)
		if got := l.unread(); got != 3 || l.view.Vars()["failed.counts"] != 1 {
			t.Fatalf("without counts %d are unread, %v", got, l.view.Vars())
		}
		if got := states(t, l.view, 1, 0); got[0].PeerRead != 4 || got[0].Unread != 2 {
			t.Fatalf("the other sees %+v", got)
		}
		l.memory.failing = false
		if got := l.unread(); got != 1 || l.memory.counted != 2 {
			t.Fatalf("asked again %d are unread, after %d counts", got, l.memory.counted)
		}
	})
}

// TestCountsAreBounds: where messages are missing what is unread is as little as the bounds
// say, and nobody keeps it for exact. Bounds that cannot be change nothing.
func TestCountsAreBounds(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		for _, c := range []struct{ count, own, want uint64 }{
			{0, ^uint64(0), 5}, {4, ^uint64(0), 3}, {4, 1, 2}, {4, 0, 1}, {7, 0, 0}, {8, 0, 5}, {2, 9, 5},
		} {
			l := counting(t, addresses)
			l.memory.bounds = &view.Count{Count: c.count, Own: c.own, Bounds: true}
			l.reads(2)
			for range 2 {
				if got := l.unread(); got != c.want {
					t.Errorf("with at least %d counting and at most %d of one's own %d are unread, want %d", c.count, c.own, got, c.want)
				}
			}
			if l.memory.counted != 2 {
				t.Errorf("bounds were kept: it was asked %d times", l.memory.counted)
			}
		}
	})
}

// TestCountsComeLate: a list does not wait for counts that do not come, and knows them later.
func TestCountsComeLate(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		l := counting(t, addresses)
		come := make(chan struct{})
		l.memory.waits = come
		l.reads(3)
		for range 2 { // the second time at once: nobody is asked for a while
			if got := l.unread(); got != 4 {
				t.Fatalf("%d are unread, want the 4 that it may be at most", got)
			}
		}
		if n := l.view.Vars()["failed.counts"]; n != 2 {
			t.Fatalf("%d lists were answered without counts", n)
		}
		close(come)
		eventually(t, "it has answered", func() bool {
			l.memory.mu.Lock()
			defer l.memory.mu.Unlock()
			l.memory.failing = l.memory.counted == 1 // nobody else is
			return l.memory.failing
		})
		eventually(t, "what came late is kept", func() bool { return l.unread() == 2 })
	})
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for this: %s", what)
		}
	}
}
