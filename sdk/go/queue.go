package gannet

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"
)

const (
	// maxQueue and maxQueueBytes bound what waits for the app; the rest waits on
	// the server. One message of any size always fits.
	maxQueue      = 256
	maxQueueBytes = 256 << 10

	// queuePatience is how long the reader waits for an app that does not finish
	// a single message, before it leaves the rest to the server. An app that is
	// quick is waited for, which is cheaper than fetching.
	queuePatience = 10 * time.Millisecond
)

// queue has the messages that wait for the app: the reader puts, a loop over
// Messages or the goroutine of the hooks takes.
type queue struct {
	ready chan struct{} // holds one token when something was put
	room  chan struct{} // holds one token when the reader waits for room and there is some

	mu      sync.Mutex
	items   []queued // from head on; the first stays until it was received
	head    int
	bytes   int
	lag     bool            // something did not fit
	starved bool            // the reader waits for room
	held    bool            // a loop over Messages is under way
	busy    bool            // the hook has the first item
	done    uint64          // items taken
	taken   []*conversation // that the app has received from since collect
	refused []*conversation // whose first message the app refused
}

type queued struct {
	conversation *conversation
	message      Message
}

// handing is how far the app is in a conversation, under queue.mu.
type handing struct {
	queued   int    // messages in the queue
	reach    uint64 // everything up to here is in the queue, was received, or is not for the app
	taken    uint64 // everything up to here was received
	marked   bool   // in queue.taken
	refusals int    // of the first message, in a row
	barred   bool   // the app refused a message, and the reader does not know yet
	gone     bool   // the conversation is one of another server
}

func (q *queue) init() {
	q.ready = make(chan struct{}, 1)
	q.room = make(chan struct{}, 1)
}

// put appends a message; false says that there is no room, or that the app has
// refused an earlier one of the conversation.
func (q *queue) put(v *conversation, m Message) bool {
	q.mu.Lock()
	if v.handing.barred || !q.fits(len(m.Body)) {
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
	v.handing.queued++
	v.handing.reach = m.Seq
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return true
}

// fits says whether a body of the size has room. The caller holds mu.
func (q *queue) fits(size int) bool {
	n := len(q.items) - q.head
	return n == 0 || n < maxQueue && q.bytes+size <= maxQueueBytes
}

// await waits for room while the app goes on receiving; false says that it does
// not, and that the queue tells when there is room again, or that there is no use.
func (q *queue) await(v *conversation, size int, life context.Context) bool {
	timer := time.NewTimer(queuePatience)
	defer timer.Stop()
	q.mu.Lock()
	for before := q.done; ; {
		if v.handing.barred {
			q.starved = false
			q.mu.Unlock()
			return false
		}
		fits := q.fits(size)
		q.starved = !fits
		if fits {
			q.mu.Unlock()
			return true
		}
		q.mu.Unlock()
		late := false
		select {
		case <-q.room:
		case <-timer.C:
			late = true
		case <-life.Done():
			late = true
		}
		q.mu.Lock()
		if late && (q.done == before || life.Err() != nil) && !q.fits(size) {
			q.starved, q.lag = false, true
			q.mu.Unlock()
			return false
		}
		if late {
			before = q.done
			timer.Reset(queuePatience)
		}
	}
}

// begin gives the oldest message to the hook.
func (q *queue) begin() (queued, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return queued{}, false
	}
	q.busy = true
	return q.items[q.head], true
}

// peek gives the oldest message.
func (q *queue) peek() (queued, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return queued{}, false
	}
	return q.items[q.head], true
}

// take removes the oldest message, which was received, and gives up to where its
// conversation was; poke says that the reader must know. With more it begins the next
// one, if there is one.
func (q *queue) take(item queued, more bool) (seq uint64, poke bool, next queued, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	seq, poke = q.remove(item)
	q.busy = more && q.head < len(q.items)
	if q.busy {
		next = q.items[q.head]
	}
	return seq, poke, next, q.busy
}

// remove is take for who holds mu.
func (q *queue) remove(item queued) (seq uint64, poke bool) {
	if item.conversation.handing.gone {
		return 0, false
	}
	q.items[q.head] = queued{}
	q.head++
	q.bytes -= len(item.message.Body)
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	q.done++
	v := item.conversation
	h := &v.handing
	h.refusals = 0
	h.queued--
	h.taken = item.message.Seq
	if h.queued == 0 {
		h.taken = h.reach
	}
	if !h.marked {
		h.marked = true
		q.taken = append(q.taken, v)
	}
	if q.starved && q.roomy() {
		q.starved = false
		select {
		case q.room <- struct{}{}:
		default:
		}
	}
	return h.taken, len(q.taken) == 1 || q.lag && q.roomy()
}

