package gannet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"gannet/protocol"
)

// A journal is magic and then records: length u32, CRC-32C u32 of the payload,
// payload. A payload is kind u8, id u64, and for cursors and messages target
// kind u8, target id u64, and for messages content u8 and the body. Integers are
// big-endian.
const magic = "gannet\x00\x01"

type changeKind uint8

const (
	changeDevice   changeKind = 1 // id: the device
	changeLastID   changeKind = 2 // id: a client message id
	changePosition changeKind = 3 // id: of the sync
	changeCursor   changeKind = 4 // id: received up to this seq of target
	changeOutgoing changeKind = 5 // id: the client message id
	changeEnded    changeKind = 6 // id: the client message id
)

// Sizes in a journal.
const (
	recordHeader = 8
	sizeID       = 9          // kind and id
	sizeTarget   = sizeID + 9 // and target
	sizeMessage  = sizeTarget + 1
	maxRecord    = sizeMessage + protocol.MaxBody
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errNotJournal = errors.New("the journal is not one of a gannet client of this version")

type change struct {
	kind   changeKind
	id     uint64
	target Target
	draft  Draft
}

// append encodes the record at the end of dst.
func (ch change) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, recordHeader)...)
	dst = binary.BigEndian.AppendUint64(append(dst, byte(ch.kind)), ch.id)
	if ch.kind == changeCursor || ch.kind == changeOutgoing {
		dst = binary.BigEndian.AppendUint64(append(dst, byte(ch.target.Kind)), ch.target.ID)
	}
	if ch.kind == changeOutgoing {
		dst = append(append(dst, byte(ch.draft.Content)), ch.draft.Body...)
	}
	payload := dst[start+recordHeader:]
	binary.BigEndian.PutUint32(dst[start:], uint32(len(payload)))
	binary.BigEndian.PutUint32(dst[start+4:], crc32.Checksum(payload, castagnoli))
	return dst
}

// decode reads a payload; false says that it is none.
func (ch *change) decode(p []byte) bool {
	if len(p) < sizeID {
		return false
	}
	ch.kind, ch.id = changeKind(p[0]), binary.BigEndian.Uint64(p[1:])
	switch ch.kind {
	case changeCursor, changeOutgoing:
		if len(p) < sizeTarget {
			return false
		}
		ch.target = Target{Kind: protocol.Kind(p[sizeID]), ID: binary.BigEndian.Uint64(p[sizeID+1:])}
	}
	if ch.kind == changeOutgoing {
		if len(p) < sizeMessage {
			return false
		}
		ch.draft = Draft{Content: Content(p[sizeTarget]), Body: bytes.Clone(p[sizeMessage:])}
	}
	return true
}

// replay applies the records of a journal and gives the length up to the first
// one that is torn.
func replay(data []byte, apply func(change)) (int64, error) {
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		return 0, errNotJournal
	}
	n := len(magic)
	for len(data)-n >= recordHeader {
		length := binary.BigEndian.Uint32(data[n:])
		sum := binary.BigEndian.Uint32(data[n+4:])
		rest := data[n+recordHeader:]
		if length > maxRecord || int(length) > len(rest) {
			break
		}
		payload := rest[:length]
		var ch change
		if crc32.Checksum(payload, castagnoli) != sum || !ch.decode(payload) {
			break
		}
		apply(ch)
		n += recordHeader + int(length)
	}
	return int64(n), nil
}
