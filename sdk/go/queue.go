package gannet

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
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

	// maxRun is how many messages the app is given at once, before others of the hooks
	// have their turn.
	maxRun = 32

	// maxFresh is how much of one read the reader keeps back, so that the app begins
	// with the first of a large one while the rest is decoded.
	maxFresh = 64
)

// queue has the messages that wait for the app. The reader puts them, those of a read in
// one piece; a loop over Messages or the goroutine of the hooks takes them, a run at a
// time, and counts what of it was received without a lock.
type queue struct {
	ready chan struct{} // holds one token when something was put
	room  chan struct{} // holds one token when the reader waits for room and there is some

	// The reader's: what it has put and not poured yet, how much more has room, and
	// whether something was poured of which nobody was told.
	fresh       []queued
	credit      int
	creditBytes int
	untold      bool

	received atomic.Int64 // of the run
	known    atomic.Bool  // the reader will collect what is received, or is about to be told
	stale    atomic.Bool  // the run is of another server

	mu      sync.Mutex
	items   []queued // from head on; those of the run stay until they were received
	head    int
	bytes   int
	run     bool            // the app has a run, whose messages are those from head on
	settled int             // of the run, what has left the queue
	lag     bool            // something did not fit
	starved bool            // the reader waits for room
	looper  uint64          // the goroutine of the loop over Messages; 0: there is none
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

// put takes a message that pour brings to the app; false says that there is no room as
// far as the last pour has seen.
func (q *queue) put(v *conversation, m Message) bool {
	if q.credit < 1 || len(m.Body) > q.creditBytes && q.credit < maxQueue {
		return false
	}
	q.fresh = append(q.fresh, queued{v, m})
	q.credit--
	q.creditBytes -= len(m.Body)
	return true
}

// pour moves to the queue what was put, and sees how much room is left.
func (q *queue) pour() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pourIn()
	q.settle()
	q.credit, q.creditBytes = maxQueue-(len(q.items)-q.head), maxQueueBytes-q.bytes
}

// pourIn is pour for who holds mu. What follows a message that the app refused is
// dropped: the reader fetches it again once it hears of the refusal.
func (q *queue) pourIn() {
	if len(q.fresh) == 0 {
		return
	}
	if q.head > maxQueue {
		rest := copy(q.items, q.items[q.head:])
		clear(q.items[rest:])
		q.items, q.head = q.items[:rest], 0
	}
	for i := range q.fresh {
		item := &q.fresh[i]
		h := &item.conversation.handing
		if h.barred {
			continue
		}
		q.items = append(q.items, *item)
		q.bytes += len(item.message.Body)
		h.queued++
		h.reach = item.message.Seq
	}
	clear(q.fresh)
	q.fresh, q.untold = q.fresh[:0], true
}

// tell wakes who receives, if there is something new.
func (q *queue) tell() bool {
	if !q.untold {
		return false
	}
	q.untold = false
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
		q.settle()
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
		q.settle()
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

// begin gives the app the oldest messages, in the memory of the run before.
func (q *queue) begin(run []queued) []queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.items)-q.head, maxRun)
	run = append(run[:0], q.items[q.head:q.head+n]...)
	q.received.Store(0)
	q.stale.Store(false)
	q.run, q.settled = n > 0, 0
	return run
}

// end takes back what the app has not received of its run; poke says that there is room
// for what lags.
func (q *queue) end() (poke bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle()
	q.run = false
	return q.lag && q.roomy()
}

// settle takes what was received out of the queue. The caller holds mu.
func (q *queue) settle() {
	if !q.run {
		return
	}
	for n := int(q.received.Load()); q.settled < n; q.settled++ {
		q.remove()
	}
	if q.starved && q.roomy() {
		q.starved = false
		select {
		case q.room <- struct{}{}:
		default:
		}
	}
}

// remove takes the oldest message out, which was received. The caller holds mu.
func (q *queue) remove() {
	item := &q.items[q.head]
	v, seq := item.conversation, item.message.Seq
	q.bytes -= len(item.message.Body)
	*item = queued{}
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	q.done++
	h := &v.handing
	h.refusals = 0
	h.queued--
	h.taken = seq
	if h.queued == 0 {
		h.taken = h.reach
	}
	if !h.marked {
		h.marked = true
		q.taken = append(q.taken, v)
	}
}

// refuse ends the run at its first message that was not received, and takes that and all
// others of its conversation out: the reader is to fetch them again after the pause that
// it gives.
func (q *queue) refuse(v *conversation) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle()
	q.run = false
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
	q.pourIn()
	h := &v.handing
	if h.barred { // what was refused is not in the queue, and comes again
		return h.taken
	}
	h.reach = seq
	if h.queued == 0 {
		h.taken = seq
	}
	return h.taken
}

// collect moves what the app has received to the conversations.
func (q *queue) collect() []*conversation {
	q.known.Store(false) // before it looks, so that what is received from now on is told
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle()
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
	q.settle()
	return q.head == len(q.items) && len(q.fresh)+len(q.taken)+len(q.refused) == 0
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head == len(q.items)
}

// handling says that the app has messages at the moment.
func (q *queue) handling() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.run
}

// news says what the app has for the reader: received messages, room for what
// lags, and refused ones. If nothing was received, the app tells the reader of the next message:
// it may have been about to tell of one that collect has seen.
func (q *queue) news() (taken, room bool, refused []*conversation) {
	q.known.Store(false)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle()
	if taken = len(q.taken) > 0; taken {
		q.known.Store(true)
	}
	room = q.lag && q.roomy()
	if room {
		q.lag = false
	}
	refused, q.refused = q.refused, nil
	return taken, room, refused
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
	q.run = false
	q.stale.Store(true)
	q.fresh, q.credit = nil, 0
}

// shrink gives back the memory of a queue that has been empty.
func (q *queue) shrink() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		q.items, q.head = nil, 0
	}
	if len(q.fresh) == 0 {
		q.fresh = nil
	}
}
