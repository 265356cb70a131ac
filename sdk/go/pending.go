package gannet

import (
	"slices"
	"sort"
	"time"

	"gannet/protocol"
)

type sendState uint8

const (
	held  sendState = iota // not on the wire of this connection
	sent                   // on the wire, not answered
	ended                  // acked or refused
)

// outgoing is a message that was taken from the caller.
type outgoing struct {
	id      uint64
	target  Target
	draft   Draft
	call    *call    // who waits in Send, or nil
	sending *Sending // what Post gave, or nil
	request uint32
	state   sendState
}

// pending is the messages that are not acked, under Client.mu. It does no I/O.
type pending struct {
	entries []outgoing // from head on in rising order of id
	head    int        // entries before it are ended and gone
	next    int        // entries before it are not held
	live    int        // not ended
	flying  int        // sent
	bytes   int        // of their frames

	window     int    // live at most
	limit      int    // flying at most: window, or what the server allows
	limitBytes int    // bytes at most, but for a single message; 0: no bound
	lastID     uint64 // of all messages, in lives before too
	born       uint64 // ids of this life are above it
	clock      uint64 // ids that the client chooses are above it
	stable     uint64 // ids up to here are on disk and may go out

	retryAt  time.Time // nothing goes out before it; zero: at once
	attempts int       // retries since the last ack
	answered time.Time // when flying was 0 or an answer came, last

	reserved int      // rooms given to waiters that have not used them yet
	waiters  []waiter // callers of Send and Post waiting for room, oldest first
	unheard  int      // outcomes that wait for their hook
}

// waiter waits for room.
type waiter struct {
	room chan struct{} // closed when there is some
	hook bool          // it is a hook that waits, so the room of outcomes is not for it
}

// size gives the bytes of its frame.
func (e *outgoing) size() int { return sendFixed + len(e.draft.Body) }

// sendFixed is a SEND without its body.
var sendFixed = len(protocol.Send{}.AppendFrame(nil, 0))

// init begins with what the store has. Ids that the client chooses are above clock:
// they must rise also for a device whose store is lost, and one message for each
// microsecond is more than a device sends.
func (o *pending) init(s *saved, mine *claim, window int, clock uint64) {
	o.window, o.lastID, o.born, o.clock = window, s.lastID, s.lastID, clock
	for _, k := range s.taken {
		if k.settled == nil && (k.claim == nil || k.claim.same(mine)) {
			o.entries = append(o.entries, outgoing{id: k.id, target: k.target, draft: k.draft})
			o.stable = k.id
		}
	}
	o.live = len(o.entries)
}

// room says whether one more message may be taken, by a hook or by others. The
// span counts too, ended ones included, because the server tells retries from new
// messages only within MaxUnacked.
func (o *pending) room(hook bool) bool {
	return o.live+o.reserved < o.window && len(o.entries)-o.head+o.reserved < protocol.MaxUnacked &&
		(hook || o.unheard < maxUnheard)
}

// grant wakes waiters for whom there is room now, oldest first.
func (o *pending) grant() {
	for i := 0; i < len(o.waiters) && o.room(true); {
		w := o.waiters[i]
		if !o.room(w.hook) {
			i++
			continue
		}
		o.reserved++
		close(w.room)
		if o.waiters[i] = (waiter{}); i == 0 {
			o.waiters = o.waiters[1:]
		} else {
			o.waiters = slices.Delete(o.waiters, i, i+1)
		}
	}
}

// leave takes back what a waiter waited for, or was given.
func (o *pending) leave(room chan struct{}) {
	if i := slices.IndexFunc(o.waiters, func(w waiter) bool { return w.room == room }); i >= 0 {
		o.waiters = slices.Delete(o.waiters, i, i+1)
		return
	}
	o.reserved--
	o.grant()
}

