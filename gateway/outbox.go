package gateway

import (
	"bytes"
	"slices"
	"sync"

	"gannet/protocol"
)

// outbox holds what waits for one connection's socket, bounded in bytes (those
// of one write, which may come back, aside). The session's mutex guards it.
//
// Frames are kept as the slices that everybody else has too. A slice keeps the
// whole batch that it was cut from in memory, so once the socket is blocked the
// outbox copies what it holds (detach), and its memory is its bytes.
type outbox struct {
	rest     []byte  // what the socket did not take of the last write; goes first
	urgent   *frames // system messages
	replies  *frames // before pushes: a SENDACK should not be overtaken by what follows its message
	normal   *frames // pushes
	bytes    int     // in the four above
	blocked  bool
	hints    []protocol.Cursor // conversations of which a push did not fit
	hintSync bool              // too many of them: anything may have changed
}

// frames is a list of encoded frames, pooled so that an idle connection holds
// none.
type frames struct {
	list [][]byte
	next int // the first that is not taken yet
}

// add appends a frame. What was taken makes room first: a list that is never quite
// empty must not grow with all that went through it.
func (f *frames) add(b []byte) {
	if len(f.list) == cap(f.list) && f.next > len(f.list)/2 {
		n := copy(f.list, f.list[f.next:])
		clear(f.list[n:])
		f.list, f.next = f.list[:n], 0
	}
	f.list = append(f.list, b)
}

var framesPool = sync.Pool{New: func() any { return &frames{list: make([][]byte, 0, 16)} }}

func (o *outbox) empty() bool {
	return o.bytes == 0 && len(o.hints) == 0 && !o.hintSync
}

// push adds a push frame; false: it does not fit, and the caller says so by
// hint.
func (o *outbox) push(frame []byte, urgent bool) bool {
	if o.bytes+len(frame) > outboxBytes {
		return false
	}
	if urgent {
		o.add(&o.urgent, frame)
	} else {
		o.add(&o.normal, frame)
	}
	return true
}

// reply adds what answers a request; false: the client does not read.
func (o *outbox) reply(b []byte) bool {
	if o.bytes+len(b) > outboxBytes+replyBytes {
		return false
	}
	o.add(&o.replies, b)
	return true
}

// first adds the frame that begins the conversation with the client, before any
// push.
func (o *outbox) first(frame []byte) { o.add(&o.urgent, frame) }

// last adds the frame that ends it, whatever the bound; nothing comes behind it.
func (o *outbox) last(frame []byte) {
	o.hints, o.hintSync = nil, false
	o.add(&o.normal, frame)
}

func (o *outbox) add(list **frames, b []byte) {
	if *list == nil {
		*list = framesPool.Get().(*frames)
	}
	if o.blocked {
		b = bytes.Clone(b)
	}
	(*list).add(b)
	o.bytes += len(b)
}

// hinted says whether a hint for the conversation waits to go out. Further pushes
// of it join the hint: the client fetches them along with what did not fit, and gets
// none before that.
func (o *outbox) hinted(t protocol.Target) bool {
	return o.hintSync || len(o.hints) > 0 &&
		slices.ContainsFunc(o.hints, func(h protocol.Cursor) bool { return h.Target == t })
}

// hint remembers that the conversation goes up to seq at least.
func (o *outbox) hint(t protocol.Target, seq uint64) {
	if o.hintSync {
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

// take moves what goes out next to the end of dst, as far as its capacity
// reaches; a frame may be split between two takes. Hints go once nothing else
// waits, so that they cannot crowd out what they stand for.
func (o *outbox) take(dst []byte) []byte {
	if len(o.rest) > 0 {
		n := min(len(o.rest), cap(dst)-len(dst))
		dst = append(dst, o.rest[:n]...)
		o.bytes -= n
		if o.rest = o.rest[n:]; len(o.rest) > 0 {
			return dst
		}
		o.rest = nil
	}
	dst = o.drain(dst, &o.urgent)
	dst = o.drain(dst, &o.replies)
	dst = o.drain(dst, &o.normal)
	if o.bytes > 0 {
		return dst
	}
	const hintSize = protocol.HeaderSize + 17
	if o.hintSync && cap(dst)-len(dst) >= hintSize {
		dst = protocol.Cursor{}.AppendHint(dst)
		o.hintSync = false
	}
	for len(o.hints) > 0 && cap(dst)-len(dst) >= hintSize {
		last := len(o.hints) - 1
		dst = o.hints[last].AppendHint(dst)
		o.hints = o.hints[:last]
	}
	if len(o.hints) == 0 {
		o.hints = nil
	}
	return dst
}

func (o *outbox) drain(dst []byte, list **frames) []byte {
	f := *list
	if f == nil || len(o.rest) > 0 {
		return dst
	}
	for f.next < len(f.list) {
		b := f.list[f.next]
		f.list[f.next] = nil
		f.next++
		n := min(len(b), cap(dst)-len(dst))
		dst = append(dst, b[:n]...)
		o.bytes -= n
		if n < len(b) {
			o.rest = bytes.Clone(b[n:])
			return dst
		}
	}
	f.list, f.next = f.list[:0], 0
	framesPool.Put(f)
	*list = nil
	return dst
}

// untake gives back what the socket did not take.
func (o *outbox) untake(p []byte) {
	if len(p) == 0 {
		return
	}
	o.bytes += len(p)
	o.rest = append(bytes.Clone(p), o.rest...)
}

// detach makes the outbox the only owner of what it holds, for as long as the
// socket is blocked.
func (o *outbox) detach() {
	if o.blocked {
		return
	}
	o.blocked = true
	for _, f := range []*frames{o.urgent, o.replies, o.normal} {
		if f == nil {
			continue
		}
		for i := f.next; i < len(f.list); i++ {
			f.list[i] = bytes.Clone(f.list[i])
		}
	}
}

// drop gives up everything.
func (o *outbox) drop() { *o = outbox{} }
