package embedded

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic"
	"gannet/protocol"
)

// checkpoint is at which seqs the device records of a conversation are written:
// all of them by the batch that reaches or passes a multiple of it. What the
// messages after the last multiple say about their devices is read off them when
// the conversation is loaded. So a send writes one key and not two, and a load
// reads fewer than this many messages.
const checkpoint = 64

// write puts what the batch changes into w, in the order of the keys, which the
// memtable takes in faster than any other.
func (b *batch) write(w *pebble.Batch, in *logic.Batch) {
	slices.SortFunc(b.conversations, func(x, y *conversation) int { return bytes.Compare(x.place[:], y.place[:]) })
	for _, c := range b.conversations {
		for i := c.work.first; i >= 0; i = b.steps[i].next {
			e := &in.Entries[i]
			putMessage(w, c, e.Seq, b.steps[i].prev, in.Record[e.Start+protocol.HeaderSize:e.End])
			if e.Seq == 1 {
				putInbox(w, c.key)
			}
		}
		for m := c.work.moved; m != nil; m = m.nextMoved {
			if m.raised {
				putCursors(w, c, m, b.clock)
			}
		}
		if c.work.sent != nil && c.durable.head/checkpoint != c.next.head/checkpoint {
			for _, d := range c.devices {
				if d.saved != d.last {
					putDevice(w, c, d)
					d.saved = d.last
				}
			}
		}
	}
}

func putMessage(w *pebble.Batch, c *conversation, seq, prev uint64, payload []byte) {
	op := w.SetDeferred(messageSize, linkSize+len(payload))
	putMessageKey(op.Key, &c.place, seq)
	binary.BigEndian.PutUint64(op.Value, prev)
	copy(op.Value[linkSize:], payload)
	op.Finish()
}

func putCursors(w *pebble.Batch, c *conversation, m *member, changed uint64) {
	op := w.SetDeferred(stateSize, cursorSize)
	putStateKey(op.Key, &c.place, m.user, 0)
	binary.BigEndian.PutUint64(op.Value, m.next.Delivered)
	binary.BigEndian.PutUint64(op.Value[8:], m.next.Read)
	binary.BigEndian.PutUint64(op.Value[16:], changed)
	op.Finish()
}

func putDevice(w *pebble.Batch, c *conversation, d *device) {
	op := w.SetDeferred(stateSize, deviceSize)
	putStateKey(op.Key, &c.place, d.user, d.device)
	binary.BigEndian.PutUint64(op.Value, d.maxID)
	binary.BigEndian.PutUint64(op.Value[8:], d.last)
	op.Finish()
}

// putInbox enters a conversation that gets its first message with its members.
func putInbox(w *pebble.Batch, c protocol.Conversation) {
	put := func(user uint64) {
		op := w.SetDeferred(inboxSize, 0)
		putInboxKey(op.Key, user, c.Target(user))
		op.Finish()
	}
	put(c.A)
	if c.B != c.A {
		put(c.B)
	}
}
