package chain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

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

// Queue names a queue of the cluster. Where it lies in a broker is a matter of Stream.
type Queue struct {
	Class  Class
	Number int // below protocol.Partitions
}

func (q Queue) String() string { return fmt.Sprintf("%v queue %d", q.Class, q.Number) }

// Valid says whether there can be such a queue.
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

// Mark names a record of a queue. An offset alone does not: what a power cut took from
// the end of a queue leaves its offset to another record.
type Mark struct {
	Offset         int64
	Writer, Number uint64
}

// Beginning is the mark of a queue in which nothing counts yet.
var Beginning = Mark{Offset: -1}

func (m Mark) String() string { return fmt.Sprintf("%d (%016x/%d)", m.Offset, m.Writer, m.Number) }

// Head is what a record says of itself.
type Head struct {
	Kind     Kind
	Queue    Queue
	Prev     Mark     // the last counting record that the writer knew
	Writer   uint64   // random and never 0; a writer that is not sure of its queue takes another
	Number   uint64   // of the record among those of Writer, from 1: the one it took the queue over with
	Registry uint64   // version of the registry's view under which the writer took the queue over
	Time     uint64   // Unix milliseconds at which it was made
	Trace    [16]byte // reserved

	// Through of a Loss is the offset before which records are lost: it stands for every
	// mark below it that names a record which is not there. 0 for the other kinds.
	Through int64
}

// Record is a record of a queue that counts.
type Record struct {
	Head
	Mark Mark   // its own
	Body []byte // its entries, encoded; immutable. Empty for the other kinds
	Sent bool   // it is the one of which the Writer that reads it did not know what became
}

// The layout of a record. Magic, checksum and version stay where they are in every
// version: they tell bytes of somebody else from a record of a later version, which
// must not be taken for void.
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
// Integers are big-endian. Queue and time of the entries are those of the head, and
// their mark follows from where the record lies, so none of them is stored twice.
const (
	magic   = 0x676e7421
	version = 1

	// HeadSize is how many bytes a head takes.
	HeadSize = 4 + 4 + 1 + 1 + 1 + 2 + 3*8 + 4*8 + 16

	// MaxRecord is how many bytes a record has at most by default, so that one pull
	// carries it and nobody waits for several.
	MaxRecord = 128 << 10
)

var table = crc32.MakeTable(crc32.Castagnoli)

// ErrBroken says that bytes are no record.
var ErrBroken = errors.New("chain: no record")

// ErrLater says that a record is of a version or kind that this program does not know.
// It may count, so nobody may go past it without a newer program.
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

// Decode reads a head and gives the body behind it, which points into b. Bytes that
// are no record give ErrBroken, a record that only a newer program understands gives
// ErrLater.
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

// Hop makes r the record for those who work with its entries; its marks are the offsets
// plus one, since marks begin above 0. A body that holds no entries, which only a
// writer's fault can make, gives hop.ErrRecord: the record counts all the same, and
// r has no entries and a blob of all that is there.
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
