package hop

import (
	"encoding/binary"
	"errors"

	"gannet/protocol"
)

// Op says what an entry of a Record did to its conversation.
type Op uint8

// The operations. Numbers are stored in queues and never change.
const (
	OpMessage Op = 1 // a message got its seq; its frame is a PUSH
	OpRead    Op = 2 // the user has read up to Seq; no frame
	OpAck     Op = 3 // the device has everything up to Seq; no frame
	OpReceipt Op = 4 // cursors of the user rose; its frame is a RECEIPT. Only in Receipts, never in a queue
	OpHole    Op = 5 // no message up to Seq will come any more; its frame is a HOLE for all devices of User alone
	OpGone    Op = 6 // the device made room for another of the user, whose delivered cursor keeps Seq; no frame
)

// Flags of an entry. Numbers are stored in queues and never change.
const (
	FlagSilent  uint8 = 1 << 0 // OpMessage: does not count as unread
	FlagCounted uint8 = 1 << 1 // OpRead: N and Own are known
)

// Record is one ordered batch of entries of a queue. The log passes it on, and all views are made
// from records.
type Record struct {
	Queue   int
	Mark    uint64 // rises from record to record of the queue; opaque
	Time    uint64 // Unix milliseconds at which it was made
	Entries []RecordEntry
	Blob    []byte // the frames of the entries; may hold other bytes between them; immutable
}

// RecordEntry is what was done to one conversation.
type RecordEntry struct {
	Op           Op
	Flags        uint8
	Conversation protocol.Conversation
	User, Device uint64 // who did it; Device 0: no particular one. OpHole: the user who gets the HOLE, and 0
	Seq          uint64 // of the message, or where the cursor is

	// N counts those messages of the conversation up to Seq that count as unread. Own is how many
	// of them User sent.
	N, Own uint64

	Frame Span // in Record.Blob; empty where there is none
}

// Bytes gives the encoded frame of entry i, empty where there is none.
func (r *Record) Bytes(i int) []byte { return r.Entries[i].Frame.of(r.Blob) }

// ErrRecord says that bytes are no record.
var ErrRecord = errors.New("hop: damaged record")

const (
	recordVersion = 1
	recordHead    = 1 + 4 + 8 + 8 + 4
	recordEntry   = 1 + 1 + 1 + 7*8 + 4
)

// Append encodes the record at the end of dst. Bytes of Blob that belong to no frame are left
// out.
//
//	version u8, queue u32, mark u64, time u64
//	the entries as AppendEntries has them
//
// Integers are big-endian.
func (r *Record) Append(dst []byte) []byte {
	dst = append(dst, recordVersion)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Queue))
	dst = binary.BigEndian.AppendUint64(dst, r.Mark)
	dst = binary.BigEndian.AppendUint64(dst, r.Time)
	return r.AppendEntries(dst)
}

// AppendEntries encodes the entries and their frames at the end of dst. It is for formats with a
// head of their own that has version, queue, mark and time.
//
//	count u32
//	count times: op u8, flags u8, kind u8, a, b, user, device, seq, n, own u64, frame length u32
//	the frames, one behind the other
func (r *Record) AppendEntries(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.Entries)))
	for i := range r.Entries {
		e := &r.Entries[i]
		dst = append(dst, byte(e.Op), e.Flags, byte(e.Conversation.Kind))
		for _, v := range [...]uint64{e.Conversation.A, e.Conversation.B, e.User, e.Device, e.Seq, e.N, e.Own} {
			dst = binary.BigEndian.AppendUint64(dst, v)
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.Frame.Len()))
	}
	for i := range r.Entries {
		dst = append(dst, r.Bytes(i)...)
	}
	return dst
}

// Decode reads an encoded record. Blob then points into b; the memory of Entries is reused. If
// the bytes are not a record, it returns ErrRecord and r means nothing.
func (r *Record) Decode(b []byte) error {
	if len(b) < recordHead || b[0] != recordVersion {
		return ErrRecord
	}
	queue := binary.BigEndian.Uint32(b[1:])
	if queue > maxQueue {
		return ErrRecord
	}
	r.Queue, r.Mark, r.Time = int(queue), binary.BigEndian.Uint64(b[5:]), binary.BigEndian.Uint64(b[13:])
	return r.DecodeEntries(b[recordHead-4:])
}

// DecodeEntries reads what AppendEntries wrote, as Decode does, and leaves Queue, Mark
// and Time as they are.
func (r *Record) DecodeEntries(b []byte) error {
	if len(b) < 4 {
		return ErrRecord
	}
	count := binary.BigEndian.Uint32(b)
	b = b[4:]
	if uint64(count)*recordEntry > uint64(len(b)) {
		return ErrRecord
	}
	r.Entries = r.Entries[:0]
	r.Blob = b[int(count)*recordEntry:]
	at := uint64(0)
	for range count {
		u64 := func(i int) uint64 { return binary.BigEndian.Uint64(b[3+8*i:]) }
		e := RecordEntry{
			Op: Op(b[0]), Flags: b[1],
			Conversation: protocol.Conversation{Kind: protocol.Kind(b[2]), A: u64(0), B: u64(1)},
			User:         u64(2), Device: u64(3), Seq: u64(4), N: u64(5), Own: u64(6),
		}
		length := uint64(binary.BigEndian.Uint32(b[3+7*8:]))
		if at+length > uint64(len(r.Blob)) {
			return ErrRecord
		}
		e.Frame = Span{Start: uint32(at), End: uint32(at + length)}
		at += length
		r.Entries = append(r.Entries, e)
		b = b[recordEntry:]
	}
	if at != uint64(len(r.Blob)) {
		return ErrRecord
	}
	return nil
}

// maxQueue bounds the number of a queue: there are never more queues than
// partitions.
const maxQueue = protocol.Partitions - 1
