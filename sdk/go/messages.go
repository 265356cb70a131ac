package gannet

import (
	"context"
	"iter"
)

// Messages gives what arrives, for a client without Handler.Message. The body of
// the loop may take its time and may call any method. A message counts as received
// when the loop asks for the next one; the one at which the body breaks off does
// not, and is the first that the next loop gets, or the next client. When the loop
// is slow the rest waits on the server.
//
// The loop ends without an error when ctx ends and when the client is closed; Close
// waits for the body that is running, whose message counts as received.
// It ends with one when the client ends for good, which is Err, and with
// ErrReceiving when another loop or Handler.Message receives already.
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if !c.queue.hold(c.hooks.messages) {
			yield(Message{}, ErrReceiving)
			return
		}
		defer func() {
			c.endRun()
			c.queue.letGo()
		}()
		var run []queued
		for ctx.Err() == nil {
			if c.quitting() {
				if err := c.Err(); err != nil {
					yield(Message{}, err)
				}
				return
			}
			if run = c.queue.begin(run); len(run) == 0 {
				select {
				case <-c.queue.ready:
				case <-ctx.Done():
				case <-c.quit:
				}
				continue
			}
			for i := range run {
				if !yield(run[i].message, nil) {
					return
				}
				if !c.took(&run[i], i+1) || ctx.Err() != nil {
					break
				}
			}
			c.endRun()
			clear(run)
		}
	}
}

// hearMessages hands a run of the oldest messages to their hook; false says that there
// are none.
func (c *Client) hearMessages(memory *[]queued) bool {
	if c.quitting() {
		return false
	}
	run := c.queue.begin(*memory)
	if len(run) == 0 {
		return false
	}
	*memory = run
	defer clear(run)
	for i := range run {
		m := &run[i].message
		if err := c.opts.handler.Message(c.hooks.life, c, *m); err != nil {
			pause := c.queue.refuse(run[i].conversation)
			c.warn("the app refused a message", "conversation", m.Conversation, "seq", m.Seq, "reason", err, "again in", pause)
			c.poke()
			return true
		}
		if !c.took(&run[i], i+1) {
			break
		}
	}
	c.endRun()
	return true
}

// took notes that the app has received the n-th message of its run; false says that it
// gets no more of it.
func (c *Client) took(item *queued, n int) bool {
	if c.opts.store != nil {
		c.journal.received(item.conversation.target, item.message.Seq)
		c.heedStore()
	}
	q := &c.queue
	q.received.Store(int64(n))
	if !q.known.Load() {
		q.known.Store(true)
		c.poke()
	}
	return !q.stale.Load() && !c.quitting()
}

// endRun says that the app has no message in its hands.
func (c *Client) endRun() {
	if c.queue.end() || c.quitting() { // Close waits for it
		c.poke()
	}
}

func (c *Client) quitting() bool {
	select {
	case <-c.quit:
		return true
	default:
		return false
	}
}

// hold makes the caller the one that receives.
func (q *queue) hold(taken bool) bool {
	me := max(goroutineID(), 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if taken || q.looper != 0 {
		return false
	}
	q.looper = me
	return true
}

func (q *queue) letGo() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.looper = 0
}

// loops says whether a goroutine is in a loop over Messages.
func (q *queue) loops(goroutine uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return goroutine != 0 && q.looper == goroutine
}
