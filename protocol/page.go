package protocol

import (
	"encoding/binary"
	"iter"
)

// Sync is the payload of SYNC: which of my conversations changed since then?
type Sync struct {
	Since uint64 // Next of an earlier SYNCED; 0 asks for all conversations
	After Target // the last target of the page before; KindNone begins
	Limit uint16 // of conversations in the page; 0 leaves it to the server

	Unacked bool // only conversations whose head is past this device's ack
}

// AppendFrame encodes the whole frame at the end of dst.
func (m Sync) AppendFrame(dst []byte, request uint32) []byte {
	start := len(dst)
	dst = begin(dst, TypeSync, request)
	dst = binary.BigEndian.AppendUint64(dst, m.Since)
	dst = appendTarget(dst, m.After)
	dst = binary.BigEndian.AppendUint16(dst, m.Limit)
	dst = append(dst, flag(m.Unacked))
	return end(dst, start)
}

// Decode reads the payload.
func (m *Sync) Decode(p []byte) error {
	r := reader{b: p}
	m.Since = r.u64()
	m.After = r.target()
	m.Limit = r.u16()
	m.Unacked = r.u8() != 0
	return r.err()
}

// Synced is the payload of SYNCED: a page of conversations, ordered by target.
type Synced struct {
	Next  uint64 // what to ask for next time, once all pages have arrived
	More  bool   // further pages follow: ask with After
	After Target // the last target that this page looked at
	Count uint16
	items []byte
}

// State is one conversation in a SYNCED page, as its receiver sees it.
type State struct {
	Target        Target
	Head          uint64
	Delivered     uint64 // of the receiver's user
	Read          uint64 // of the receiver's user
	PeerDelivered uint64 // of the other user; 0 unless the conversation is direct
	PeerRead      uint64 // of the other user; 0 unless the conversation is direct
	Unread        uint64 // messages by others after Read that count
	Acked         uint64 // how far the asking device has acked; 0: never
	LastSize      uint32 // bytes of the newest message's whole body
	Last          []byte // the newest message, its body cut to MaxPreview bytes, which Message.Decode reads without error; or empty
}

// AppendFrame encodes the page with no conversation yet at the end of dst.
// Append adds conversations; Finish ends the frame.
func (m Synced) AppendFrame(dst []byte, request uint32) []byte {
	dst = begin(dst, TypeSynced, request)
	dst = binary.BigEndian.AppendUint64(dst, m.Next)
	dst = append(dst, flag(m.More))
	dst = appendTarget(dst, m.After)
	return binary.BigEndian.AppendUint16(dst, m.Count)
}

// Append adds a conversation to the SYNCED frame that is being built at the end
// of dst.
func (s State) Append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = appendTarget(dst, s.Target)
	dst = binary.BigEndian.AppendUint64(dst, s.Head)
	dst = binary.BigEndian.AppendUint64(dst, s.Delivered)
	dst = binary.BigEndian.AppendUint64(dst, s.Read)
	dst = binary.BigEndian.AppendUint64(dst, s.PeerDelivered)
	dst = binary.BigEndian.AppendUint64(dst, s.PeerRead)
	dst = binary.BigEndian.AppendUint64(dst, s.Unread)
	dst = binary.BigEndian.AppendUint64(dst, s.Acked)
	dst = binary.BigEndian.AppendUint32(dst, s.LastSize)
	dst = appendBytes(dst, s.Last)
	return end(dst, start)
}

// Finish sets the count and the length of the SYNCED frame that begins at start
// and goes to the end of dst, and its More and After.
func (m Synced) Finish(dst []byte, start int) []byte {
	p := dst[start+HeaderSize:]
	p[8] = flag(m.More)
	p[9] = byte(m.After.Kind)
	binary.BigEndian.PutUint64(p[10:], m.After.ID)
	binary.BigEndian.PutUint16(p[18:], m.Count)
	return end(dst, start)
}

// Decode reads the payload; it checks every conversation in it and its Last, so
// that States cannot fail. Slices point into p.
func (m *Synced) Decode(p []byte) error {
	r := reader{b: p}
	m.Next = r.u64()
	m.More = r.u8() != 0
	m.After = r.target()
	m.Count = r.u16()
	m.items = r.b
	for range m.Count {
		var s State
		if s.decode(r.bytes()) != nil {
			return ErrPayload
		}
		var last Message
		if len(s.Last) > 0 && last.Decode(s.Last) != nil {
			return ErrPayload
		}
	}
	return r.err()
}

