package load

import (
	"encoding/binary"
	"hash/crc32"
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

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what the fixed fields of a body say.
type header struct {
	Run      uint64
	Sender   uint64
	Counter  uint64 // 1 for the sender's first message of the run, rising by 1
	Intended int64  // nanoseconds after the run's epoch
}

// filling gives the random bytes of bodies and records, from a seed. Nothing can
// be gained by compressing them.
type filling uint64

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

// fill fills b with bytes that depend on the seed and key, by Knuth's linear
// congruential generator (MMIX), whose upper half is good enough.
func (f filling) fill(b []byte, key uint64) {
	const multiplier, increment = 6364136223846793005, 1442695040888963407
	x := (uint64(f) ^ key) * 0x9e3779b97f4a7c15 // neighbouring keys far apart
	for len(b) >= 4 {
		x = x*multiplier + increment
		binary.BigEndian.PutUint32(b, uint32(x>>32))
		b = b[4:]
	}
	for i := range b {
		x = x*multiplier + increment
		b[i] = byte(x >> 56)
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
