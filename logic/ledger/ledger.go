// Package ledger is the rules of conversations in memory: which seq a message
// gets, whether it is a repeat, how cursors, acks and counts move. Both modes use
// it as it is: a mode only loads what is not in memory (Source) and makes the
// outcome durable.
//
// A Ledger holds the conversations of one queue. For each record of the queue its
// writer calls Apply, which works all waiting batches out in memory; the writer
// makes the Change durable and calls Settle, which shows it to readers, or Abandon,
// after which it never happened. Readers call View at any time and see only what
// is settled.
//
//	ledger.go        the ledger, its cache, Settle and Abandon
//	apply.go         a batch, step by step
//	gather.go        the conversations of a batch
//	window.go        which client ids of a device are known
//	recall.go        those that have to be read back
//	conversation.go  what is kept of a conversation
//	device.go        which devices it knows
//	change.go        what is to be written, and the record for the queue
//	view.go          what readers see
//	hole.go          seqs that will never exist
//	line.go          calls that wait for the queue, gathered
package ledger

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"gannet/protocol"
)

const (
	// maxOwing bounds the conversations with something soft that is not written.
	// They stay in memory whatever the cache forgets; with more of them each record
	// takes the oldest along before their second is over.
	maxOwing = 4096

	// ackPause is after how long an ack that waits is due, in milliseconds: what is left
	// of the second that a crash may forget is for whoever looks, and for the disk. Acks
	// outnumber messages, and what a crash forgets of them comes again.
	ackPause = 900

	// maxRepaid bounds the conversations whose acks one record takes along beside
	// its own work, so that none is slow for the sake of them.
	maxRepaid = 256

	// maxLearned bounds the counts that wait to be taken in; what is beyond it is
	// looked up again.
	maxLearned = 1024

	// windowCost is what a window without ids counts as. When there are too many ids the
	// newest windows stay, in half of the room: two that were read back must fit, or a
	// retry would be asked again for ever.
	windowCost   = 8
	minClientIDs = 4 * (windowSize + windowCost)
)

// Ledger holds the conversations of one queue. Apply, Settle, Abandon, Forget and Drop
// belong to the queue's one writer, Recall to one caller beside it; View, Learn and Due
// may be called by anybody.
type Ledger struct {
	options Options
	source  Source
	work    work

	mu sync.Mutex // guards what follows, and all that is shown

	// young and old are two generations of the cache: a conversation that is used
	// goes to young, and when that is full it becomes old and what was old is
	// forgotten. So the least recently used go first, and nothing needs a list.
	// What is owing is never forgotten, and a guest not before its batch is over.
	young, old map[protocol.Conversation]*conversation
	owing      map[protocol.Conversation]*conversation
	guests     map[protocol.Conversation]*conversation // the batch under way loaded them
	owed       []*conversation                         // what is owing, oldest first
	learned    []learned
	recalls    []*recall // oldest first
}

// Options says how a Ledger works.
type Options struct {
	Queue, Queues int // it takes conversations of partitions p with p mod Queues == Queue

	// Conversations is about how many conversations are kept in memory beside those
	// of the batch under way and those with unwritten acks; at least 2.
	Conversations int

	// ClientIDs is about how many client ids of devices are kept in memory, at 24
	// bytes each: the newest hundred or two of each device that sends, and some two
	// thousand of one that had to be looked up; at least four such.
	ClientIDs int

	// Checkpoint is at which seqs the devices and totals of a conversation are part
	// of the Change: with the batch that reaches or passes a multiple of it. Source
	// finds what later messages say in the messages themselves (Loaded.Replay). 1: with
	// every batch.
	Checkpoint uint64

	// Floor is the highest seq that may have been given out and lost: a conversation
	// whose head is below goes on above it, and the record announces what lies between
	// as a hole. A multiple of Checkpoint; 0: nothing was lost.
	Floor uint64

	Loads   int // conversations that one user has loaded by one record at most; 0: 128
	Devices int // of one user that a conversation knows at most; 0: 64

	// Admit is asked once for each message that would be the first of its conversation,
	// unless the server sends it. It gives how long its user has to wait first, 0 for not
	// at all, and must not block. nil: nobody waits.
	Admit func(user uint64) (wait time.Duration)

	// Known is asked for a message that may be a repeat, before its window is read back:
	// whether it is one of those that somebody remembers, such as the last records of the
	// queue, with the seq and the time that it was accepted with. It must not block; nil:
	// nobody remembers anything.
	Known func(key protocol.Conversation, user, device, id uint64) (seq, time uint64, ok bool)

	// Counts is asked, for a READ below the head, how many messages count up to that seq
	// and how many of those the user sent; without ok it gives zeros, and nobody knows
	// yet. It looks in memory only. nil: nobody remembers.
	Counts func(key protocol.Conversation, user, seq uint64) (count, own uint64, ok bool)

	// Waiting is called when there is something for Recall to do, by the writer. nil: the
	// caller of Recall knows by itself.
	Waiting func()
}

// New makes an empty ledger over a source.
func New(options Options, source Source) *Ledger {
	options.Conversations = max(options.Conversations, 2)
	options.ClientIDs = max(options.ClientIDs, minClientIDs)
	options.Checkpoint = max(options.Checkpoint, 1)
	options.Loads = cmp.Or(options.Loads, defaultLoads)
	options.Devices = cmp.Or(options.Devices, defaultDevices)
	l := &Ledger{options: options, source: source}
	l.clear()
	return l
}

