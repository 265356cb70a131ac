//go:build cluster

package view_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/redis/redistest"
	"gannet/logic"
	"gannet/protocol"
)

// wide is a store of many queues, with one conversation of user 1 in several of them.
func wide(t *testing.T, addresses []string) (l *lossy, peers []uint64) {
	l = &lossy{store: openStore(t, options{addresses: addresses, name: redistest.Prefix(t, addresses...), queues: 16, cache: 1000}, newMemory())}
	t.Cleanup(l.stop)
	for peer := uint64(2); len(peers) < 6; peer++ {
		l.sent(peer)
		peers = append(peers, peer)
	}
	return l, peers
}

func targets(list []protocol.State) (ids []uint64) {
	for _, s := range list {
		ids = append(ids, s.Target.ID)
	}
	return ids
}

// TestMasks: a mask says which queues are looked through once it was found whole under the
// run of Redis that has it; one that was lost, in part or as a whole, says nothing.
func TestMasks(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		l, peers := wide(t, addresses)
		ctx := t.Context()
		key := l.options.name + ":m" + string(binary.BigEndian.AppendUint64(nil, 1))
		bits := func() (n int) {
			t.Helper()
			mask, err := l.client.Get(ctx, key).Bytes()
			must(t, err)
			for _, b := range mask[8:] {
				for ; b != 0; b &= b - 1 {
					n++
				}
			}
			return n
		}
		isWhole := func() bool {
			t.Helper()
			mask, err := l.client.Get(ctx, key).Result()
			must(t, err)
			runs, err := l.client.Runs(ctx)
			must(t, err)
			return slices.ContainsFunc(runs, func(run string) bool { return strings.HasPrefix(run, mask[:8]) })
		}
		queues := map[int]bool{}
		for _, peer := range peers {
			queues[protocol.Target{Kind: protocol.KindDirect, ID: peer}.Conversation(1).Partition()%16] = true
		}
		if isWhole() || bits() != len(queues) {
			t.Fatalf("before anybody looked the mask has %d bits, want %d", bits(), len(queues))
		}
		for _, damage := range []struct {
			name string
			do   func() error
		}{
			{"none", func() error { return nil }},
			{"gone", func() error { return l.client.Del(ctx, key).Err() }},
			{"gone, and one bit is back", func() error {
				return l.client.Set(ctx, key, strings.Repeat("\x00", 8)+"\x80", 0).Err()
			}},
			{"of another run, with one bit", func() error {
				return l.client.Set(ctx, key, "deadbeef\x00\x00", 0).Err()
			}},
			{"bytes of somebody else", func() error { return l.client.Set(ctx, key, "x", 0).Err() }},
		} {
			must(t, damage.do())
			for range 2 {
				if got := targets(states(t, l.view, 1, 0)); !slices.Equal(got, peers) {
					t.Fatalf("%s: the inbox has %v, want %v", damage.name, got, peers)
				}
			}
			if !isWhole() || bits() < len(queues) {
				t.Fatalf("%s: the mask is not whole, with %d bits, want %d", damage.name, bits(), len(queues))
			}
		}
		must(t, l.client.SetBit(ctx, key, 64+2*int64(protocol.Target{Kind: protocol.KindDirect, ID: peers[0]}.Conversation(1).Partition()%16), 0).Err())
		if got := targets(states(t, l.view, 1, 0)); slices.Contains(got, peers[0]) {
			t.Fatalf("a queue was looked through whose bit is not set: %v", got)
		}
	})
}

// TestMaskWaitsForOwners: while one owner has not confirmed its queue under the present
// masters, no mask is taken for whole.
func TestMaskWaitsForOwners(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		l, peers := wide(t, addresses)
		ctx := t.Context()
		key := l.options.name + ":m" + string(binary.BigEndian.AppendUint64(nil, 1))
		state := fmt.Sprintf("{%s.%v.%d}v", l.options.name, chain.Chat, 11)
		must(t, l.client.HSet(ctx, state, "g", "othermas").Err())
		if got := targets(states(t, l.view, 1, 0)); !slices.Equal(got, peers) {
			t.Fatalf("the inbox has %v, want %v", got, peers)
		}
		mask, err := l.client.Get(ctx, key).Result()
		must(t, err)
		if mask[:8] != strings.Repeat("\x00", 8) {
			t.Fatalf("a mask is whole which one owner knows nothing of: %x", mask)
		}
		for i := range l.queues { // all have confirmed, under masters of before
			must(t, l.client.HSet(ctx, fmt.Sprintf("{%s.%v.%d}v", l.options.name, chain.Chat, i), "g", "othermas").Err())
		}
		states(t, l.view, 1, 0)
		if mask, err = l.client.Get(ctx, key).Result(); err != nil || mask[:8] != strings.Repeat("\x00", 8) {
			t.Fatalf("a mask is whole under masters that are not there any more: %x, %v", mask, err)
		}
		for _, q := range l.queues {
			must(t, q.writer.Confirm(ctx))
		}
		states(t, l.view, 1, 0)
		if mask, err = l.client.Get(ctx, key).Result(); err != nil || mask[:8] == strings.Repeat("\x00", 8) {
			t.Fatalf("all owners have confirmed, and the mask is %x, %v", mask, err)
		}
	})
}