// States walks the conversations of a decoded page.
func (m *Synced) States() iter.Seq[State] {
	return func(yield func(State) bool) {
		r := reader{b: m.items}
		for range m.Count {
			var s State
			if s.decode(r.bytes()) != nil || !yield(s) {
				return
			}
		}
	}
}

func (s *State) decode(p []byte) error {
	r := reader{b: p}
	s.Target = r.target()
	s.Head = r.u64()
	s.Delivered = r.u64()
	s.Read = r.u64()
	s.PeerDelivered = r.u64()
	s.PeerRead = r.u64()
	s.Unread = r.u64()
	s.Acked = r.u64()
	s.LastSize = r.u32()
	s.Last = r.bytes()
	return r.err()
}

// Direction says which way a page of history goes.
type Direction uint8

// The directions.
const (
	Forward  Direction = 0 // Seq and what follows
	Backward Direction = 1 // Seq and what precedes; Seq 0 is the head
)

// History is the payload of HISTORY: a page of a conversation.
type History struct {
	Target    Target
	Direction Direction
	Seq       uint64 // where the page begins, inclusive
	Limit     uint16 // of messages in the page; 0 leaves it to the server
}

// AppendFrame encodes the whole frame at the end of dst.
func (m History) AppendFrame(dst []byte, request uint32) []byte {
	start := len(dst)
	dst = begin(dst, TypeHistory, request)
	dst = appendTarget(dst, m.Target)
	dst = append(dst, byte(m.Direction))
	dst = binary.BigEndian.AppendUint64(dst, m.Seq)
	dst = binary.BigEndian.AppendUint16(dst, m.Limit)
	return end(dst, start)
}

// Decode reads the payload.
func (m *History) Decode(p []byte) error {
	r := reader{b: p}
	m.Target = r.target()
	m.Direction = Direction(r.u8())
	m.Seq = r.u64()
	m.Limit = r.u16()
	return r.err()
}

// Messages is the payload of MESSAGES: everything there is from First to Last,
// in rising order whichever way was asked. A seq in that range that is not
// among the messages is a hole. Last below First: there is nothing there.
type Messages struct {
	Target      Target // as the receiver addresses it
	First, Last uint64
	Head        uint64
	Count       uint16
	items       []byte
}

// AppendFrame encodes the page with no message yet at the end of dst.
// AppendMessage adds messages; Finish ends the frame.
func (m Messages) AppendFrame(dst []byte, request uint32) []byte {
	dst = begin(dst, TypeMessages, request)
	dst = appendTarget(dst, m.Target)
	dst = binary.BigEndian.AppendUint64(dst, m.First)
	dst = binary.BigEndian.AppendUint64(dst, m.Last)
	dst = binary.BigEndian.AppendUint64(dst, m.Head)
	return binary.BigEndian.AppendUint16(dst, m.Count)
}

// AppendMessage adds an encoded Message to the MESSAGES frame that is being
// built at the end of dst.
func AppendMessage(dst, message []byte) []byte { return appendBytes(dst, message) }

// Finish sets the range, the head, the count and the length of the MESSAGES
// frame that begins at start and goes to the end of dst.
func (m Messages) Finish(dst []byte, start int) []byte {
	p := dst[start+HeaderSize:]
	binary.BigEndian.PutUint64(p[9:], m.First)
	binary.BigEndian.PutUint64(p[17:], m.Last)
	binary.BigEndian.PutUint64(p[25:], m.Head)
	binary.BigEndian.PutUint16(p[33:], m.Count)
	return end(dst, start)
}

// Decode reads the payload; it checks every message in it, so that All cannot
// fail. Slices point into p.
func (m *Messages) Decode(p []byte) error {
	r := reader{b: p}
	m.Target = r.target()
	m.First = r.u64()
	m.Last = r.u64()
	m.Head = r.u64()
	m.Count = r.u16()
	m.items = r.b
	for range m.Count {
		var msg Message
		if msg.Decode(r.bytes()) != nil {
			return ErrPayload
		}
	}
	return r.err()
}

// All walks the messages of a decoded page, oldest first.
func (m *Messages) All() iter.Seq[Message] {
	return func(yield func(Message) bool) {
		r := reader{b: m.items}
		for range m.Count {
			var msg Message
			if msg.Decode(r.bytes()) != nil || !yield(msg) {
				return
			}
		}
	}
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
