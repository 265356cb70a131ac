package benchmark

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
)

// A body is: run u64, sender u64, counter u64, intended i64, checksum u32, then
// random bytes up to the wanted size. The checksum covers all of it but itself.
const (
	offRun      = 0
	offSender   = 8
	offCounter  = 16
	offIntended = 24
	offChecksum = 32

	// minBody is the smallest body that a run can send: the fixed fields.
	minBody = 36
)

// fillSize is how many random bytes a run draws its fillings from. It is more
// than a block of a store's table, so that compression gains nothing.
const fillSize = 256 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what the fixed fields of a body say.
type header struct {
	Run      uint64
	Sender   uint64
	Counter  uint64 // 1 for the sender's first message of the run, rising by 1
	Intended int64  // nanoseconds after the run's epoch
}

// filling is the random bytes that all bodies of a run take parts of.
type filling []byte

func newFilling(seed uint64) filling {
	r := rand.New(rand.NewPCG(seed, 0))
	f := make([]byte, fillSize)
	for i := 0; i < len(f); i += 8 {
		binary.LittleEndian.PutUint64(f[i:], r.Uint64())
	}
	return f
}

// write makes body the message that h describes; its length is the size that
// is wanted, at least minBody.
func (f filling) write(body []byte, h header) {
	binary.BigEndian.PutUint64(body[offRun:], h.Run)
	binary.BigEndian.PutUint64(body[offSender:], h.Sender)
	binary.BigEndian.PutUint64(body[offCounter:], h.Counter)
	binary.BigEndian.PutUint64(body[offIntended:], uint64(h.Intended))
	f.fill(body[minBody:], h.Counter^h.Sender)
	binary.BigEndian.PutUint32(body[offChecksum:], checksum(body))
}

// fill fills b with a part of f that depends on key.
func (f filling) fill(b []byte, key uint64) {
	// An odd multiplier spreads neighbouring keys over the filling.
	for at := key * 0x9e3779b97f4a7c15 >> 1 % fillSize; len(b) > 0; at = 0 {
		b = b[copy(b, f[at:]):]
	}
}

// readHeader gives the fixed fields; ok is false when the body is not as write
// left it.
func readHeader(body []byte) (h header, ok bool) {
	if len(body) < minBody || binary.BigEndian.Uint32(body[offChecksum:]) != checksum(body) {
		return header{}, false
	}
	return header{
		Run:      binary.BigEndian.Uint64(body[offRun:]),
		Sender:   binary.BigEndian.Uint64(body[offSender:]),
		Counter:  binary.BigEndian.Uint64(body[offCounter:]),
		Intended: int64(binary.BigEndian.Uint64(body[offIntended:])),
	}, true
}

func checksum(body []byte) uint32 {
	sum := crc32.Update(0, castagnoli, body[:offChecksum])
	return crc32.Update(sum, castagnoli, body[minBody:])
}
