package gannet

import (
	"bytes"
	"encoding/binary"
	"time"

	"gannet/protocol"
)

// A record is its kind in one byte and then fields; integers are big-endian. Both
// may grow:
//
//   - A kind keeps its meaning and its fields for ever. New fields go behind the
//     known ones, and who does not know them ignores them.
//   - Kinds below optionalKinds must be understood: a client that meets one it does
//     not know refuses the store. Those from there on need not be: such a client
//     keeps them, as they are, and writes them again when it rewrites the store.
type recordKind uint8

const (
	recordDevice   recordKind = 1  // id u64: the device
	recordOwner    recordKind = 2  // user u64, length of the server's identity u8, identity: whose the store and what is under the last claim are
	recordLastID   recordKind = 3  // id u64: the highest id of a message
	recordPosition recordKind = 4  // id u64: where the next sync begins
	recordReceived recordKind = 5  // target, seq u64: everything up to it was received
	recordTaken    recordKind = 6  // id u64, target, content u8, length of the body u32, body: a message to be sent
	recordSettled  recordKind = 7  // id u64, seq u64, time u64, code u16, length of the text u16, text: its outcome, code 0 when it was acked and codeDropped when it was dropped
	recordForgot   recordKind = 8  // id u64: of the message nothing needs to be known any more
	recordRead     recordKind = 9  // target, seq u64: to be told to the server
	recordReadDone recordKind = 10 // target, seq u64: was told
	recordClaim    recordKind = 11 // user u64, length of the server u8, server: what is taken from here on is under this claim
	recordUnclaim  recordKind = 12 // what was taken under the last claim is dropped

	optionalKinds recordKind = 128
)

// codeDropped stands for ErrDropped in a record; no server has such a code.
const codeDropped Code = 1

// record is a record of any known kind.
type record struct {
	kind   recordKind
	id     uint64 // or user
	seq    uint64
	time   uint64
	target Target
	code   Code
	draft  Draft
	text   string // or the server's identity
}

func (r *record) append(dst []byte) []byte {
	be := binary.BigEndian
	dst = append(dst, byte(r.kind))
	switch r.kind {
	case recordDevice, recordLastID, recordPosition, recordForgot:
		return be.AppendUint64(dst, r.id)
	case recordOwner, recordClaim:
		return append(append(be.AppendUint64(dst, r.id), byte(len(r.text))), r.text...)
	case recordReceived, recordRead, recordReadDone:
		return be.AppendUint64(appendTarget(dst, r.target), r.seq)
	case recordTaken:
		dst = append(appendTarget(be.AppendUint64(dst, r.id), r.target), byte(r.draft.Content))
		return append(be.AppendUint32(dst, uint32(len(r.draft.Body))), r.draft.Body...)
	case recordSettled:
		dst = be.AppendUint64(be.AppendUint64(be.AppendUint64(dst, r.id), r.seq), r.time)
		return append(be.AppendUint16(be.AppendUint16(dst, uint16(r.code)), uint16(len(r.text))), r.text...)
	}
	return dst
}

func appendTarget(dst []byte, t Target) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(t.Kind)), t.ID)
}

// decode reads a record of a known kind; false says that it is broken.
func (r *record) decode(b []byte) bool {
	in := fields{rest: b[1:]}
	*r = record{kind: recordKind(b[0])}
	switch r.kind {
	case recordDevice, recordLastID, recordPosition, recordForgot:
		r.id = in.u64()
	case recordUnclaim:
	case recordOwner, recordClaim:
		r.id = in.u64()
		r.text = string(in.take(int(in.u8())))
	case recordReceived, recordRead, recordReadDone:
		r.target, r.seq = in.target(), in.u64()
	case recordTaken:
		r.id, r.target, r.draft.Content = in.u64(), in.target(), Content(in.u8())
		r.draft.ID = r.id
		size := in.u32()
		if size > protocol.MaxBody {
			return false
		}
		r.draft.Body = bytes.Clone(in.take(int(size)))
	case recordSettled:
		r.id, r.seq, r.time, r.code = in.u64(), in.u64(), in.u64(), Code(in.u16())
		r.text = string(in.take(int(in.u16())))
	default:
		return false
	}
	return !in.short
}

// outcome gives what a settled message became.
func (r *record) outcome(to Target) Outcome {
	o := Outcome{ID: r.id, To: to}
	if r.code == codeDropped {
		o.Err = ErrDropped
		return o
	}
	if r.code != 0 {
		o.Err = &Error{Code: r.code, Text: r.text}
		return o
	}
	o.Ack = Ack{ID: r.id, Seq: r.seq, Time: time.UnixMilli(int64(r.time))}
	return o
}

// fields reads a record from its front.
type fields struct {
	rest  []byte
	short bool
}

func (f *fields) take(n int) []byte {
	if n > len(f.rest) {
		f.short, f.rest = true, nil
		return make([]byte, min(n, 8))
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) u8() uint8   { return f.take(1)[0] }
func (f *fields) u16() uint16 { return binary.BigEndian.Uint16(f.take(2)) }
func (f *fields) u32() uint32 { return binary.BigEndian.Uint32(f.take(4)) }
func (f *fields) u64() uint64 { return binary.BigEndian.Uint64(f.take(8)) }

func (f *fields) target() Target { return Target{Kind: Kind(f.u8()), ID: f.u64()} }