// TestPagesOverQueues: pages of any size have every conversation once, in order, however
// they are spread, also those that one look at a queue does not reach.
func TestPagesOverQueues(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		o := options{addresses: addresses, name: redistest.Prefix(t, addresses...), queues: 3, cache: 4000}
		l := &lossy{store: openStore(t, o, newMemory())}
		t.Cleanup(l.stop)
		var peers []uint64
		byQueue := make([]*logic.Batch, 3)
		for peer := uint64(2); peer < 2000; peer++ {
			key := protocol.Target{Kind: protocol.KindDirect, ID: peer}.Conversation(1)
			q := key.Partition() % 3
			if q == 2 && peer%16 != 0 {
				continue // one queue has few
			}
			peers = append(peers, peer)
			if byQueue[q] == nil {
				byQueue[q] = &logic.Batch{Queue: q}
			}
			l.ids++
			appendMessage(byQueue[q], key, l.ids)
		}
		must(t, l.Apply(t.Context(), byQueue))
		for _, b := range byQueue {
			if i := slices.IndexFunc(b.Entries, func(e logic.Entry) bool { return e.Outcome != logic.Applied }); i >= 0 {
				t.Fatalf("%+v, %v", b.Entries[i], b.Err)
			}
		}
		for _, limit := range []int{1, 7, 40, 200, 5000} {
			var got []uint64
			q := logic.InboxQuery{User: 1, Device: 9, Limit: limit, Room: 1 << 24}
			if limit == 1 {
				q.After = protocol.Target{Kind: protocol.KindDirect, ID: 1900} // the whole would take long
			}
			for more := true; more; {
				page, err := l.view.Changed(t.Context(), q)
				must(t, err)
				if len(page.States) > limit || page.More && page.After == q.After {
					t.Fatalf("a page of at most %d has %d conversations after %v, and ends at %v", limit, len(page.States), q.After, page.After)
				}
				got = append(got, targets(page.States)...)
				q.After, more = page.After, page.More
			}
			want := peers
			if limit == 1 {
				i, _ := slices.BinarySearch(peers, 1901)
				want = peers[i:]
			}
			if !slices.Equal(got, want) {
				t.Fatalf("pages of %d have %d conversations, want %d", limit, len(got), len(want))
			}
		}
		page, err := l.view.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 5, Limit: 10, Room: 1 << 20})
		must(t, err)
		if _, err = l.view.Changed(t.Context(), logic.InboxQuery{User: 2, Device: 5, Limit: 10, Room: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		target := protocol.Target{Kind: protocol.KindDirect, ID: peers[len(peers)-1]}
		l.sent(target.ID) // behind all that a first look reaches
		q := logic.InboxQuery{User: 1, Device: 5, Since: page.Next, Limit: 10, Room: 1 << 20}
		var got []uint64
		for more := true; more; {
			page, err := l.view.Changed(t.Context(), q)
			must(t, err)
			got = append(got, targets(page.States)...)
			q.After, more = page.After, page.More
		}
		if !slices.Contains(got, target.ID) {
			t.Fatalf("since a page %v changed, which lacks %d", got, target.ID)
		}
	})
}

// appendMessage adds a message of user 1 to a batch.
func appendMessage(b *logic.Batch, key protocol.Conversation, id uint64) {
	from := uint32(len(b.Blob))
	b.Blob = protocol.Message{
		Target: key.Target(1), Sender: 1, Device: 5, ClientID: id, Content: protocol.ContentText, Body: []byte("hello"),
	}.AppendFrame(b.Blob)
	e := logic.Entry{Op: 1, Conversation: key, User: 1, Device: 5, ClientID: id}
	e.Frame.Start, e.Frame.End = from, uint32(len(b.Blob))
	b.Entries = append(b.Entries, e)
}
