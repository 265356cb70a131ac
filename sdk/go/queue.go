package gannet

import (
	"context"
	"iter"
	"sync"
)

const (
	// maxQueue and maxQueueBytes bound what waits for the Messages loop; the
	// rest waits on the server. One message of any size always fits.
	maxQueue      = 256
	maxQueueBytes = 256 << 10
)

// queue has the messages that wait for the Messages loop: the reader puts, the
// loop takes.
type queue struct {
	mu    sync.Mutex
	items []queued // from head on
	head  int
	bytes int
	lag   bool            // something did not fit
	taken []*conversation // that the loop has received from since collect
	ready chan struct{}   // holds one token when something was put
}

type queued struct {
	conversation *conversation
	message      Message
}

// put appends a message; false says that there is no room.
func (q *queue) put(v *conversation, m Message) bool {
	q.mu.Lock()
	n := len(q.items) - q.head
	if n >= maxQueue || n > 0 && q.bytes+len(m.Body) > maxQueueBytes {
		q.lag = true
		q.mu.Unlock()
		return false
	}
	if q.head > maxQueue {
		rest := copy(q.items, q.items[q.head:])
		clear(q.items[rest:])
		q.items, q.head = q.items[:rest], 0
	}
	q.items = append(q.items, queued{v, m})
	q.bytes += len(m.Body)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return true
}

// peek gives the oldest message.
func (q *queue) peek() (Message, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return Message{}, false
	}
	return q.items[q.head].message, true
}

// take removes the oldest message, which was received; poke says that the
// reader must know.
func (q *queue) take() (poke bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	item := q.items[q.head]
	q.items[q.head] = queued{}
	q.head++
	q.bytes -= len(item.message.Body)
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	v := item.conversation
	v.taken = item.message.Seq
	if !v.marked {
		v.marked = true
		q.taken = append(q.taken, v)
	}
	return len(q.taken) == 1 || q.lag && q.roomy()
}

// roomy says that enough is free to fetch more. The caller holds mu.
func (q *queue) roomy() bool {
	return len(q.items)-q.head <= maxQueue/2 && q.bytes <= maxQueueBytes/2
}

// collect moves what the loop has received to the conversations.
func (q *queue) collect() []*conversation {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.taken
	for _, v := range taken {
		v.received, v.marked = v.taken, false
	}
	q.taken = nil
	return taken
}

// idle says that everything was received and collected.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head == len(q.items) && len(q.taken) == 0
}

// news says what the loop has for the reader: received messages, and room for
// what lags.
func (q *queue) news() (taken, room bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	room = q.lag && q.roomy()
	if room {
		q.lag = false
	}
	return len(q.taken) > 0, room
}

// shrink gives back the memory of a queue that has been empty.
func (q *queue) shrink() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		q.items, q.head = nil, 0
	}
}

// heedQueue does what the Messages loop has made possible.
func (c *Client) heedQueue() {
	taken, room := c.queue.news()
	if taken {
		soonest(&c.due.ack, c.ackBy())
	}
	if room {
		lagging := c.inbox.lagging
		c.inbox.lagging = nil
		for _, v := range lagging {
			v.lagging = false
			c.advance(v)
		}
	}
}

// Messages gives what arrives, for a client without Handler.Message. The body of
// the loop may take its time and may call any method; a message counts as
// received when the loop asks for the next one or breaks. When the loop is
// slow the rest waits on the server. It ends when ctx ends or the client is
// closed. There must be one loop at a time.
func (c *Client) Messages(ctx context.Context) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for ctx.Err() == nil {
			select {
			case <-c.quit:
				return
			default:
			}
			m, ok := c.queue.peek()
			if !ok {
				select {
				case <-c.queue.ready:
				case <-ctx.Done():
				case <-c.quit:
				}
				continue
			}
			more := yield(m)
			if c.queue.take() {
				c.poke()
			}
			if !more {
				return
			}
		}
	}
}
