//go:build cluster

package view_test

import (
	"errors"
	"strings"
	"testing"

	"gannet/internal/redis/redistest"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// TestRemove: a view that is removed is read by nobody until it is whole again, and what says
// that a conversation is forsaken stays.
func TestRemove(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		name, v, w := talked(t, addresses)
		ctx, client := t.Context(), newClient(t, addresses)
		forsaken := protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}
		must(t, w.Forsake(ctx, []protocol.Conversation{forsaken}))
		inbox := "{" + name + ".chat.0}u" + u64(1)
		must(t, client.Del(ctx, inbox).Err())
		must(t, client.Set(ctx, inbox, "garbage", 0).Err())
		look := func() error {
			_, err := v.Changed(ctx, logic.InboxQuery{User: 1, Device: 5, Limit: 10, Room: 1 << 20})
			return err
		}
		if err := look(); !errors.Is(err, logic.ErrUnavailable) || !strings.Contains(err.Error(), "user 1:") || !strings.Contains(err.Error(), "`gannet mend --refill chat.0`") {
			t.Fatalf("a list of another type is answered: %v", err)
		}
		// Two conversations, of which one stays as a note, the lists of three users, and the state.
		if keys, err := w.Remove(ctx); err != nil || keys != 1+3+1 {
			t.Fatalf("%d keys were removed, %v", keys, err)
		}
		if err := look(); !errors.Is(err, logic.ErrUnavailable) {
			t.Fatalf("what was removed is read: %v", err)
		}
		list := []*ledger.Loaded{{Key: forsaken}, {Key: protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 3}}}
		_, fresh := newWriter(t, addresses, name)
		must(t, fresh.Load(ctx, list))
		if !errors.Is(list[0].Err, view.ErrForsaken) || list[1].Err != nil || list[1].Head != 0 {
			t.Fatalf("there is loaded %+v and %+v", list[0], list[1])
		}
	})
}
