package gateway

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"gannet/protocol"
)

// outbox holds the frames that wait for the socket of one connection. Each kind of frame is
// bounded in bytes. The session's mutex guards it.
//
// Frames are kept as slices that other outboxes share. Such a slice keeps the whole batch in
// memory from which it was cut. That is fine for a moment: all sockets that have been blocked for
// less than blockedGrace share what was made in that time. An outbox that waits for longer copies
// the little that it may keep into memory of its own, once, and replaces the other pushes by
// hints (own). While a socket takes nothing, nothing is copied.
type outbox struct {
	rest    []byte  // what is left of the frame of which the socket has taken a part; goes first
	urgent  *frames // WELCOME and system messages
	answers *frames // before pushes: a SENDACK should go out before pushes that follow its message
	pages   *frames // answers to queries, which have reserved their room
	normal  *frames // pushes, and CLOSE at last

	answered, paged, pushed int // bytes in answers, in pages, in urgent and normal

	blocked  bool // the socket did not take everything; we wait until it is writable
	owned    bool // blocked for long: all that waits is in memory of this outbox alone
	ending   bool // CLOSE is in the outbox: nothing may come behind it
	hints    []protocol.Cursor
	hintSync bool // too many hints: one hint says that anything may have changed
}

// frames is a list of encoded frames. It is pooled, so that an idle connection holds none. An
// element is one whole frame or several.
type frames struct {
	list [][]byte
	next int // the first that is not taken yet
}

// add appends a frame. It first reuses the room of elements that were taken. Otherwise a list
// that is never quite empty would grow with everything that passes through it.
func (f *frames) add(b []byte) {
	if len(f.list) == cap(f.list) && f.next > len(f.list)/2 {
		n := copy(f.list, f.list[f.next:])
		clear(f.list[n:])
		f.list, f.next = f.list[:n], 0
	}
	f.list = append(f.list, b)
}

// join appends a copy of a frame. All elements must be in the outbox's own memory (owned), so
// that spare capacity of the last one may be used.
func (f *frames) join(b []byte) {
	if n := len(f.list); n > f.next {
		if last := &f.list[n-1]; cap(*last)-len(*last) >= len(b) {
			*last = append(*last, b...)
			return
		}
	}
	f.add(append(make([]byte, 0, max(len(b), joinBytes)), b...))
}

var framesPool = sync.Pool{New: func() any { return &frames{list: make([][]byte, 0, 16)} }}

// bytes gives how many wait, without hints.
func (o *outbox) bytes() int { return len(o.rest) + o.answered + o.paged + o.pushed }

func (o *outbox) empty() bool {
	return o.bytes() == 0 && len(o.hints) == 0 && !o.hintSync
}

// push adds a push frame, if no more than most bytes of pushes then wait. Otherwise it returns
// false, and the caller leaves a hint.
func (o *outbox) push(frame []byte, urgent bool, most int) bool {
	if o.pushed+len(frame) > most {
		return false
	}
	list := &o.normal
	if urgent {
		list = &o.urgent
	}
	o.add(list, frame)
	o.pushed += len(frame)
	return true
}

// answer adds the answer to a request, if no more than most bytes of answers then wait. Otherwise
// it returns false: the client does not read.
func (o *outbox) answer(b []byte, most int) bool {
	if o.answered+len(b) > most {
		return false
	}
	o.add(&o.answers, b)
	o.answered += len(b)
	return true
}

// page adds the answer to a query, which has room.
func (o *outbox) page(b []byte) {
	if o.pages == nil {
		o.pages = framesPool.Get().(*frames)
	}
	o.pages.add(b)
	o.paged += len(b)
}

// first adds the first frame to the client (WELCOME), before any push.
func (o *outbox) first(frame []byte) {
	o.add(&o.urgent, frame)
	o.pushed += len(frame)
}

// last adds the last frame (CLOSE), without a limit. Nothing comes behind it.
func (o *outbox) last(frame []byte) {
	o.hints, o.hintSync, o.ending = nil, false, true
	o.add(&o.normal, frame)
	o.pushed += len(frame)
}

func (o *outbox) add(list **frames, b []byte) {
	if *list == nil {
		*list = framesPool.Get().(*frames)
	}
	if o.owned {
		(*list).join(b)
	} else {
		(*list).add(b)
	}
}

// hinted says whether a hint for the conversation waits. Further pushes of that conversation then
// become part of the hint: the client fetches them together with the ones that did not fit.
func (o *outbox) hinted(t protocol.Target) bool {
	return o.hintSync || len(o.hints) > 0 &&
		slices.ContainsFunc(o.hints, func(h protocol.Cursor) bool { return h.Target == t })
}

// hint remembers that the conversation goes up to seq at least.
func (o *outbox) hint(t protocol.Target, seq uint64) {
	if o.hintSync || o.ending {
		return
	}
	for i := range o.hints {
		if o.hints[i].Target == t {
			o.hints[i].Seq = max(o.hints[i].Seq, seq)
			return
		}
	}
	if len(o.hints) == maxHints {
		o.hints, o.hintSync = nil, true
		return
	}
	o.hints = append(o.hints, protocol.Cursor{Target: t, Seq: seq})
}

// hintFrame is the length of an encoded HINT.
const hintFrame = protocol.HeaderSize + 17

// taking is the result of take: the bytes, and how many of them come from each list. Bytes of no
// list are from rest.
type taking struct {
	bytes []byte
	of    [4]int
	hints bool // the bytes are hints only
}

