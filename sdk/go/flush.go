package gannet

import (
	"context"
	"slices"
)

// flush is a caller of Flush who waits.
type flush struct {
	upTo  uint64            // no message with this id or a lower one waits any more
	reads map[Target]uint64 // up to these seqs the server knows what was read
	done  chan error
}

// Flush waits until the server has on disk what was taken before: messages are
// acked or refused, and read marks are told. It ends early with the error of ctx,
// and with ErrClosed when the client closes or has closed: what became of each message
// then is for its Outcome to say. It waits for no hook.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	f := &flush{upTo: c.out.lastID, done: make(chan error, 1)}
	for target, m := range c.reads.marks {
		if f.reads == nil {
			f.reads = make(map[Target]uint64)
		}
		f.reads[target] = m.seq
	}
	switch {
	case c.state.Load() == int32(StateClosed): // what was given up waits no more, and is on no disk
		defer c.mu.Unlock()
		return c.refusal()
	case c.flushed(f):
		c.mu.Unlock()
		return nil
	}
	c.flushes = append(c.flushes, f)
	c.mu.Unlock()
	flushed, err := outcomeOr(ctx, f.done)
	if err == nil {
		return flushed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushes = slices.DeleteFunc(c.flushes, func(other *flush) bool { return other == f })
	return err
}

// flushed says whether nothing of f waits any more. The caller holds mu.
func (c *Client) flushed(f *flush) bool {
	if o := &c.out; o.live > 0 && o.entries[o.head].id <= f.upTo {
		return false
	}
	for target, seq := range f.reads {
		if m := c.reads.marks[target]; m != nil && m.told < seq {
			return false
		}
	}
	return true
}

// wakeFlushes ends the waits that are over. The caller holds mu.
func (c *Client) wakeFlushes() {
	if len(c.flushes) == 0 {
		return
	}
	c.flushes = slices.DeleteFunc(c.flushes, func(f *flush) bool {
		over := c.flushed(f)
		if over {
			f.done <- nil
		}
		return over
	})
}
