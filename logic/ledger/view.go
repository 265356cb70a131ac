package ledger

import (
	"context"
	"slices"

	"gannet/protocol"
)

// View is a conversation as readers may see it.
type View struct {
	Progress

	// Owes says that a cursor may have risen which is not written: Changed does not
	// tell of it yet.
	Owes bool

	c *conversation
}

// Member gives the cursors and counts of a user, zero for one who has none. The
// acks of the user's devices are part of Delivered.
func (v View) Member(user uint64) Member {
	m := Member{User: user}
	if i, found := v.c.findMember(user); found {
		m = v.c.members[i].shown
	}
	m.Delivered = v.c.delivered(m, shownAck)
	return m
}

// Acked gives how far a device has acked, 0 for never.
func (v View) Acked(user, device uint64) uint64 {
	if d := v.c.device(user, device); d != nil {
		return d.shown.Acked
	}
	return 0
}

// Unread gives how many messages by others after the read cursor count as unread.
// ok is false when the counts as of that cursor have to be looked up first.
func (v View) Unread(m Member) (n uint64, ok bool) {
	if m.Read == 0 {
		return v.Count - m.Total, true
	}
	return (v.Count - m.Count) - (m.Total - m.Own), m.Counted
}

// View calls see with the conversation. see must not block, and the view is valid
// during it.
//
// A conversation whose batch is under way is in memory. One that is not is loaded
// beside the cache, and looked for once more: if a batch began meanwhile, what was
// loaded may be ahead of what is durable, and what is in memory now counts; if
// none did, or it has ended, what was loaded is durable.
func (l *Ledger) View(ctx context.Context, key protocol.Conversation, see func(View)) error {
	l.mu.Lock()
	c := l.peek(key)
	if c == nil {
		l.mu.Unlock()
		loaded := Loaded{Key: key}
		if err := l.source.Load(ctx, []*Loaded{&loaded}); err != nil {
			return err
		}
		if loaded.Err != nil {
			return loaded.Err
		}
		l.mu.Lock()
		if c = l.peek(key); c == nil {
			c = loaded.conversation()
		}
	}
	defer l.mu.Unlock()
	see(View{Progress: c.shown, Owes: l.owing[key] != nil, c: c})
	return nil
}

// Owing gives the conversations of a user in which cursors may have risen that are not
// written: as View.Owes, of the user or, in direct ones, of the other one.
func (l *Ledger) Owing(user uint64) (keys []protocol.Conversation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.owed {
		k := c.key
		mine := slices.Contains(holders(k), user)
		if k.Kind == protocol.KindGroup || k.Kind == protocol.KindBroadcast {
			mine = slices.ContainsFunc(c.devicesOf(user), func(d *device) bool { return d.soft })
		}
		if mine {
			keys = append(keys, k)
		}
	}
	return keys
}

// learned is what Learn was told.
type learned struct {
	key                    protocol.Conversation
	user, read, count, own uint64
}

// Learn takes in how many messages count up to a user's read cursor, and how many
// of those the user sent, where View did not know; the next record keeps it.
func (l *Ledger) Learn(key protocol.Conversation, user, read, count, own uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peek(key) != nil && len(l.learned) < maxLearned {
		l.learned = append(l.learned, learned{key, user, read, count, own})
	}
}

// learn takes what was learned into the batch that begins.
func (l *Ledger) learn() {
	l.mu.Lock()
	list := l.learned
	l.learned = nil
	for _, x := range list {
		c := l.peek(x.key)
		if c == nil {
			continue
		}
		i, found := c.findMember(x.user)
		if !found || c.members[i].next.Read != x.read || c.members[i].next.Counted {
			continue
		}
		l.work.touch(c)
		m := c.members[i]
		m.next.Counted, m.next.Count, m.next.Own = true, x.count, x.own
		if !m.touched {
			m.touched, m.raised, m.limited = true, false, 0
			m.nextChanged, c.membersChanged = c.membersChanged, m
		}
	}
	l.mu.Unlock()
}