// take copies what goes out next to the end of dst, as far as its capacity allows. A frame may be
// split between two takes. The caller reports with taken how many bytes were written. Until then
// the frames stay where they are, and nothing is put before them. Hints go only when nothing else
// waits, so that they cannot crowd out the frames that they stand for.
func (o *outbox) take(dst []byte) (t taking) {
	dst = upTo(dst, o.rest)
	for at, f := range [...]*frames{o.urgent, o.answers, o.pages, o.normal} {
		before := len(dst)
		if f != nil {
			for i := f.next; i < len(f.list) && len(dst) < cap(dst); i++ {
				dst = upTo(dst, f.list[i])
			}
		}
		t.of[at] = len(dst) - before
	}
	if len(dst) > 0 {
		t.bytes = dst
		return t
	}
	t.hints = true
	if o.hintSync && cap(dst) >= hintFrame {
		dst = protocol.Cursor{}.AppendHint(dst)
		o.hintSync = false
	}
	for len(o.hints) > 0 && cap(dst)-len(dst) >= hintFrame {
		last := len(o.hints) - 1
		dst = o.hints[last].AppendHint(dst)
		o.hints = o.hints[:last]
	}
	if len(o.hints) == 0 {
		o.hints = nil
	}
	t.bytes = dst
	return t
}

// upTo appends as much of b as dst has room for.
func upTo(dst, b []byte) []byte { return append(dst, b[:min(len(b), cap(dst)-len(dst))]...) }

// taken notes that the socket took the first n bytes of a taking.
func (o *outbox) taken(t *taking, n int) {
	if t.hints {
		if n < len(t.bytes) {
			o.rest = bytes.Clone(t.bytes[n:])
		}
		return
	}
	k := min(n, len(o.rest))
	if o.rest = o.rest[k:]; len(o.rest) == 0 {
		o.rest = nil
	}
	n -= k
	for at, l := range [...]struct {
		of      **frames
		waiting *int
	}{{&o.urgent, &o.pushed}, {&o.answers, &o.answered}, {&o.pages, &o.paged}, {&o.normal, &o.pushed}} {
		k := min(n, t.of[at])
		n -= k
		if k > 0 {
			*l.waiting -= o.drain(l.of, k)
		}
	}
}

// drain removes the first n bytes from a list, which has at least as many. It returns by how many
// bytes the list got shorter. The rest of a frame that is cut moves to rest.
func (o *outbox) drain(list **frames, n int) (less int) {
	f := *list
	for n > 0 {
		b := f.list[f.next]
		if n < len(b) {
			end := frameEnd(b, n)
			if n < end {
				o.rest = b[n:end:end]
			}
			less, n = less+end, 0
			if end < len(b) {
				f.list[f.next] = b[end:]
				break
			}
		} else {
			less, n = less+len(b), n-len(b)
		}
		f.list[f.next] = nil
		f.next++
	}
	if f.next == len(f.list) {
		f.list, f.next = f.list[:0], 0
		framesPool.Put(f)
		*list = nil
	}
	return less
}

// frameEnd gives the end of the frame that contains byte n-1 of b. b begins with a frame.
func frameEnd(b []byte, n int) int {
	end := 0
	for end < n && len(b)-end > 4 {
		end += 4 + int(binary.BigEndian.Uint32(b[end:]))
	}
	if end < n || end > len(b) {
		return len(b)
	}
	return end
}

// own copies what the outbox keeps into memory of its own, until everything has gone out: all
// answers, and the oldest pushes up to most bytes. Other pushes become hints; dropped is their
// number. user is the receiver. Pages need no copy, because no other outbox has them.
func (o *outbox) own(user uint64, most int) (dropped int) {
	o.owned = true
	o.rest = bytes.Clone(o.rest)
	if o.answers != nil {
		all := make([]byte, 0, o.answered)
		for _, b := range o.answers.list[o.answers.next:] {
			all = append(all, b...)
		}
		clear(o.answers.list)
		o.answers.list, o.answers.next = append(o.answers.list[:0], all), 0
	}
	o.pushed = 0
	for _, f := range [...]*frames{o.urgent, o.normal} {
		if f != nil {
			dropped += o.shorten(f, user, most)
		}
	}
	return dropped
}

// shorten is own for a list of pushes.
func (o *outbox) shorten(f *frames, user uint64, most int) (dropped int) {
	old := slices.Clone(f.list[f.next:])
	clear(f.list)
	f.list, f.next = f.list[:0], 0
	for _, several := range old {
		for len(several) > 0 {
			end := frameEnd(several, 1)
			b := several[:end]
			several = several[end:]
			h, ok := peek(b)
			if ok && (o.pushed+len(b) > most || h.tracked && o.hinted(h.target(user))) {
				dropped++
				o.hintFor(&h, user)
				continue
			}
			f.join(b)
			o.pushed += len(b)
		}
	}
	return dropped
}

// hintFor leaves a hint in place of a push.
func (o *outbox) hintFor(h *pushHead, user uint64) {
	if h.tracked {
		o.hint(h.target(user), h.message.Seq)
		return
	}
	// Something has changed and there is no second copy of this push, so only SYNC can tell the
	// client.
	o.hint(protocol.Target{}, 0)
}

// unblock says that everything has gone out.
func (o *outbox) unblock() { o.blocked, o.owned = false, false }

// drop empties the outbox.
func (o *outbox) drop() { *o = outbox{} }
