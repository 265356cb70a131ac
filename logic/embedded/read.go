package embedded

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic"
	"gannet/protocol"
)

// view calls see with the conversation, whose durable part is what readers may
// see. see must not block: lane.mu is held.
//
// A conversation whose batch is under way is in the cache. One that is not there
// is loaded beside it, and looked for once more: if a batch began meanwhile, what
// was loaded may be ahead of the disk, and what the cache has now counts; if none
// did, or it has ended, what was loaded is durable.
func (s *Store) view(key protocol.Conversation, see func(c *conversation)) error {
	l := s.laneOf(key)
	l.mu.Lock()
	c := l.peek(key)
	if c == nil {
		l.mu.Unlock()
		loaded, err := s.load(key)
		if err != nil {
			return err
		}
		l.mu.Lock()
		if c = l.peek(key); c == nil {
			c = loaded
		}
	}
	see(c)
	l.mu.Unlock()
	return nil
}

// Head implements logic.History.
func (s *Store) Head(ctx context.Context, key protocol.Conversation) (head uint64, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.exit()
	err = s.view(key, func(c *conversation) { head = c.durable.head })
	return head, err
}

// Read implements logic.History.
func (s *Store) Read(ctx context.Context, key protocol.Conversation, first, last uint64, descending bool,
	visit func(seq uint64, message []byte) bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.exit()
	var head uint64
	if err := s.view(key, func(c *conversation) { head = c.durable.head }); err != nil {
		return err
	}
	if last = min(last, head); first > last {
		return nil
	}
	p := placeOf(key)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: messageKey(&p, first), UpperBound: messageKey(&p, last+1)})
	if err != nil {
		return unavailable(err)
	}
	defer it.Close()
	begin, step := it.First, it.Next
	if descending {
		begin, step = it.Last, it.Prev
	}
	for ok := begin(); ok; ok = step() {
		if err := ctx.Err(); err != nil {
			return unavailable(err)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return unavailable(err)
		}
		_, message, err := splitMessage(value)
		if err != nil {
			return unavailable(err)
		}
		if !visit(keySeq(it.Key()), message) {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return unavailable(err)
	}
	return nil
}

// Conversations implements logic.Inbox.
func (s *Store) Conversations(ctx context.Context, user uint64, after protocol.Target,
	visit func(logic.Summary) bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.exit()
	lower, upper := make([]byte, inboxSize, inboxSize+1), make([]byte, inboxSize, inboxSize+1)
	putInboxKey(lower, user, after)
	putInboxKey(upper, user, protocol.Target{Kind: ^protocol.Kind(0), ID: ^uint64(0)})
	// A key with a byte more is what follows it at once.
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: append(lower, 0), UpperBound: append(upper, 0)})
	if err != nil {
		return unavailable(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return unavailable(err)
		}
		goOn, err := s.summarise(keyTarget(it.Key()).Conversation(user), visit)
		if err != nil || !goOn {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return unavailable(err)
	}
	return nil
}

// summarise visits one conversation of an inbox, unless its first message is
// not durable yet.
func (s *Store) summarise(key protocol.Conversation, visit func(logic.Summary) bool) (goOn bool, err error) {
	sum := logic.Summary{Conversation: key}
	var p place
	err = s.view(key, func(c *conversation) {
		sum.Head, sum.Changed, p = c.durable.head, c.durable.changed, c.place
	})
	if err != nil || sum.Head == 0 {
		return true, err
	}
	value, closer, err := s.db.Get(messageKey(&p, sum.Head))
	if err != nil {
		return false, unavailable(err)
	}
	defer closer.Close()
	if _, sum.Last, err = splitMessage(value); err != nil {
		return false, unavailable(err)
	}
	return visit(sum), nil
}

// Positions implements logic.Cursors.
func (s *Store) Positions(ctx context.Context, key protocol.Conversation, users []uint64, dst []logic.Position) ([]logic.Position, error) {
	if err := s.enter(); err != nil {
		return dst, err
	}
	defer s.exit()
	err := s.view(key, func(c *conversation) {
		for _, user := range users {
			dst = append(dst, c.position(user))
		}
	})
	return dst, err
}
