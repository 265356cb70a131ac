package chain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"

	"gannet/internal/hop"
	"gannet/protocol"
)

// Class says what a queue carries.
type Class uint8

// The classes. Numbers are stored in queues and never change.
const (
	Chat   Class = 1
	System Class = 2
)

func (c Class) String() string {
	switch c {
	case Chat:
		return "chat"
	case System:
		return "system"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// Queue names a queue of the cluster. The Stream knows where in the broker it lies.
type Queue struct {
	Class  Class
	Number int // below protocol.Partitions
}

func (q Queue) String() string { return fmt.Sprintf("%v queue %d", q.Class, q.Number) }

// LogValue implements slog.LogValuer: a log in JSON names a queue as one in text does.
func (q Queue) LogValue() slog.Value { return slog.StringValue(q.String()) }

// Valid says whether the class and the number are possible.
func (q Queue) Valid() bool {
	return (q.Class == Chat || q.Class == System) && q.Number >= 0 && q.Number < protocol.Partitions
}

// Kind says what a record is.
type Kind uint8

// The kinds. Numbers are stored in queues and never change.
const (
	Entries Kind = 1 // has entries
	Empty   Kind = 2 // has none: a take-over, or a sign of life of an idle queue
	Sealed  Kind = 3 // reserved: the queue goes on elsewhere
	Loss    Kind = 4 // an operator gave records up that the broker has lost (loss.go)
)

// Mark names a record of a queue. The offset alone is not enough: after a power cut has removed
// the end of a queue, other records get the same offsets.
type Mark struct {
	Offset         int64
	Writer, Number uint64
}

// Beginning is the mark of a queue in which nothing counts yet.
var Beginning = Mark{Offset: -1}

func (m Mark) String() string { return fmt.Sprintf("%d (%016x/%d)", m.Offset, m.Writer, m.Number) }

// Head is the head of a record.
type Head struct {
	Kind     Kind
	Queue    Queue
	Prev     Mark     // the last counting record that the writer knew
	Writer   uint64   // random and never 0; a writer that is not sure of its queue takes another
	Number   uint64   // of the record among those of Writer; 1 is the record that took the queue over
	Registry uint64   // version of the registry's view under which the writer took the queue over
	Time     uint64   // Unix milliseconds at which it was made
	Trace    [16]byte // reserved

	// Through is set for a Loss only. The Loss stands in for every lost record before this
	// offset.
	Through int64
}

// Record is a record of a queue that counts.
type Record struct {
	Head
	Mark Mark   // its own
	Body []byte // its entries, encoded; immutable. Empty for the other kinds
	Sent bool   // the Writer that reads it sent it itself and did not know whether it counts
}

// The layout of a record. Magic, checksum and version stay at the same place in every version. So
// a program can tell foreign bytes from a record of a later version, which it must not treat as
// void.
//
//	magic     u32 "gnt!"
//	checksum  u32 CRC-32C of all that follows it
//	version   u8  1
//	kind      u8
//	class     u8
//	queue     u16
//	prev      offset i64, writer u64, number u64
//	writer    u64
//	number    u64
//	registry  u64
//	time      u64
//	trace     16 bytes
//	body      for Entries: the entries as hop.Record.AppendEntries has them; for Loss:
//	          through, i64; else nothing
//
// Integers are big-endian. Queue and time of the entries are those of the head, and their mark
// follows from the offset and the head of the record. So none of them is stored twice.
const (
	magic   = 0x676e7421
	version = 1

	HeadSize = 4 + 4 + 1 + 1 + 1 + 2 + 3*8 + 4*8 + 16

	// MaxRecord is the default limit of a record in bytes. It is low enough that one pull carries
	// a record and no reply waits for several records.
	MaxRecord = 128 << 10
)

var table = crc32.MakeTable(crc32.Castagnoli)

// ErrBroken says that bytes are no record.
var ErrBroken = errors.New("chain: no record")

// ErrLater says that a record has a version or kind that this program does not know. The record
// may count, so only a newer program may read past it.
var ErrLater = errors.New("chain: a record of a later version")

// Append encodes a record at the end of dst.
func (h *Head) Append(dst, body []byte) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, magic)
	dst = append(dst, 0, 0, 0, 0, version, byte(h.Kind), byte(h.Queue.Class))
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.Queue.Number))
	for _, v := range [...]uint64{uint64(h.Prev.Offset), h.Prev.Writer, h.Prev.Number, h.Writer, h.Number, h.Registry, h.Time} {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	dst = append(dst, h.Trace[:]...)
	if h.Kind == Loss {
		dst = binary.BigEndian.AppendUint64(dst, uint64(h.Through))
	}
	dst = append(dst, body...)
	binary.BigEndian.PutUint32(dst[at+4:], crc32.Checksum(dst[at+8:], table))
	return dst
}

// Decode reads a head and gives the body behind it, which points into b. It returns ErrBroken for
// bytes that are not a record, and ErrLater for a record that only a newer program understands.
func (h *Head) Decode(b []byte) (body []byte, err error) {
	if len(b) < 9 || binary.BigEndian.Uint32(b) != magic || binary.BigEndian.Uint32(b[4:]) != crc32.Checksum(b[8:], table) {
		return nil, ErrBroken
	}
	if b[8] > version {
		return nil, ErrLater
	}
	if len(b) < HeadSize || b[8] != version {
		return nil, ErrBroken
	}
	u64 := func(i int) uint64 { return binary.BigEndian.Uint64(b[13+8*i:]) }
	*h = Head{
		Kind:  Kind(b[9]),
		Queue: Queue{Class: Class(b[10]), Number: int(binary.BigEndian.Uint16(b[11:]))},
		Prev:  Mark{Offset: int64(u64(0)), Writer: u64(1), Number: u64(2)}, Writer: u64(3), Number: u64(4), Registry: u64(5), Time: u64(6),
	}
	copy(h.Trace[:], b[13+7*8:])
	body = b[HeadSize:]
	beginning := h.Prev.Offset < 0
	switch {
	case !h.Queue.Valid(), h.Writer == 0, h.Number == 0,
		beginning && h.Prev != Beginning, !beginning && (h.Prev.Writer == 0 || h.Prev.Number == 0):
		return nil, ErrBroken
	case h.Kind == 0 || h.Kind == Sealed || h.Kind > Loss:
		return nil, ErrLater
	case h.Kind == Empty && len(body) > 0:
		return nil, ErrBroken
	case h.Kind == Loss:
		if len(body) != 8 || !beginning {
			return nil, ErrBroken
		}
		if h.Through, body = int64(binary.BigEndian.Uint64(body)), nil; h.Through < 0 {
			return nil, ErrBroken
		}
	}
	return body, nil
}

// Hop fills r with the record for code that works with its entries. Marks in r are offsets plus
// one, because they begin above 0. If the body cannot be decoded, which only a faulty writer can
// cause, Hop returns hop.ErrRecord. Such a record counts all the same; r then has no entries, and
// its blob is the whole body.
func (c *Record) Hop(r *hop.Record) error {
	r.Queue, r.Mark, r.Time = c.Queue.Number, uint64(c.Mark.Offset)+1, c.Time
	var err error
	if c.Kind == Entries {
		err = r.DecodeEntries(c.Body)
	}
	if err != nil || c.Kind != Entries {
		r.Entries, r.Blob = r.Entries[:0], c.Body
	}
	return err
}
