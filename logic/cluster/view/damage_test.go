//go:build cluster

package view_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/chain"
	"gannet/internal/redis/redistest"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// TestDamagedView: whatever lies in Redis, what it is about is unavailable, it is counted and
// its owner is told, and other conversations are loaded and listed.
func TestDamagedView(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		name, v, w := talked(t, addresses)
		ctx, client := t.Context(), newClient(t, addresses)
		state := "{" + name + ".chat.0}v"
		base := strings.TrimSuffix(state, "v")
		talk := base + "c\x01" + u64(1) + u64(2)
		pair := protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}
		// damaged checks what is said while something of the pair is damaged.
		damaged := func(what string, listed int) {
			t.Helper()
			before := v.Vars()["damaged.view"]
			page, err := v.Changed(ctx, logic.InboxQuery{User: 1, Device: 5, Limit: 10, Room: 1 << 20})
			if err != nil || len(page.States) != listed || page.States[listed-1].Target.ID != 3 || page.More || page.After.ID != 3 {
				t.Fatalf("with %s the inbox is %+v, %v", what, page, err)
			}
			if listed == 2 && (page.States[0].Head != 1 || len(page.States[0].Last) > 0 || page.States[0].LastSize > 0) {
				t.Fatalf("with %s the pair is shown as %+v", what, page.States[0])
			}
			if v.Vars()["damaged.view"] != before+1 {
				t.Fatalf("with %s nothing was counted", what)
			}
			other := protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 3}
			for _, heeds := range []protocol.Conversation{other, pair} { // it is said until the owner knows
				if s, err := w.State(ctx); err != nil || !reflect.DeepEqual(s.Suspect, &pair) {
					t.Fatalf("with %s the owner is told of %v, %v, want %v", what, s.Suspect, err, pair)
				}
				must(t, w.Heed(ctx, heeds))
			}
			if s, err := w.State(ctx); err != nil || s.Suspect != nil {
				t.Fatalf("with %s the owner is told again of %v, %v", what, s.Suspect, err)
			}
			list := []*ledger.Loaded{{Key: pair}, {Key: protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 3}}}
			must(t, w.Load(ctx, list))
			if view.Damaged(list[0].Err) != (listed == 1) || list[1].Err != nil || list[1].Head != 1 {
				t.Fatalf("with %s there was loaded %+v and %+v", what, list[0], list[1])
			}
			given := map[protocol.Conversation]bool{} // and whether it is damaged
			err = w.Each(ctx, func(list []*ledger.Loaded) error {
				for _, c := range list {
					given[c.Key] = view.Damaged(c.Err)
				}
				return nil
			})
			if want := (map[protocol.Conversation]bool{pair: listed == 1, other: false}); err != nil || !maps.Equal(given, want) {
				t.Fatalf("with %s there were given %v, %v, want %v", what, given, err, want)
			}
		}
		one := []string{"p", "l", "m" + u64(1), "d" + u64(1) + u64(5)}
		for _, field := range one {
			was, err := client.HGet(ctx, talk, field).Result()
			must(t, err)
			for _, bad := range []string{"", "\x01", "\x02" + was[1:], was[:len(was)-1], strings.Repeat("\xff", len(was)), "\x01" + strings.Repeat("\xff", len(was)-1)} {
				must(t, client.HSet(ctx, talk, field, bad).Err())
				listed := 1
				if field == "l" {
					listed = 2
				}
				damaged(fmt.Sprintf("field %q as %q", field, bad), listed)
			}
			if field == "p" {
				must(t, client.HDel(ctx, talk, field).Err())
				damaged("no progress", 1)
			}
			must(t, client.HSet(ctx, talk, field, was).Err())
			must(t, client.HSet(ctx, talk, "later", "of another program").Err())
			if got := states(t, v, 1, 0); len(got) != 2 {
				t.Fatalf("repaired there is %+v", got)
			}
		}
		must(t, client.Rename(ctx, talk, talk+"whole").Err()) // which is the key of no conversation
		must(t, client.Set(ctx, talk, "a string", 0).Err())
		damaged("a string in place of the hash", 1)
		must(t, client.Del(ctx, talk).Err())
		damaged("no key at all", 1)
		mine := base + "u" + u64(1)
		must(t, client.Rename(ctx, mine, mine+"kept").Err()) // then only the other user's inbox has it
		list := []*ledger.Loaded{{Key: pair}}
		if must(t, w.Load(ctx, list)); !view.Damaged(list[0].Err) {
			t.Fatalf("without its key and an inbox there was loaded %+v", list[0])
		}
		must(t, client.Rename(ctx, mine+"kept", mine).Err())
		must(t, client.Rename(ctx, talk+"whole", talk).Err())
		must(t, client.ZAdd(ctx, base+"u"+u64(1), goredis.Z{Member: "short"}).Err())
		if _, err := v.Changed(ctx, logic.InboxQuery{User: 1, Device: 5, Limit: 10, Room: 1 << 20}); !errors.Is(err, logic.ErrUnavailable) {
			t.Fatalf("a damaged slice is answered: %v", err)
		}
		must(t, client.ZRem(ctx, base+"u"+u64(1), "short").Err())
		must(t, client.ZAdd(ctx, base+"u"+u64(1), goredis.Z{Member: "\x09" + u64(7)}).Err()) // of no kind that there is
		n := 0
		if err := w.Each(ctx, func(list []*ledger.Loaded) error { n += len(list); return nil }); err != nil || n != 2 {
			t.Fatalf("beside an entry of no conversation %d were given, %v", n, err)
		}
		must(t, client.ZRem(ctx, base+"u"+u64(1), "\x09"+u64(7)).Err())
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

