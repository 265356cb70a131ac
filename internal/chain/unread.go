package chain

import (
	"context"
	"time"
)

// unreadLook is how many records are looked at for one that says when it was made: others are
// of somebody else.
const unreadLook = 32

// Unread is what is in a queue from an offset on.
type Unread struct {
	Records int64     // those that do not count, and those that are gone, included
	Since   time.Time // when the oldest that is left was made; zero: none says so
	Gone    bool      // the record at the offset was removed because of its age
}

// UnreadFrom says what is in a queue from an offset on. It asks the broker a few times, once
// where nothing is there.
func UnreadFrom(ctx context.Context, stream Stream, queue Queue, from int64) (u Unread, err error) {
	first, end, err := stream.Bounds(ctx, queue)
	if err != nil || from >= end {
		return u, err
	}
	u.Records, u.Gone = end-from, from < first
	for at := max(from, first); at < min(end, max(from, first)+unreadLook); at++ {
		stored, err := stream.Pull(ctx, queue, at, 1)
		if err != nil {
			return u, err
		}
		var h Head
		if len(stored) > 0 {
			if _, err := h.Decode(stored[0].Body); err == nil {
				u.Since = time.UnixMilli(int64(h.Time))
				break
			}
		}
	}
	return u, nil
}
