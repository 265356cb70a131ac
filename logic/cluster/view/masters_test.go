//go:build cluster

package view_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/protocol"
)

// TestMasterEmptied: one of three masters is killed and comes back empty. Its queues are
// filled again, the owners of the others confirm theirs, and nobody's list lacks anything,
// also of those whose masks were lost and whose conversations were not.
func TestMasterEmptied(t *testing.T) {
	services := servicestest.Own(t, "--only=redis", "--redis-cluster")
	addresses := strings.Split(services.Address(t, "GANNET_TEST_REDIS_CLUSTER"), ",")
	l := &lossy{store: openStore(t, options{addresses: addresses, name: "masters", queues: 12, cache: 4000}, newMemory())}
	l.stop()
	var users []uint64
	for user := uint64(2); user < 80; user++ {
		l.sent(user)
		users = append(users, user)
	}
	inboxes := func() (all [][]protocol.State) {
		t.Helper()
		for _, user := range append(users, 1) {
			all = append(all, states(t, l.view, user, 0))
		}
		return all
	}
	inboxes() // masks are whole from here on
	want := inboxes()
	if len(want[len(want)-1]) != len(users) {
		t.Fatalf("user 1 has %d conversations, want %d", len(want[len(want)-1]), len(users))
	}
	services.Kill(t, "cluster1", "KILL")
	services.StartEmpty(t, "cluster1")
	emptied, kept := 0, 0
	for i, q := range l.queues {
		s := l.state(q)
		for ; s.Mark != q.writer.Mark() && s.Mark != chain.Beginning; s = l.state(q) {
		}
		if s.Confirmed {
			t.Fatalf("queue %d is confirmed under masters of which one is another: %+v", i, s)
		}
		if s.Mark == q.writer.Mark() {
			kept++
			continue
		}
		emptied++
		must(t, q.writer.Adopt(t.Context(), chain.Beginning, true))
		must(t, q.writer.Fill(t.Context(), l.memory.loaded(func(c protocol.Conversation) bool { return c.Partition()%12 == i })))
	}
	if emptied == 0 || kept == 0 {
		t.Fatalf("%d queues were emptied and %d kept", emptied, kept)
	}
	if _, err := l.view.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 5, Limit: 100, Room: 1 << 20}); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("a list is answered of which a part is not back: %v", err)
	}
	for _, q := range l.queues {
		must(t, q.writer.Complete(t.Context()))
		must(t, l.client.Ping(t.Context()).Err())
	}
	for range 2 {
		got := inboxes()
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("user %d has %d conversations, want %d:\n%+v\n%+v", append(users, 1)[i], len(got[i]), len(want[i]), got[i], want[i])
			}
		}
	}
	l.sent(slices.Clone(users)...)
	l.check()
}
