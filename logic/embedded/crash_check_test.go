package embedded

import (
	"encoding/binary"

	"gannet/logic"
	"gannet/protocol"
)

// crashKey names a message whatever seq it has.
type crashKey struct {
	c                protocol.Conversation
	user, device, id uint64
}

// found is what the store holds after a crash.
type found struct {
	messages map[crashKey]protocol.Message
	senders  map[protocol.Conversation][]uint64 // of the messages, in order
}

// look reads everything, and checks that no seq is missing and no message is there
// twice.
func (w *crashWorld) look() found {
	f := found{make(map[crashKey]protocol.Message), make(map[protocol.Conversation][]uint64)}
	for a := uint64(1); a <= crashUsers; a++ {
		for b := a; b <= crashUsers; b++ {
			c := direct(a, b)
			page := logic.Page{Conversation: c, Limit: 1 << 20, Room: 1 << 30}
			if err := w.store.Pages(w.t.Context(), []*logic.Page{&page}); err != nil || page.Err != nil {
				w.t.Fatalf("%s: %v, %v", w.name, err, page.Err)
			}
			for rest := page.Items; len(rest) > 0; {
				size := binary.BigEndian.Uint32(rest)
				var m protocol.Message
				if m.Decode(rest[4:4+size]) != nil || m.Seq != uint64(len(f.senders[c]))+1 {
					w.t.Fatalf("%s: %v has %+v after seq %d", w.name, c, m, len(f.senders[c]))
				}
				f.senders[c], rest = append(f.senders[c], m.Sender), rest[4+size:]
				k := crashKey{c, m.Sender, m.Device, m.ClientID}
				if first, twice := f.messages[k]; twice {
					w.t.Errorf("%s: %v has %+v as seq %d and %d", w.name, c, k, first.Seq, m.Seq)
				}
				f.messages[k] = m
			}
			if page.Head != uint64(len(f.senders[c])) {
				w.t.Errorf("%s: %v has %d messages and head %d", w.name, c, len(f.senders[c]), page.Head)
			}
		}
	}
	return f
}

// checkMark: the mark that a crash left was below nothing that had been given out, and
// the store that opened over it has a mark of its own in both slots.
func (w *crashWorld) checkMark(left *mark) {
	if left.identity != w.store.Identity() {
		w.t.Errorf("%s: the mark is of %x, the store is %x", w.name, left.identity, w.store.Identity())
	}
	for c, senders := range w.look().senders {
		if head := uint64(len(senders)); head > left.ceiling {
			w.t.Errorf("%s: %v has head %d, above the ceiling %d", w.name, c, head, left.ceiling)
		}
	}
	now, damaged, err := readMark(w.fs, markPath("data"))
	if err != nil || damaged > 0 || now.ceiling != left.ceiling || now.generation <= left.generation {
		w.t.Errorf("%s: the mark is %d, %d, damaged %d (%v) after %d, %d", w.name, now.generation, now.ceiling, damaged, err, left.generation, left.ceiling)
	}
	if made := commitsOf(w.t, w.store); now.total() != made || made < left.total() {
		w.t.Errorf("%s: the mark has %d commits, the store %d, the crash left %d", w.name, now.total(), made, left.total())
	}
}

// check compares the store with what was promised, then retries everything.
func (w *crashWorld) check() {
	f := w.look()
	for _, d := range w.devices {
		for peer := uint64(1); peer <= crashUsers; peer++ {
			w.checkCursors(d, peer, f.senders[direct(d.user, peer)])
		}
	}
	heads := make(map[protocol.Conversation]uint64)
	for c, senders := range f.senders {
		heads[c] = uint64(len(senders))
	}
	for _, d := range w.devices {
		for _, m := range d.messages {
			c := direct(d.user, m.peer)
			there, ok := f.messages[crashKey{c, d.user, d.device, m.id}]
			if m.seq != 0 && (!ok || there.Seq != m.seq || there.Time != m.time) {
				w.t.Errorf("%s: seq %d of %v was acked and is now %+v", w.name, m.seq, c, there)
			}
			e := mustSend(w.t, w.store, d.user, d.device, m.peer, m.id)
			switch {
			case ok && (e.Outcome != logic.Repeated || e.Seq != there.Seq || e.Time != there.Time):
				w.t.Errorf("%s: the retry of seq %d of %v got outcome %d, seq %d", w.name, there.Seq, c, e.Outcome, e.Seq)
			case !ok && (e.Outcome != logic.Applied || e.Seq != heads[c]+1):
				w.t.Errorf("%s: a lost message of %v got outcome %d, seq %d; the head was %d", w.name, c, e.Outcome, e.Seq, heads[c])
			}
			heads[c] = max(heads[c], e.Seq)
			m.seq, m.time = e.Seq, e.Time
		}
	}
}

// checkCursors: what was read is read, an ack that was a second old is there, none
// is higher than what was asked, and unread is what the messages say.
func (w *crashWorld) checkCursors(d *crashDevice, peer uint64, senders []uint64) {
	state := stateOf(w.t, w.store, d.user, d.device, peer)
	if state.Head != uint64(len(senders)) {
		w.t.Errorf("%s: user %d with %d has head %d, and %d messages", w.name, d.user, peer, state.Head, len(senders))
		return
	}
	mostRead := uint64(0)
	for _, other := range w.devices {
		if other.user == d.user {
			mostRead = max(mostRead, other.mostRead[peer]+10)
		}
	}
	if state.Read < d.read[peer] || state.Read > mostRead || state.Read > state.Delivered || state.Delivered > state.Head {
		w.t.Errorf("%s: user %d with %d is at %+v; READ was answered with %d", w.name, d.user, peer, state, d.read[peer])
	}
	unread := uint64(0)
	for _, sender := range senders[min(state.Read, uint64(len(senders))):] {
		if sender != d.user {
			unread++
		}
	}
	if state.Unread != unread {
		w.t.Errorf("%s: user %d with %d, read up to %d, has %d unread, want %d", w.name, d.user, peer, state.Read, state.Unread, unread)
	}
	for _, a := range d.acks[peer] {
		if state.Acked < a.seq || state.Delivered < a.seq {
			w.t.Errorf("%s: device %d of user %d with %d is acked at %d, and had acked %d more than a second before", w.name, d.device, d.user, peer, state.Acked, a.seq)
		}
	}
	// Nobody acks for the device: what is beyond its own acks are its own messages.
	for seq := d.mostAcked[peer] + 20; seq < state.Acked; seq++ {
		if senders[seq] != d.user {
			w.t.Errorf("%s: device %d of user %d with %d is acked at %d, and acked %d at most", w.name, d.device, d.user, peer, state.Acked, d.mostAcked[peer]+20)
			break
		}
	}
	d.acks[peer] = nil
	if state.Acked > 0 {
		d.acks[peer] = []crashAck{{state.Acked, 0}} // what a crash has left is durable
	}
	d.read[peer] = state.Read
}