// TestGone: a conversation whose key is gone is damaged, and does not begin anew: for who lists
// it, for who loads it, and for who writes it from memory.
func TestGone(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		name, v, w := talked(t, addresses)
		ctx, client := t.Context(), newClient(t, addresses)
		key := "{" + name + ".chat.0}c\x01" + u64(1) + u64(2)
		pair := protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}
		gone := func(what string) {
			t.Helper()
			before := v.Vars()["damaged.view"]
			if got := states(t, v, 1, 0); len(got) != 1 || got[0].Target.ID != 3 || v.Vars()["damaged.view"] != before+1 {
				t.Fatalf("%s there is listed %+v, counted %d", what, got, v.Vars()["damaged.view"]-before)
			}
			if s, err := w.State(ctx); err != nil || s.Suspect == nil || *s.Suspect != pair {
				t.Fatalf("%s the owner is told of %v, %v", what, s.Suspect, err)
			}
			list := []*ledger.Loaded{{Key: pair}, {Key: protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 3}}, {Key: protocol.Conversation{Kind: protocol.KindDirect, A: 2, B: 3}}}
			must(t, w.Load(ctx, list))
			if !view.Damaged(list[0].Err) || list[1].Err != nil || list[1].Head == 0 || list[2].Err != nil || list[2].Head != 0 {
				t.Fatalf("%s there was loaded %+v, %+v and %+v", what, list[0], list[1], list[2])
			}
		}
		must(t, client.Del(ctx, key).Err())
		gone("removed")
		must(t, w.Forward(ctx, markOf(1, 2), said(2, "two", 2, 3)))
		if s, err := w.State(ctx); err != nil || s.Suspect == nil || *s.Suspect != pair {
			t.Fatalf("who wrote it from memory was told of %v, %v", s.Suspect, err)
		}
		gone("written from memory")
	})
}

// TestEachOfALongInbox: conversations without a key are given also where a user has more of them
// than are looked at in one go.
func TestEachOfALongInbox(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		const gone = 1024 // twice as many as one look takes, so that the last one finds nothing
		name, _, w := talked(t, addresses)
		var list []goredis.Z
		for id := range uint64(gone) {
			list = append(list, goredis.Z{Member: "\x01" + u64(100+id)})
		}
		must(t, newClient(t, addresses).ZAdd(t.Context(), "{"+name+".chat.0}u"+u64(50), list...).Err())
		damaged := map[protocol.Conversation]bool{}
		must(t, w.Each(t.Context(), func(list []*ledger.Loaded) error {
			for _, c := range list {
				if view.Damaged(c.Err) {
					damaged[c.Key] = true
				}
			}
			return nil
		}))
		if last := (protocol.Conversation{Kind: protocol.KindDirect, A: 50, B: 100 + gone - 1}); len(damaged) != gone || !damaged[last] {
			t.Fatalf("%d conversations without a key were given, want %d", len(damaged), gone)
		}
	})
}