func (l *Ledger) clear() {
	l.young = make(map[protocol.Conversation]*conversation)
	l.old = make(map[protocol.Conversation]*conversation)
	l.owing = make(map[protocol.Conversation]*conversation)
	l.guests = make(map[protocol.Conversation]*conversation)
	l.owed, l.learned, l.recalls = nil, nil, nil
	l.work = work{
		number: l.work.number,
		loaded: make(map[protocol.Conversation]bool), charge: make(map[uint64]int),
	}
}

// Forget empties the ledger: for a writer that lost its queue, whose memory may
// not be true any more. Acks that are not written are lost.
func (l *Ledger) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
}

// Drop has conversations loaded anew when they are next asked for. Acks of theirs that are not
// written are lost. Nothing is under way.
func (l *Ledger) Drop(keys []protocol.Conversation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		delete(l.young, k)
		delete(l.old, k)
		if l.owing[k] != nil {
			delete(l.owing, k)
			l.owed = slices.DeleteFunc(l.owed, func(c *conversation) bool { return c.key == k })
		}
	}
}

// Due says whether acks have waited for long enough, or all that wait are asked
// for: then Apply has something to write even without a batch.
func (l *Ledger) Due(now uint64, all bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.learned) > 0 || l.due(now, all, 0)
}

// due says whether the acks of owed[i] are to be written. A clock that was set back
// makes all of them due, for it says nothing about how long they wait. mu is held.
func (l *Ledger) due(now uint64, all bool, i int) bool {
	if i >= len(l.owed) {
		return false
	}
	since, newest := l.owed[i].since, l.owed[len(l.owed)-1].since
	return all || max(since, newest) > now || now-since >= ackPause || len(l.owed)-i > maxOwing
}

// peek finds a conversation, nil when it is not in memory. mu is held.
func (l *Ledger) peek(key protocol.Conversation) *conversation {
	if c := l.young[key]; c != nil {
		return c
	}
	if c := l.old[key]; c != nil {
		return c
	}
	if c := l.owing[key]; c != nil {
		return c
	}
	return l.guests[key]
}

// use makes a conversation of the cache, or one that is owing, young. mu is held.
func (l *Ledger) use(c *conversation) {
	if l.young[c.key] == nil {
		delete(l.old, c.key)
		l.put(c)
	}
}

// put enters a conversation as young. mu is held.
func (l *Ledger) put(c *conversation) {
	if len(l.young) >= max(l.options.Conversations/2, 1) {
		l.young, l.old = l.old, l.young
		clear(l.young)
		for _, t := range l.work.touched {
			if !t.guest {
				l.young[t.key] = t // must not be forgotten while its batch is under way
			}
		}
	}
	l.young[c.key] = c
}

// Settle shows what the last Apply worked out to readers: it is durable, or has
// nothing that must be.
func (l *Ledger) Settle() {
	w := &l.work
	l.mu.Lock()
	for _, c := range l.owed[:w.repaid] {
		delete(l.owing, c.key)
	}
	l.owed = slices.Delete(l.owed, 0, w.repaid)
	for _, m := range w.wroteMembers {
		m.written = m.next
	}
	for _, d := range w.wroteDevices {
		d.written = d.next
	}
	for _, c := range w.touched {
		c.shown = c.next
		owes := false
		for m := c.membersChanged; m != nil; m = m.nextChanged {
			m.shown, m.touched = m.next, false
			owes = owes || m.shown.Counted != m.written.Counted
		}
		for d := c.devicesChanged; d != nil; d = d.nextChanged {
			d.shown, d.touched, d.fresh = d.next, false, false
			d.soft = d.softNext && d.shown.Acked != d.written.Acked
			d.softNext = d.soft
			owes = owes || d.soft
		}
		if owes && l.owing[c.key] == nil {
			c.since = w.change.now
			l.owing[c.key] = c
			l.owed = append(l.owed, c)
		}
		if c.devicesGone != nil {
			c.leave()
		}
	}
	l.endBatch()
	l.mu.Unlock()
	w.reset(l.options.ClientIDs)
}

// endBatch ends the batch for its conversations. mu is held.
func (l *Ledger) endBatch() {
	l.seat()
	for _, c := range l.work.touched {
		c.endBatch()
	}
}

// Abandon undoes what the last Apply worked out, of which nothing was written. What
// Apply said in the entries is left there; the writer says Unknown in its place.
func (l *Ledger) Abandon() {
	w := &l.work
	l.mu.Lock()
	for _, c := range w.touched {
		c.next = c.shown
		for m := c.membersChanged; m != nil; m = m.nextChanged {
			m.next, m.touched = m.shown, false
		}
		for d := c.devicesChanged; d != nil; d = d.nextChanged {
			d.next, d.softNext, d.touched = d.shown, d.soft, false
			d.window = nil // may know messages that never were
		}
		for d := c.devicesGone; d != nil; d = d.nextChanged {
			d.gone = false
		}
		for d := c.devicesChanged; d != nil; d = d.nextChanged {
			d.gone = d.fresh // as it never was
		}
		c.leave()
	}
	l.endBatch()
	l.mu.Unlock()
	w.reset(l.options.ClientIDs)
}
