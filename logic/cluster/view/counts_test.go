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

// newCounting is an empty store.
func newCounting(t *testing.T, addresses []string, queues int) *lossy {
	o := options{addresses: addresses, name: redistest.Prefix(t, addresses...), queues: queues, cache: 100}
	l := &lossy{store: openStore(t, o, newMemory())}
	t.Cleanup(l.stop)
	return l
}

// counting is a store with a conversation in which user 1 has sent five messages to user 2,
// who has answered with two. It has one queue, so that no other one says that its stamps have
// not come so far.
func counting(t *testing.T, addresses []string) *lossy {
	l := newCounting(t, addresses, 1)
	l.sent(2, 2, 2, 2, 2)
	l.says(2, 1, 1)
	l.says(2, 1, 2)
	return l
}

// says has a user send a message to a peer.
func (l *lossy) says(user, peer, id uint64) {
	key := protocol.Target{Kind: protocol.KindDirect, ID: peer}.Conversation(user)
	b := &logic.Batch{Queue: key.Partition() % len(l.queues)}
	b.Blob = protocol.Message{Target: key.Target(user), Sender: user, Device: 1, ClientID: id, Content: protocol.ContentText}.AppendFrame(b.Blob)
	b.Entries = append(b.Entries, logic.Entry{Op: hop.OpMessage, Conversation: key, User: user, Device: 1, ClientID: id, Frame: hop.Span{End: uint32(len(b.Blob))}})
	must(l.t, l.Apply(l.t.Context(), []*logic.Batch{b}))
}

// read has a user read up to a seq of the conversation with a peer.
func (l *lossy) read(user, peer, seq uint64) {
	key := protocol.Target{Kind: protocol.KindDirect, ID: peer}.Conversation(user)
	b := &logic.Batch{Queue: key.Partition() % len(l.queues), Entries: []logic.Entry{{Op: hop.OpRead, Conversation: key, User: user, Device: 1, Seq: seq}}}
	must(l.t, l.Apply(l.t.Context(), []*logic.Batch{b}))
}

// reads has user 2 read up to a seq.
func (l *lossy) reads(seq uint64) { l.read(2, 1, seq) }

// talk is the key of the conversation of users 1 and 2.
func (l *lossy) talk() string { return "{" + l.options.name + ".chat.0}c\x01" + u64(1) + u64(2) }

// fresh is a node that has asked nobody yet, neither for counts nor for stamps.
func (l *lossy) fresh() *view.View {
	l.t.Helper()
	return l.options.view(l.t, l.client, l.memory)
}

// hurried has lists wait for counts no longer than those of a server.
func (l *lossy) hurried() *lossy {
	l.t.Helper()
	l.options.hurried = true
	l.view = l.fresh()
	return l
}

// told gives what a node tells a device of user 2, and the since of its next list.
func (l *lossy) told(v *view.View, device, since uint64) ([]protocol.State, uint64) {
	l.t.Helper()
	page, err := v.Changed(l.t.Context(), logic.InboxQuery{User: 2, Device: device, Since: since, Limit: 10, Room: 1 << 20})
	must(l.t, err)
	return page.States, page.Next
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

// TestCountsCannotBe: counts that cannot be are no counts, whoever says so, and are not kept.
func TestCountsCannotBe(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		for _, byHeart := range []bool{false, true} {
			for _, bad := range []view.Count{{Count: 8}, {Count: 1, Own: 2}, {Count: 5, Own: 3}, {Count: 7}} {
				l := counting(t, addresses)
				l.memory.bounds = &bad
				l.memory.knows = map[protocol.Conversation]bool{{Kind: protocol.KindDirect, A: 1, B: 2}: byHeart}
				l.reads(3)
				if got := l.unread(); got != 4 {
					t.Errorf("where %d count and %d are one's own %d are unread, want 4 at most", bad.Count, bad.Own, got)
				}
				l.memory.set(func() { l.memory.bounds, l.memory.knows = nil, nil })
				if got := l.unread(); got != 2 {
					t.Errorf("after %d and %d %d are unread, want 2", bad.Count, bad.Own, got)
				}
			}
		}
	})
}