// refuse takes the oldest message and all others of its conversation out: the
// reader is to fetch them again after the pause that it gives.
func (q *queue) refuse(item queued) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = false
	v := item.conversation
	if v.handing.gone {
		return 0
	}
	rest := slices.DeleteFunc(q.items[q.head:], func(other queued) bool {
		if other.conversation == v {
			q.bytes -= len(other.message.Body)
		}
		return other.conversation == v
	})
	q.items = q.items[:q.head+len(rest)]
	q.done++
	v.handing.queued, v.handing.barred = 0, true
	v.handing.refusals++
	q.refused = append(q.refused, v)
	return v.handing.pause()
}

// pause is before a refused message comes again.
func (h *handing) pause() time.Duration {
	return min(refusedMin<<min(h.refusals-1, 10), refusedMax)
}

// roomy says that enough is free to fetch more. The caller holds mu.
func (q *queue) roomy() bool {
	return len(q.items)-q.head <= maxQueue/2 && q.bytes <= maxQueueBytes/2
}

// reached notes that everything up to seq is in the queue or not for the app, and
// gives up to where the app has received.
func (q *queue) reached(v *conversation, seq uint64) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := &v.handing
	h.reach = seq
	if h.queued == 0 {
		h.taken = seq
	}
	return h.taken
}

// collect moves what the app has received to the conversations.
func (q *queue) collect() []*conversation {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.taken
	for _, v := range taken {
		v.received, v.handing.marked = v.handing.taken, false
	}
	q.taken = nil
	return taken
}

// idle says that everything was received and collected.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head == len(q.items) && len(q.taken) == 0 && len(q.refused) == 0
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head == len(q.items)
}

// handling says that the hook has a message at the moment.
func (q *queue) handling() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.busy
}

// news says what the app has for the reader: received messages, room for what
// lags, and refused ones.
func (q *queue) news() (taken, room bool, refused []*conversation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	room = q.lag && q.roomy()
	if room {
		q.lag = false
	}
	refused, q.refused = q.refused, nil
	return len(q.taken) > 0, room, refused
}

// unbar lets a conversation go on after a refusal, and gives the seq that is to
// come again and the pause before it.
func (q *queue) unbar(v *conversation) (seq uint64, pause time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := &v.handing
	h.barred, h.reach = false, h.taken
	return h.taken + 1, h.pause()
}

// drop forgets everything: it belongs to another server.
func (q *queue) drop(conversations map[Target]*conversation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, v := range conversations {
		v.handing.gone = true
	}
	q.items, q.head, q.bytes, q.taken, q.refused = nil, 0, 0, nil, nil
}

// shrink gives back the memory of a queue that has been empty.
func (q *queue) shrink() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		q.items, q.head = nil, 0
	}
}

// Messages gives what arrives, for a client without Handler.Message. The body of
// the loop may take its time and may call any method. A message counts as received
// when the loop asks for the next one; the one at which the body breaks off does
// not, and is the first that the next loop gets, or the next client. When the loop
// is slow the rest waits on the server.
//
// The loop ends without an error when ctx ends and when the client is closed.
// It ends with one when the client ends for good, which is Err, and with
// ErrReceiving when another loop or Handler.Message receives already.
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if !c.queue.hold(c.hooks.messages) {
			yield(Message{}, ErrReceiving)
			return
		}
		defer c.queue.letGo()
		for ctx.Err() == nil {
			select {
			case <-c.quit:
				if err := c.Err(); err != nil {
					yield(Message{}, err)
				}
				return
			default:
			}
			item, ok := c.queue.peek()
			if !ok {
				select {
				case <-c.queue.ready:
				case <-ctx.Done():
				case <-c.quit:
				}
				continue
			}
			if !yield(item.message, nil) {
				return
			}
			c.took(item, false)
		}
	}
}

// hold makes the caller the one that receives.
func (q *queue) hold(taken bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if taken || q.held {
		return false
	}
	q.held = true
	return true
}

func (q *queue) letGo() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = false
}