// TestOtherTypes: a record goes into the view though keys that it concerns are of another
// type, and everybody else has it. What was written anew is whole, and told of as changed.
func TestOtherTypes(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		name, v, w := talked(t, addresses)
		ctx, client := t.Context(), newClient(t, addresses)
		base := "{" + name + ".chat.0}"
		pair := protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}
		whole := []view.Whole{{Loaded: &ledger.Loaded{Key: pair}}}
		must(t, w.Load(ctx, []*ledger.Loaded{whole[0].Loaded}))
		whole[0].Last = states(t, v, 1, 0)[0].Last
		for _, key := range []string{base + "c\x01" + u64(1) + u64(2), base + "u" + u64(4), name + ":m" + u64(5)} {
			must(t, client.Del(ctx, key).Err())
			must(t, client.RPush(ctx, key, "a list").Err())
		}
		must(t, w.Forward(ctx, markOf(1, 2), said(2, "two", 2, 3)))
		must(t, w.Forward(ctx, markOf(1, 3), said(1, "other", 4, 5)))
		if s, err := w.State(ctx); err != nil || s.Suspect == nil || *s.Suspect != pair {
			t.Fatalf("the owner is told of %v, %v", s.Suspect, err)
		}
		passed := &ledger.Loaded{Key: pair} // also when whoever gave the key another type takes it back
		must(t, w.Load(ctx, []*ledger.Loaded{passed}))
		if kind := client.Type(ctx, base+"c\x01"+u64(1)+u64(2)).Val(); kind != "hash" || !view.Damaged(passed.Err) {
			t.Fatalf("what a record went past is a %s, and loaded it is %+v", kind, passed)
		}
		got, _ := since(t, v, 0)
		if len(got) != 3 || got[0].Target.ID != 3 || got[0].Head != 2 || got[1].Target.ID != 4 || got[2].Target.ID != 5 {
			t.Fatalf("of the others there is %+v", got)
		}
		if got := states(t, v, 5, 0); len(got) != 1 {
			t.Fatalf("whose mask was none has %+v", got)
		}
		if _, err := v.Changed(ctx, logic.InboxQuery{User: 4, Device: 5, Limit: 10, Room: 1 << 20}); !errors.Is(err, logic.ErrUnavailable) {
			t.Fatalf("whose slice is none is answered: %v", err)
		}
		must(t, w.Forsake(ctx, []protocol.Conversation{pair}))
		lost := &ledger.Loaded{Key: pair}
		must(t, w.Load(ctx, []*ledger.Loaded{lost}))
		if !errors.Is(lost.Err, view.ErrForsaken) || !view.Damaged(lost.Err) {
			t.Fatalf("what was forsaken is loaded: %v", lost.Err)
		}
		fresh, _ := newWriter(t, addresses, name) // who has asked nobody yet for the next stamp
		_, next := since(t, fresh, 0)
		must(t, w.Restore(ctx, w.Mark(), whole))
		if got, _ := since(t, fresh, next); len(got) != 1 || got[0].Target.ID != 2 || got[0].Head != 1 {
			t.Fatalf("written anew there changed %+v", got)
		}
	})
}

// TestSkipped: a conversation that a view goes past is damaged until it is written anew, whatever
// becomes of the damage. Nobody who believes the view at another mark has it skipped.
func TestSkipped(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		name, v, w := talked(t, addresses)
		ctx, client := t.Context(), newClient(t, addresses)
		pair := protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}
		load := func() *ledger.Loaded {
			l := &ledger.Loaded{Key: pair}
			must(t, w.Load(ctx, []*ledger.Loaded{l}))
			return l
		}
		whole := []view.Whole{{Loaded: load(), Last: states(t, v, 1, 0)[0].Last}}
		_, stale := newWriter(t, addresses, name)
		stale.Believe(markOf(1, 7), 0)
		if err := stale.Skip(ctx, []protocol.Conversation{pair}); !errors.As(err, new(*view.Conflict)) || load().Err != nil {
			t.Fatalf("from another mark it is skipped: %v, %v", err, load().Err)
		}
		talk := "{" + name + ".chat.0}c\x01" + u64(1) + u64(2)
		for _, damage := range []func() error{
			func() error { return client.HSet(ctx, talk, "p", "garbage").Err() },
			func() error { return errors.Join(client.Del(ctx, talk).Err(), client.RPush(ctx, talk, "a list").Err()) },
		} {
			must(t, damage())
			must(t, w.Skip(ctx, []protocol.Conversation{pair}))
			if l := load(); !view.Damaged(l.Err) || errors.Is(l.Err, view.ErrForsaken) || l.Head != 0 {
				t.Fatalf("skipped it is %+v", l)
			}
			if got := states(t, v, 1, 0); len(got) != 1 || got[0].Target.ID != 3 {
				t.Fatalf("with one that is skipped there is %+v", got)
			}
			must(t, w.Restore(ctx, w.Mark(), whole))
			if l := load(); l.Err != nil || l.Head != 1 {
				t.Fatalf("written anew it is %+v", l)
			}
		}
	})
}

// since gives what user 1 is told to have changed, and the next since.
func since(t *testing.T, v *view.View, at uint64) ([]protocol.State, uint64) {
	t.Helper()
	page, err := v.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 5, Since: at, Limit: 10, Room: 1 << 20})
	must(t, err)
	return page.States, page.Next
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
