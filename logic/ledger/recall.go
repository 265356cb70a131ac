package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// What a window does not know is read back beside the records, so that nobody waits
// for it but the device that asks: its message is refused busy, and so are those behind
// it, which must not overtake it. By the time that it comes again the window knows.

const (
	// maxRecalls bounds the windows that wait to be read back, and maxRecallsOfUser
	// those of one user. A message for whose window there is no room is busy all the
	// same, and asks again.
	maxRecalls       = 1024
	maxRecallsOfUser = 4

	// maxWalks bounds the windows of one Recall, at most one of each user: what it
	// finds is in memory twice until the next record.
	maxWalks = 16

	// busyRetry is after how long a client that was told busy asks again: a window is
	// read back in less, a disk at work included.
	busyRetry = 100 * time.Millisecond
)

// recall is a window that is read back.
type recall struct {
	key          protocol.Conversation
	user, device uint64
	from         uint64 // seq of the newest message that the window does not know
	wanted       uint64 // client id that was asked for: how far back is enough
	room         int    // messages that it may still know

	state recallState // guarded by Ledger.mu

	// What was found; the caller of Recall writes it before the recall is done.
	known []sent
	rest  uint64
	err   error
}

type recallState uint8

const (
	recallWaits recallState = iota
	recallReads
	recallDone
)

// errPanic is what became of a recall whose source panicked.
var errPanic = errors.New("ledger: the source panicked")

// judge looks through the messages of the batch before any is carried out. One that is
// not above its device's highest needs what the window knows; where that does not
// suffice the message is refused, and its window is recalled.
func (l *Ledger) judge() {
	w := &l.work
	for i := range w.steps {
		s := &w.steps[i]
		d := s.device
		if d == nil || s.entry.Op != hop.OpMessage {
			continue
		}
		if !d.touched {
			d.highest, d.wanted, d.held = d.next.MaxID, 0, d.recalling
			d.unread, d.failed = d.failed, false
			s.conversation.changes(d)
			if d.window != nil {
				d.window.trim()
			}
		}
		id := s.entry.ClientID
		switch {
		case d.held:
			if d.wanted != 0 {
				d.wanted = min(d.wanted, id)
			}
		case id > d.highest:
			d.highest = id
			continue
		default:
			if d.window == nil {
				w.watch(d)
			}
			if d.window.decided(id) || l.remembered(s) || d.unread {
				continue
			}
			d.held, d.wanted = true, id
			w.asking = append(w.asking, asking{s.conversation, d})
		}
		s.code, s.retry = protocol.CodeBusy, busyRetry
	}
	if len(w.asking) > 0 {
		l.mu.Lock()
		for _, a := range w.asking {
			a.device.recalling = l.enqueue(a.conversation, a.device)
		}
		l.mu.Unlock()
		if l.options.Waiting != nil {
			l.options.Waiting()
		}
	}
}

// remembered says whether a message is one that Options.Known knows.
func (l *Ledger) remembered(s *step) bool {
	if l.options.Known == nil {
		return false
	}
	e := s.entry
	seq, time, ok := l.options.Known(e.Conversation, e.User, e.Device, e.ClientID)
	if ok {
		s.known = sent{e.ClientID, seq, time}
	}
	return ok
}

// enqueue says whether there is a recall of the device, perhaps since now. mu is held.
func (l *Ledger) enqueue(c *conversation, d *device) bool {
	of := 0
	for _, r := range l.recalls {
		if r.user != d.next.User {
			continue
		}
		if of++; r.device == d.next.Device && r.key == c.key {
			return true
		}
	}
	if of >= maxRecallsOfUser || len(l.recalls) >= maxRecalls {
		return false
	}
	l.recalls = append(l.recalls, &recall{
		key: c.key, user: d.next.User, device: d.next.Device,
		from: d.window.rest, wanted: d.wanted, room: windowSize - d.window.size(),
	})
	return true
}

// Recall reads back windows that wait for it, and says whether there were any. The next
// record takes them in; the caller waits for one before it calls again, and is called for
// by Options.Waiting. One call at a time.
func (l *Ledger) Recall(ctx context.Context) bool {
	l.mu.Lock()
	var list []*recall
	for _, r := range l.recalls { // oldest first
		if r.state == recallWaits && !slices.ContainsFunc(list, func(x *recall) bool { return x.user == r.user }) {
			r.state, r.err = recallReads, errPanic
			if list = append(list, r); len(list) == maxWalks {
				break
			}
		}
	}
	l.mu.Unlock()
	if len(list) == 0 {
		return false
	}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, r := range list {
			r.state = recallDone
		}
	}()
	walks := make([]*Walk, len(list))
	for i, r := range list {
		walks[i] = r.walk()
	}
	err := l.source.Walk(ctx, walks)
	for i, r := range list {
		if r.err = err; err == nil {
			r.err = walks[i].Err
		}
	}
	return true
}

// walk gives the walk that goes back to the wanted id, or, if it was never accepted, as
// far as it takes to know that.
func (r *recall) walk() *Walk {
	return &Walk{
		Key: r.key, User: r.user, Device: r.device, From: r.from,
		Visit: func(id, seq, time, previous uint64) bool {
			r.known = append(r.known, sent{id, seq, time})
			r.rest = previous
			return id != r.wanted && previous != 0 && len(r.known) < r.room
		},
	}
}

// take gives the devices what was recalled since the last batch. What nobody has a use
// for any more, because its conversation or its window had to make room, is asked for
// again by whoever needs it.
func (l *Ledger) take() {
	w := &l.work
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.recalls[:0]
	for _, r := range l.recalls {
		if r.state != recallDone {
			kept = append(kept, r)
			continue
		}
		c := l.peek(r.key)
		if c == nil {
			continue
		}
		d := c.device(r.user, r.device)
		if d == nil {
			continue
		}
		d.recalling, d.failed = false, r.err != nil
		if d.window != nil && r.err == nil {
			known := d.window.size()
			d.window.take(r)
			w.known += d.window.size() - known
		}
	}
	clear(l.recalls[len(kept):])
	l.recalls = kept
}