// add appends a message; its id is above all before it.
func (o *pending) add(e outgoing) {
	if len(o.entries) == cap(o.entries) && o.head > len(o.entries)/2 {
		n := copy(o.entries, o.entries[o.head:])
		clear(o.entries[n:])
		o.entries = o.entries[:n]
		o.next -= o.head
		o.head = 0
	}
	o.entries = append(o.entries, e)
	o.lastID = e.id
	o.live++
}

// find gives the place of an id, -1 when it is not there or ended.
func (o *pending) find(id uint64) int {
	i := o.head
	if i >= len(o.entries) || o.entries[i].id != id { // acks mostly come in order
		i += sort.Search(len(o.entries)-o.head, func(k int) bool { return o.entries[o.head+k].id >= id })
	}
	if i >= len(o.entries) || o.entries[i].id != id || o.entries[i].state == ended {
		return -1
	}
	return i
}

// findRequest gives the place of what was sent under a request number, or -1.
func (o *pending) findRequest(request uint32) int {
	for i := o.head; i < len(o.entries); i++ {
		if e := &o.entries[i]; e.state == sent && e.request == request {
			return i
		}
	}
	return -1
}

// remove takes the entry at i out and gives what it was.
func (o *pending) remove(i int) outgoing {
	e := o.entries[i]
	if e.state == sent {
		o.flying--
		o.bytes -= e.size()
	}
	o.entries[i] = outgoing{id: e.id, state: ended}
	o.live--
	for o.head < len(o.entries) && o.entries[o.head].state == ended {
		o.head++
	}
	o.next = max(o.next, o.head)
	if o.head == len(o.entries) {
		o.entries, o.head, o.next = o.entries[:0], 0, 0
	}
	o.grant()
	return e
}

// hold puts the entry at i back, to be sent again.
func (o *pending) hold(i int) {
	o.entries[i].state = held
	o.flying--
	o.bytes -= o.entries[i].size()
	o.next = min(o.next, i)
}

// holdAll puts everything back: the connection is gone.
func (o *pending) holdAll() {
	for i := o.head; i < len(o.entries); i++ {
		if o.entries[i].state == sent {
			o.entries[i].state = held
		}
	}
	o.next, o.flying, o.bytes, o.retryAt = o.head, 0, 0, time.Time{}
}

// unacked counts the messages to the target that are on the wire.
func (o *pending) unacked(target Target) uint64 {
	var n uint64
	for i := o.head; i < len(o.entries); i++ {
		if o.entries[i].state == sent && o.entries[i].target == target {
			n++
		}
	}
	return n
}

// full says whether so many bytes more are too many.
func (o *pending) full(size int) bool {
	return o.limitBytes > 0 && o.flying > 0 && o.bytes+size > o.limitBytes
}

// encode appends to dst the frames of what may go out, oldest first.
func (o *pending) encode(dst []byte, numbers *counter) []byte {
	if !o.retryAt.IsZero() {
		return dst
	}
	for ; o.next < len(o.entries) && o.flying < o.limit; o.next++ {
		e := &o.entries[o.next]
		if e.state != held {
			continue
		}
		if e.id > o.stable || o.full(e.size()) {
			break
		}
		if o.flying == 0 {
			o.answered = time.Now()
		}
		e.request = numbers.next()
		e.state = sent
		o.flying++
		o.bytes += e.size()
		dst = protocol.Send{
			Target: e.target.wire(), ClientID: e.id, Content: protocol.Content(e.draft.Content), Body: e.draft.Body,
		}.AppendFrame(dst, e.request)
	}
	return dst
}

// shrink gives back the memory when there has been none.
func (o *pending) shrink() {
	if o.live == 0 {
		o.entries, o.head, o.next = nil, 0, 0
	}
	if len(o.waiters) == 0 {
		o.waiters = nil
	}
}

// abandon forgets all of them and gives what was in it.
func (o *pending) abandon() []outgoing {
	var left []outgoing
	for i := o.head; i < len(o.entries); i++ {
		if o.entries[i].state != ended {
			left = append(left, o.entries[i])
		}
	}
	o.entries, o.head, o.next, o.live, o.flying, o.bytes = nil, 0, 0, 0, 0, 0
	return left
}
