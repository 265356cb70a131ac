package chain_test

import (
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
)

// TestUnreadFrom: what lies from an offset on is counted, whether it counts or not, and is as
// old as the first that says when it was made.
func TestUnreadFrom(t *testing.T) {
	m, queue := chaintest.NewMemory(), chain.Queue{Class: chain.Chat, Number: 2}
	made := func(second int64) time.Time { return time.Unix(second, 0) }
	for second := range int64(4) { // at the offsets 0, 2, 4, 6; void, for nothing is said to be before them
		head := chain.Head{Kind: chain.Empty, Queue: queue, Prev: chain.Beginning, Writer: 1, Number: 1, Time: uint64(made(second).UnixMilli())}
		m.Put(queue, head.Append(nil, nil))
		m.Put(queue, []byte("of somebody else"))
	}
	is := func(from int64, want chain.Unread) {
		t.Helper()
		u, err := chain.UnreadFrom(t.Context(), m, queue, from)
		if err != nil || u.Records != want.Records || !u.Since.Equal(want.Since) || u.Gone != want.Gone {
			t.Errorf("from %d on there is %+v, %v; want %+v", from, u, err, want)
		}
	}
	is(0, chain.Unread{Records: 8, Since: made(0)})
	is(1, chain.Unread{Records: 7, Since: made(1)})
	is(6, chain.Unread{Records: 2, Since: made(3)})
	is(7, chain.Unread{Records: 1})
	is(8, chain.Unread{})
	is(100, chain.Unread{})
	m.Age(queue, 3)
	is(1, chain.Unread{Records: 7, Since: made(2), Gone: true})
	is(3, chain.Unread{Records: 5, Since: made(2)})
}
