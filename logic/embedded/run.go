package embedded

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic/ledger"
	"gannet/protocol"
)

// A run is messages of one conversation that follow each other and came with one
// commit, under the key of the last of them. What one key costs in memory, in
// flushes, in compactions and in reads is then shared by all of them: a group or a
// pair that is busy has many messages in each commit. A seek to the key of a seq finds
// the run that has it.
//
//	count uvarint   messages
//	stamp uvarint   of the commit
//	count times:
//	  size uvarint    of what follows
//	  links
//	  origin uvarint  who sent it: the place of an origin among those of the run, which
//	                  follows here at its first use: target, sender, device as in Message
//	  id varint       client id less the one before of the same origin, the first less 0
//	  time varint     less that of the message before, the first less 0
//	  content u8
//	  length uvarint  of the body
//	  body            fields that later versions add follow it
//
// Seqs end with that of the key and are not repeated.
const (
	// runBytes ends a run that has become so long: a read of one message reads its
	// whole run.
	runBytes = 4 << 10

	originSize = 1 + 8 + 8 + 8
)

// origin is who sent messages of a run.
type origin struct {
	target         protocol.Target
	sender, device uint64
	lastID         uint64
}

// runWriter makes runs; its memory is used again.
type runWriter struct {
	items, item []byte
	count       uint64
	time        uint64
	origins     []origin
}

// add appends a message to the run; full says that it should be the last.
func (r *runWriter) add(m *ledger.Message) (full bool, err error) {
	var message protocol.Message
	if err := message.Decode(m.Payload); err != nil {
		return false, err
	}
	b := links{previous: m.Previous, count: m.Count, own: m.Own}.append(r.item[:0], m.Seq)
	i := r.origin(&message)
	b = binary.AppendUvarint(b, uint64(i))
	if i == len(r.origins) {
		r.origins = append(r.origins, origin{target: message.Target, sender: message.Sender, device: message.Device})
		b = append(b, byte(message.Target.Kind))
		b = binary.BigEndian.AppendUint64(b, message.Target.ID)
		b = binary.BigEndian.AppendUint64(b, message.Sender)
		b = binary.BigEndian.AppendUint64(b, message.Device)
	}
	b = binary.AppendVarint(b, int64(message.ClientID-r.origins[i].lastID))
	b = binary.AppendVarint(b, int64(message.Time-r.time))
	r.origins[i].lastID, r.time = message.ClientID, message.Time
	b = append(b, byte(message.Content))
	b = binary.AppendUvarint(b, uint64(len(message.Body)))
	r.items = binary.AppendUvarint(r.items, uint64(len(b)+len(message.Body)))
	r.items = append(append(r.items, b...), message.Body...)
	r.item = b
	r.count++
	return len(r.items) >= runBytes, nil
}

// origin gives the place of the message's origin; the one behind the last is new.
func (r *runWriter) origin(m *protocol.Message) int {
	for i := range r.origins {
		if o := &r.origins[i]; o.sender == m.Sender && o.device == m.Device && o.target == m.Target {
			return i
		}
	}
	return len(r.origins)
}

// put writes the run, whose last message is seq, and begins the next one.
func (r *runWriter) put(w *pebble.Batch, p *place, seq, stamp uint64) {
	head := binary.AppendUvarint(r.item[:0], r.count)
	head = binary.AppendUvarint(head, stamp)
	op := w.SetDeferred(messageSize, len(head)+len(r.items))
	putMessageKey(op.Key, p, seq)
	copy(op.Value[copy(op.Value, head):], r.items)
	op.Finish()
	r.item = head
	r.begin()
}

func (r *runWriter) begin() {
	r.items, r.count, r.time, r.origins = r.items[:0], 0, 0, r.origins[:0]
}

// stored is a message of a run.
type stored struct {
	links links
	protocol.Message
}

// runReader takes runs apart; its memory is used again.
type runReader struct {
	messages []stored // whose bodies point into the value
	origins  []origin
}

// read takes the run apart whose last message is seq.
func (r *runReader) read(seq uint64, value []byte) error {
	r.messages, r.origins = r.messages[:0], r.origins[:0]
	in := input{b: value}
	count, stamp := in.uvarint(), in.uvarint()
	if in.bad || count == 0 || count > seq || count > uint64(len(value)) {
		return errCorrupt
	}
	time := uint64(0)
	for at := seq - count + 1; at <= seq; at++ {
		item := input{b: in.bytes(in.uvarint())}
		m := stored{Message: protocol.Message{Seq: at}}
		m.links = item.links(at)
		m.links.stamp = stamp
		o := r.origin(&item)
		if o == nil {
			return errCorrupt
		}
		o.lastID += uint64(item.varint())
		time += uint64(item.varint())
		m.Target, m.Sender, m.Device, m.ClientID, m.Time = o.target, o.sender, o.device, o.lastID, time
		m.Content = protocol.Content(item.u8())
		m.Body = item.bytes(item.uvarint())
		if item.bad {
			return errCorrupt
		}
		r.messages = append(r.messages, m)
	}
	if in.bad || len(in.b) > 0 {
		return errCorrupt
	}
	return nil
}

// origin reads who sent a message; nil: it is damaged.
func (r *runReader) origin(in *input) *origin {
	i := in.uvarint()
	if i > uint64(len(r.origins)) || in.bad {
		return nil
	}
	if i == uint64(len(r.origins)) {
		b := in.bytes(originSize)
		if in.bad {
			return nil
		}
		r.origins = append(r.origins, origin{
			target: protocol.Target{Kind: protocol.Kind(b[0]), ID: binary.BigEndian.Uint64(b[1:])},
			sender: binary.BigEndian.Uint64(b[9:]), device: binary.BigEndian.Uint64(b[17:]),
		})
	}
	return &r.origins[i]
}

// input is bytes that are read from the front. Once they ended too early, or had
// something that cannot be, it is bad and gives zeros.
type input struct {
	b   []byte
	bad bool
}

func (in *input) fail() {
	in.b, in.bad = nil, true
}

func (in *input) uvarint() uint64 {
	v, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.fail()
		return 0
	}
	in.b = in.b[n:]
	return v
}

func (in *input) varint() int64 {
	v, n := binary.Varint(in.b)
	if n <= 0 {
		in.fail()
		return 0
	}
	in.b = in.b[n:]
	return v
}

func (in *input) u8() byte {
	b := in.bytes(1)
	if in.bad {
		return 0
	}
	return b[0]
}

func (in *input) bytes(n uint64) []byte {
	if n > uint64(len(in.b)) {
		in.fail()
		return nil
	}
	b := in.b[:n:n]
	in.b = in.b[n:]
	return b
}

// links reads the links of the message with this seq.
func (in *input) links(seq uint64) (l links) {
	distance, silent, others := in.uvarint(), in.uvarint(), in.uvarint()
	if distance >= seq && distance != 0 || silent > seq || others > seq-silent {
		in.fail()
		return links{}
	}
	if distance != 0 {
		l.previous = seq - distance
	}
	l.count = seq - silent
	l.own = l.count - others
	return l
}
