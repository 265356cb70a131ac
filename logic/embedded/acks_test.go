package embedded

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// movedClock is a clock that the test moves.
type movedClock struct{ ms atomic.Int64 }

func newClock() *movedClock {
	c := new(movedClock)
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *movedClock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

// commitsOf gives how many commits the store has made.
func commitsOf(t *testing.T, s *Store) (n uint64) {
	t.Helper()
	all, err := readAllCommits(s.db)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		n += c.number
	}
	return n
}

// TestAcksAreMerged: acks cost no commit of their own until their second is over,
// and then one for all of them.
func TestAcksAreMerged(t *testing.T) {
	clock := newClock()
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem(), Now: clock.now})
	for peer := uint64(2); peer < 12; peer++ {
		b := new(entries)
		for id := uint64(1); id <= 10; id++ {
			b.send(peer, 1, 1, id)
		}
		b.mustApply(t, s)
	}
	s.flushAcks(true) // of the senders' own
	before := commitsOf(t, s)
	for seq := uint64(1); seq <= 9; seq++ {
		for peer := uint64(2); peer < 12; peer++ {
			new(entries).ack(1, 1, peer, seq).mustApply(t, s)
		}
		clock.ms.Add(90)
		s.flushAcks(false)
	}
	if got := commitsOf(t, s) - before; got != 0 {
		t.Fatalf("%d commits for acks that may wait", got)
	}
	if state := stateOf(t, s, 1, 1, 5); state.Acked != 9 || state.Delivered != 9 {
		t.Fatalf("acks that wait are not visible: %+v", state)
	}
	clock.ms.Add(100)
	s.flushAcks(false)
	s.flushAcks(false)
	if got := commitsOf(t, s) - before; got != 1 {
		t.Fatalf("%d commits for 90 acks of one second, want 1", got)
	}
	if state := stateOf(t, s, 1, 1, 5); state.Acked != 9 {
		t.Fatalf("after they were written the acks are %+v", state)
	}
}

// TestAcksOfManyConversations: a tick writes all that is due, in records of a bounded
// size.
func TestAcksOfManyConversations(t *testing.T) {
	const peers = 1000
	clock := newClock()
	s := mustOpen(t, Options{Queues: 2, FS: vfs.NewMem(), Now: clock.now, CacheConversations: 10})
	for peer := uint64(2); peer < 2+peers; peer++ {
		mustSend(t, s, 1, 1, peer, 1)
	}
	s.flushAcks(true)
	for peer := uint64(2); peer < 2+peers; peer++ {
		new(entries).ack(peer, 1, 1, 1).mustApply(t, s)
	}
	before := commitsOf(t, s)
	clock.ms.Add(1000)
	s.flushAcks(false)
	for _, q := range s.queues {
		if q.ledger.Due(uint64(clock.ms.Load()), true) {
			t.Fatalf("acks of queue %d that are a second old are not written", q.index)
		}
	}
	if got := commitsOf(t, s) - before; got < 4 {
		t.Fatalf("the acks of %d conversations were written in %d records", peers, got)
	}
}

// TestAckIsWrittenWithinASecond has the store's own ticker, in a time of its own: an ack
// that nothing takes along is on the disk before a second is over.
func TestAckIsWrittenWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for after := time.Duration(0); after < ackTick; after += ackTick / 7 {
			s, err := Open("", Options{Queues: 1, FS: vfs.NewMem()})
			if err != nil {
				t.Fatal(err)
			}
			new(entries).send(2, 1, 1, 1).mustApply(t, s)
			time.Sleep(after)
			before := commitsOf(t, s)
			new(entries).ack(1, 1, 2, 1).mustApply(t, s)
			time.Sleep(990 * time.Millisecond)
			synctest.Wait()
			if got := commitsOf(t, s) - before; got != 1 {
				t.Errorf("an ack that came %v after the store was opened: %d commits in its second", after, got)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