// TestCountsComeLate: a list does not wait for counts that do not come, and knows them later,
// without anybody asking again.
func TestCountsComeLate(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		l := counting(t, addresses).hurried()
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
		_, since := l.told(l.fresh(), 1, 0)
		close(come)
		eventually(t, "it has answered", func() bool {
			l.memory.mu.Lock()
			defer l.memory.mu.Unlock()
			l.memory.failing = l.memory.counted > 0 // nobody else is
			return l.memory.failing
		})
		eventually(t, "what came late is told", func() bool {
			states, _ := l.told(l.fresh(), 1, since)
			return len(states) == 1 && states[0].Unread == 2
		})
	})
}

// TestCountsComeTooLate: counts of a cursor that has risen meanwhile are nobody's.
func TestCountsComeTooLate(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		l := counting(t, addresses).hurried()
		come := make(chan struct{})
		l.memory.waits = come
		l.reads(3)
		l.unread()
		l.reads(5)
		scripts := l.view.Vars()["scripts"]
		close(come)
		eventually(t, "they are to be kept", func() bool { return l.view.Vars()["scripts"] > scripts })
		time.Sleep(50 * time.Millisecond) // for Redis
		l.memory.set(func() { l.memory.failing = true })
		if states, _ := l.told(l.fresh(), 1, 0); len(states) != 1 || states[0].Read != 5 || states[0].Unread != 2 {
			t.Errorf("there is %+v", states)
		}
		if kept, err := l.client.HExists(t.Context(), l.talk(), "n"+u64(2)).Result(); err != nil || kept {
			t.Errorf("what counts up to another cursor is kept: %t, %v", kept, err)
		}
	})
}

// TestBoundsAreToldAgain: a device that was told a bound is told what is so by its next list,
// whatever it is asked since, though nothing else has changed, and though another device has
// asked before it. Then it is not told again.
func TestBoundsAreToldAgain(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		for _, how := range []string{"failing", "bounds"} {
			l := counting(t, addresses)
			l.memory.failing = how == "failing"
			if how == "bounds" {
				l.memory.bounds = &view.Count{Own: ^uint64(0), Bounds: true}
			}
			l.reads(3)
			states, one := l.told(l.fresh(), 1, 0)
			if len(states) != 1 || states[0].Unread != 4 {
				t.Fatalf("at first there is %+v", states)
			}
			_, two := l.told(l.fresh(), 2, 0)
			for range 2 { // as long as nobody knows, and no more than that one
				if states, one = l.told(l.fresh(), 1, one); len(states) != 1 || states[0].Unread != 4 {
					t.Fatalf("%s: while nobody counts there is %+v", how, states)
				}
			}
			l.memory.set(func() { l.memory.failing, l.memory.bounds = false, nil })
			if states, one = l.told(l.fresh(), 1, one); len(states) != 1 || states[0].Unread != 2 {
				t.Fatalf("%s: the first device is told %+v", how, states)
			}
			if states, two = l.told(l.fresh(), 2, two); len(states) != 1 || states[0].Unread != 2 {
				t.Fatalf("%s: the second device is told %+v", how, states)
			}
			_, one = l.told(l.fresh(), 1, one) // it was kept after that list had begun
			for device, since := range map[uint64]uint64{1: one, 2: two} {
				if states, _ := l.told(l.fresh(), device, since); len(states) != 0 {
					t.Errorf("%s: device %d is told again: %+v", how, device, states)
				}
			}
			if l.memory.counted > 5 {
				t.Errorf("%s: it was asked %d times", how, l.memory.counted)
			}
		}
	})
}

