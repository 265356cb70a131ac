//go:build cluster

package view_test

import (
	"errors"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/chain"
	"gannet/internal/redis/redistest"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// TestDamagedView: whatever lies in Redis, who asks is told that it is unavailable, it is
// counted, and other conversations are loaded.
func TestDamagedView(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		name := redistest.Prefix(t, addresses...)
		v, w := newWriter(t, addresses, name)
		ctx, client := t.Context(), newClient(t, addresses)
		must(t, w.Confirm(ctx))
		must(t, w.Forward(ctx, markOf(1, 1), said(1, "one", 2, 3)))
		state := "{" + name + ".chat.0}v"
		base := strings.TrimSuffix(state, "v")
		talk := base + "c\x01" + u64(1) + u64(2)
		one := []string{"p", "l", "m" + u64(1), "d" + u64(1) + u64(5)}
		for _, field := range one {
			was, err := client.HGet(ctx, talk, field).Result()
			must(t, err)
			for _, bad := range []string{"", "\x01", "\x02" + was[1:], was[:len(was)-1], strings.Repeat("\xff", len(was)), "\x01" + strings.Repeat("\xff", len(was)-1)} {
				must(t, client.HSet(ctx, talk, field, bad).Err())
				before := v.Vars()["damaged.view"]
				if _, err := v.Changed(ctx, logic.InboxQuery{User: 1, Device: 5, Limit: 10, Room: 1 << 20}); !errors.Is(err, logic.ErrUnavailable) {
					t.Fatalf("with field %q as %q the inbox is answered: %v", field, bad, err)
				}
				if v.Vars()["damaged.view"] != before+1 {
					t.Fatalf("with field %q as %q nothing was counted", field, bad)
				}
				list := []*ledger.Loaded{{Key: protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}}, {Key: protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 3}}}
				must(t, w.Load(ctx, list))
				if damaged := list[0].Err != nil; damaged != (field != "l") || list[1].Err != nil || list[1].Head != 1 {
					t.Fatalf("with field %q as %q there was loaded %+v and %+v", field, bad, list[0], list[1])
				}
			}
			must(t, client.HSet(ctx, talk, field, was).Err())
			must(t, client.HSet(ctx, talk, "later", "of another program").Err())
			if got := states(t, v, 1, 0); len(got) != 2 {
				t.Fatalf("repaired there is %+v", got)
			}
		}
		must(t, client.ZAdd(ctx, base+"u"+u64(1), goredis.Z{Member: "short"}).Err())
		if _, err := v.Changed(ctx, logic.InboxQuery{User: 1, Device: 5, Limit: 10, Room: 1 << 20}); !errors.Is(err, logic.ErrUnavailable) {
			t.Fatalf("a damaged slice is answered: %v", err)
		}
		must(t, client.ZRem(ctx, base+"u"+u64(1), "short").Err())
		for field, bad := range map[string]string{"a": "\x01garbage", "s": "garbage!!"} {
			was, err := client.HGet(ctx, state, field).Result()
			must(t, err)
			must(t, client.HSet(ctx, state, field, bad).Err())
			if err := w.Forward(ctx, markOf(1, 2), said(2, "two", 2)); !errors.Is(err, logic.ErrUnavailable) {
				t.Fatalf("with %q as %q a record was taken in: %v", field, bad, err)
			}
			if _, err := w.State(ctx); !errors.Is(err, logic.ErrUnavailable) {
				t.Fatalf("with %q as %q there is a state: %v", field, bad, err)
			}
			must(t, client.HSet(ctx, state, field, was).Err())
		}
		must(t, w.Again(ctx))
		if got := states(t, v, 1, 0); len(got) != 2 || got[0].Head != 2 {
			t.Fatalf("in the end there is %+v", got)
		}
	})
}

// TestCountsAreAsked: what a read cursor leaves unread is asked for where nobody knows, and
// told to who keeps it; an error of it is the inbox's.
func TestCountsAreAsked(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		o := options{addresses: addresses, name: redistest.Prefix(t, addresses...), queues: 2, cache: 100}
		l := &lossy{store: openStore(t, o, newMemory())}
		t.Cleanup(l.stop)
		l.sent(2, 2, 2, 2, 2)
		key := protocol.Target{Kind: protocol.KindDirect, ID: 2}.Conversation(1)
		b := &logic.Batch{Queue: key.Partition() % 2, Entries: []logic.Entry{{Op: 2, Conversation: key, User: 2, Device: 1, Seq: 3}}}
		must(t, l.Apply(t.Context(), []*logic.Batch{b}))
		for asked := range 3 {
			page, err := l.Changed(t.Context(), logic.InboxQuery{User: 2, Device: 1, Limit: 10, Room: 1 << 20})
			if err != nil || len(page.States) != 1 || page.States[0].Unread != 2 || page.States[0].Read != 3 {
				t.Fatalf("%+v, %v", page, err)
			}
			if want := 1; l.memory.counted != want {
				t.Fatalf("look %d: it was asked %d times, want %d", asked, l.memory.counted, want)
			}
		}
		l.check()
		b = &logic.Batch{Queue: b.Queue, Entries: []logic.Entry{{Op: 2, Conversation: key, User: 2, Device: 1, Seq: 4}}}
		must(t, l.Apply(t.Context(), []*logic.Batch{b}))
		l.memory.failing = true
		if _, err := l.Changed(t.Context(), logic.InboxQuery{User: 2, Device: 1, Limit: 10, Room: 1 << 20}); !errors.Is(err, logic.ErrUnavailable) || l.view.Vars()["failed.counts"] != 1 {
			t.Fatalf("without counts: %v, %v", err, l.view.Vars())
		}
		if got := states(t, l.view, 1, 0); got[0].PeerRead != 4 || got[0].Unread != 0 {
			t.Fatalf("the other sees %+v", got)
		}
	})
}

// TestClosed: a view that nobody has confirmed is not believed.
func TestClosed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		v, w := newWriter(t, addresses, redistest.Prefix(t, addresses...))
		look := func() error {
			_, err := v.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 5, Limit: 10, Room: 1 << 20})
			return err
		}
		must(t, w.Forward(t.Context(), markOf(1, 1), said(1, "one", 2)))
		if err := look(); !errors.Is(err, logic.ErrUnavailable) {
			t.Fatalf("a view that nobody confirmed: %v", err)
		}
		must(t, w.Confirm(t.Context()))
		must(t, look())
		must(t, w.Adopt(t.Context(), markOf(1, 1), true))
		if err := look(); !errors.Is(err, logic.ErrUnavailable) || v.Vars()["refused.view_closed"] == 0 {
			t.Fatalf("an incomplete view: %v, %v", err, v.Vars())
		}
		must(t, w.Confirm(t.Context()))
		if err := look(); !errors.Is(err, logic.ErrUnavailable) {
			t.Fatalf("an incomplete view that was confirmed: %v", err)
		}
		must(t, w.Complete(t.Context()))
		must(t, look())
		if _, err := v.Writer(chain.Queue{}); err == nil {
			t.Fatal("a queue of no class has a writer")
		}
	})
}
