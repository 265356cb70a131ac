package load

import (
	"context"
	"time"

	"gannet/benchmark/meter"
)

// CheckCursors compares, once the clients are quiet and before they are
// closed, what the server says of each user's conversation with what this run
// knows: everything is delivered, unread is what the other user sent after the
// read cursor, and neither cursor is past the head. The server may have forgotten
// the last second of device acks when it was killed, so what is delivered is
// waited for.
func (l *Load) CheckCursors(ctx context.Context) error {
	return InParallel(ctx, maxPages, len(l.users), func(ctx context.Context, i int) error {
		u, peer := l.users[i], l.users[i^1]
		heard := u.heard.Load()
		for end := time.Now().Add(l.patience); ; {
			state, err := u.conversation(ctx)
			if err != nil {
				return err
			}
			if state.Delivered < heard && time.Now().Before(end) {
				if err := meter.Rest(ctx, quietPoll); err != nil {
					return err
				}
				continue
			}
			u.compareCursors(peer, cursors{state.Head, state.Delivered, state.Read, state.Unread}, heard)
			return nil
		}
	})
}

// cursors is what the server says of a user in a conversation.
type cursors struct {
	head, delivered, read, unread uint64
}

// compareCursors sees whether the server is right; heard is the last seq that
// came to the user.
func (u *user) compareCursors(peer *user, c cursors, heard uint64) {
	f := &u.load.Faults
	if c.delivered < heard {
		f.Addf("user %d: seq %d has come, and the server says that %d is delivered", u.id, heard, c.delivered)
	}
	if c.delivered > c.head || c.read > c.head {
		f.Addf("user %d: %d is delivered and %d read of a conversation that ends at %d", u.id, c.delivered, c.read, c.head)
	}
	unread := uint64(0)
	for _, seq := range peer.seqs {
		if seq > c.read {
			unread++
		}
	}
	if c.unread != unread {
		f.Addf("user %d: the server counts %d unread messages, user %d has sent %d after seq %d", u.id, c.unread, peer.id, unread, c.read)
	}
}
