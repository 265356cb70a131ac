package ledger

import (
	"context"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// defaultLoads is how many conversations one user has loaded by one record: with a cold
// cache that costs the others a few milliseconds.
const defaultLoads = 128

// gather finds the conversation of each entry, in memory or in the source, and the
// devices that it knows.
func (l *Ledger) gather(ctx context.Context, batches []*logic.Batch) error {
	w := &l.work
	l.mu.Lock()
	var c *conversation
	for _, b := range batches {
		for i := range b.Entries {
			e := &b.Entries[i]
			s := step{entry: e, blob: b.Blob, next: -1}
			if sends := e.Op == hop.OpMessage; c == nil || c.key != e.Conversation || sends && !c.sends {
				// Only messages keep a conversation in memory.
				if c = l.peek(e.Conversation); c != nil && sends {
					l.use(c)
				}
				switch {
				case c != nil:
					w.touch(c)
					c.sends = c.sends || sends
				case l.takes(e) && !l.request(e):
					s.code, s.retry = protocol.CodeBusy, busyRetry
				}
			}
			e.Outcome = logic.Unknown
			s.conversation = c
			w.steps = append(w.steps, s)
		}
	}
	l.mu.Unlock()
	if len(w.loads) > 0 {
		if err := l.load(ctx); err != nil {
			return err
		}
	}
	for i := range w.steps {
		s := &w.steps[i]
		if s.conversation == nil || s.entry.Op == hop.OpRead {
			continue
		}
		if s.device = s.conversation.device(s.entry.User, s.entry.Device); s.device != nil {
			s.device.batch = w.number
		}
	}
	return nil
}

// takes says whether an entry belongs here: in two queues a seq could be given
// out twice.
func (l *Ledger) takes(e *logic.Entry) bool {
	return e.Conversation.Partition()%l.options.Queues == l.options.Queue
}

// request has the conversation of an entry loaded; false: its user has asked for as many
// as one may.
func (l *Ledger) request(e *logic.Entry) bool {
	w := &l.work
	if w.loaded[e.Conversation] {
		return true
	}
	if w.charge[e.User] >= l.options.Loads && e.User != 0 {
		return false
	}
	w.charge[e.User]++
	w.loaded[e.Conversation] = true
	w.loads = append(w.loads, &Loaded{Key: e.Conversation})
	return true
}

// load reads the conversations that are not in memory. They are guests until the batch
// is over.
func (l *Ledger) load(ctx context.Context) error {
	w := &l.work
	if err := l.source.Load(ctx, w.loads); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, loaded := range w.loads {
		if loaded.Err == nil {
			c := loaded.conversation()
			c.guest = true
			l.guests[c.key] = c
			w.touch(c)
		}
	}
	for i := range w.steps {
		s := &w.steps[i]
		if s.conversation != nil {
			continue
		}
		if s.conversation = l.guests[s.entry.Conversation]; s.conversation != nil {
			s.code = 0 // somebody else asked for it
			s.conversation.sends = s.conversation.sends || s.entry.Op == hop.OpMessage
		}
	}
	return nil
}

// seat ends the stay of the guests. The cache takes in those that somebody sent to and
// that have a message: whoever acks or reads in many conversations, or writes to many
// strangers in vain, makes no other conversation leave it. mu is held.
func (l *Ledger) seat() {
	if len(l.guests) == 0 {
		return
	}
	w := &l.work
	guests := w.touched
	w.touched = nil // none has to stay any more
	for _, c := range guests {
		if c.guest {
			c.guest = false
			if c.sends && c.shown.Head > 0 {
				l.put(c)
			}
		}
	}
	w.touched = guests
	clear(l.guests)
}

func (w *work) touch(c *conversation) {
	if !c.touched {
		c.touched, c.first, c.last = true, -1, -1
		w.touched = append(w.touched, c)
	}
}