// TestCountsAreKept: what was counted up to a cursor stays known for as long as the cursor
// stays, whatever the owner of the queue writes: it has not heard of it.
func TestCountsAreKept(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		l := counting(t, addresses)
		l.reads(3)
		if got := l.unread(); got != 2 {
			t.Fatalf("%d are unread", got)
		}
		l.memory.set(func() { l.memory.failing = true })
		for id := uint64(3); id <= 4; id++ {
			l.says(2, 1, id)
			if states, _ := l.told(l.fresh(), 1, 0); len(states) != 1 || states[0].Unread != 2 || states[0].Head != 5+id {
				t.Fatalf("after an answer there is %+v", states)
			}
		}
		talk := l.talk()
		was, err := l.client.HGet(t.Context(), talk, "n"+u64(2)).Result()
		must(t, err)
		for _, bad := range []string{"", "\x02" + was[1:], was[:9], was[:9] + u64(100) + u64(0), was[:9] + u64(1) + u64(2)} {
			must(t, l.client.HSet(t.Context(), talk, "n"+u64(2), bad).Err())
			l.memory.set(func() { l.memory.failing = true })
			if states, _ := l.told(l.fresh(), 1, 0); len(states) != 1 || states[0].Unread != 5 {
				t.Fatalf("where Redis keeps %q there is %+v", bad, states)
			}
			l.memory.set(func() { l.memory.failing = false })
			for range 2 {
				if states, _ := l.told(l.fresh(), 1, 0); len(states) != 1 || states[0].Unread != 2 {
					t.Fatalf("where Redis kept %q there is %+v", bad, states)
				}
			}
			if now, err := l.client.HGet(t.Context(), talk, "n"+u64(2)).Result(); err != nil || now != was {
				t.Fatalf("in place of %q Redis keeps %q, %v", bad, now, err)
			}
		}
		l.reads(5)
		if states, _ := l.told(l.fresh(), 1, 0); len(states) != 1 || states[0].Unread != 0 {
			t.Fatalf("what was kept for another cursor counts: %+v", states)
		}
	})
}

// TestCountsByHeart: what is remembered is told at once, in a list whose other counts do not
// come in time, and while nobody is asked for those.
func TestCountsByHeart(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		l := newCounting(t, addresses, 2).hurried()
		come := make(chan struct{})
		defer close(come)
		l.memory.waits, l.memory.knows = come, make(map[protocol.Conversation]bool)
		const last = 8
		for peer := uint64(2); peer <= last; peer++ {
			for i, sender := range []uint64{peer, peer, 1, 1, peer} {
				l.says(sender, 1+peer-sender, uint64(i)+1)
			}
			l.read(1, peer, 1)
		}
		for round, known := range []uint64{4, 6} { // the second one while nobody is asked
			for peer := uint64(2); peer <= known; peer++ {
				l.memory.knows[protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: peer}] = true
			}
			look := func() time.Duration {
				began := time.Now()
				got := states(t, l.view, 1, 0)
				took := time.Since(began)
				for i, s := range got {
					want := uint64(2)
					if s.Target.ID > known {
						want = 3 // what the other has sent
					}
					if len(got) != last-1 || s.Target.ID != uint64(i)+2 || s.Unread != want {
						t.Errorf("round %d: %d of conversation %d are unread, want %d", round, s.Unread, s.Target.ID, want)
					}
				}
				return took
			}
			if round == 0 {
				look()
				continue
			}
			// A list that comes after the pause waits, and begins the next one.
			eventually(t, "a list does not wait while nobody is asked", func() bool { return look() < 300*time.Millisecond })
		}
		l.memory.set(func() { l.memory.knows = nil })
		for i, s := range states(t, l.view, 1, 0)[:5] {
			if s.Unread != 2 {
				t.Errorf("what was remembered is not kept: %d of conversation %d are unread", s.Unread, i+2)
			}
		}
	})
}

// TestCountsMeetABug: a list is answered, and nobody keeps anything of what a bug broke off.
func TestCountsMeetABug(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		l := counting(t, addresses)
		l.memory.broken = true
		l.reads(3)
		if got := l.unread(); got != 4 || l.view.Vars()["failed.counts"] != 1 || l.view.Vars()["panics"] != 1 {
			t.Errorf("%d are unread, %v", got, l.view.Vars())
		}
		l.memory.set(func() { l.memory.broken = false })
		if got := l.unread(); got != 2 {
			t.Errorf("then %d are unread", got)
		}
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
