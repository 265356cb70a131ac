package view

import (
	"encoding/binary"
	"errors"
	"fmt"

	"gannet/internal/chain"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// errDamaged says that Redis gave a value that nobody wrote.
var errDamaged = errors.New("view: a value in Redis is damaged")

// errLater says that a value is of a version that this program does not know.
var errLater = errors.New("view: a value in Redis is damaged, or of a later version of gannet")

// ErrForsaken says of a damaged conversation that nobody has all of it any more.
var ErrForsaken = fmt.Errorf("%w (a conversation of which history and queue do not have everything)", errDamaged)

// Damaged says of the Err of a conversation that it is the fault of what Redis has of it,
// and of nothing else.
func Damaged(err error) bool { return errors.Is(err, errDamaged) || errors.Is(err, errLater) }

const (
	version = 1

	markSize     = 1 + 8 + 8 + 8
	progressSize = 1 + 8 + 8 + 8 // and the stamp, which the script adds
	memberSize   = 1 + 6*8 + 1
	deviceSize   = 1 + 5*8
	countsSize   = 1 + 3*8
	lastSize     = 1 + 4 // and the message
	stampSize    = 8

	placeSize  = 1 + 8 + 8
	targetSize = 1 + 8

	flagCounted byte = 1

	// maxNumber bounds what the scripts reckon with: seqs and stamps, which Lua has as
	// floats. It is never reached by counting.
	maxNumber = 1 << 52
)

// check says whether the value is of this version and has at least size bytes.
func check(value string, size int) error {
	switch {
	case len(value) > 0 && value[0] > version:
		return errLater
	case len(value) < size || value[0] != version:
		return errDamaged
	}
	return nil
}

// u64 reads the integer at an offset of the value.
func u64(value string, at int) uint64 {
	var b [8]byte
	copy(b[:], value[at:])
	return binary.BigEndian.Uint64(b[:])
}

func appendNumbers(dst []byte, numbers ...uint64) []byte {
	dst = append(dst, version)
	for _, n := range numbers {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}

func appendMark(dst []byte, m chain.Mark) []byte {
	return appendNumbers(dst, uint64(m.Offset), m.Writer, m.Number)
}

func readMark(value string) (m chain.Mark, err error) {
	if err := check(value, markSize); err != nil {
		return m, fmt.Errorf("%w (a mark)", err)
	}
	m = chain.Mark{Offset: int64(u64(value, 1)), Writer: u64(value, 9), Number: u64(value, 17)}
	if m.Offset < 0 && m != chain.Beginning {
		return m, fmt.Errorf("%w (a mark)", errDamaged)
	}
	return m, nil
}

// appendProgress encodes what stands before the stamp.
func appendProgress(dst []byte, p *ledger.Progress) []byte {
	return appendNumbers(dst, p.Head, p.Time, p.Count)
}

func readProgress(value string) (p ledger.Progress, err error) {
	if err := check(value, progressSize+stampSize); err != nil {
		return p, fmt.Errorf("%w (progress)", err)
	}
	p = ledger.Progress{Head: u64(value, 1), Time: u64(value, 9), Count: u64(value, 17), Changed: u64(value, 25)}
	if p.Head == 0 || p.Head >= maxNumber || p.Count > p.Head || p.Changed >= maxNumber {
		return p, fmt.Errorf("%w (progress)", errDamaged)
	}
	return p, nil
}

func appendMember(dst []byte, m *ledger.Member) []byte {
	dst = appendNumbers(dst, m.Delivered, m.Read, m.Total, m.Count, m.Own, m.Changed)
	if m.Counted {
		return append(dst, flagCounted)
	}
	return append(dst, 0)
}

func appendMemberField(dst []byte, m *ledger.Member) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 'm'), m.User)
}

// readMember reads a field m<user>. Cursors that pass the head of the conversation, and counts that
// do not fit its own, are damage.
func readMember(field, value string, p *ledger.Progress) (m ledger.Member, err error) {
	if err := check(value, memberSize); err != nil {
		return m, fmt.Errorf("%w (a member)", err)
	}
	m = ledger.Member{
		User: u64(field, 1), Delivered: u64(value, 1), Read: u64(value, 9), Total: u64(value, 17),
		Count: u64(value, 25), Own: u64(value, 33), Changed: u64(value, 41), Counted: value[49]&flagCounted != 0,
	}
	if m.Delivered > p.Head || m.Read > p.Head || m.Total > p.Count || m.Count > p.Count || m.Own > m.Total || m.Own > m.Count ||
		m.Counted && p.Count-m.Count < m.Total-m.Own {
		return m, fmt.Errorf("%w (a member)", errDamaged)
	}
	return m, nil
}

func appendDevice(dst []byte, d *ledger.Device) []byte {
	return appendNumbers(dst, d.MaxID, d.Last, d.Acked, d.Changed, d.Time)
}

func appendDeviceField(dst []byte, d *ledger.Device) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(append(dst, 'd'), d.User), d.Device)
}

// readDevice reads a field d<user><device>, as readMember does.
func readDevice(field, value string, p *ledger.Progress) (d ledger.Device, err error) {
	if err := check(value, deviceSize); err != nil {
		return d, fmt.Errorf("%w (a device)", err)
	}
	d = ledger.Device{
		User: u64(field, 1), Device: u64(field, 9),
		MaxID: u64(value, 1), Last: u64(value, 9), Acked: u64(value, 17), Changed: u64(value, 25), Time: u64(value, 33),
	}
	if d.Last > p.Head || d.Acked > p.Head {
		return d, fmt.Errorf("%w (a device)", errDamaged)
	}
	return d, nil
}

// appendCounts encodes how many messages up to a seq count, and how many of them a user sent.
func appendCounts(dst []byte, seq, count, own uint64) []byte {
	return appendNumbers(dst, seq, count, own)
}

func readCounts(value string) (seq, count, own uint64, err error) {
	if err := check(value, countsSize); err != nil {
		return 0, 0, 0, fmt.Errorf("%w (counts)", err)
	}
	return u64(value, 1), u64(value, 9), u64(value, 17), nil
}

// appendLast encodes the newest message, payload, as SYNCED shows it.
func appendLast(dst, payload []byte) ([]byte, error) {
	var m protocol.Message
	if err := m.Decode(payload); err != nil {
		return dst, fmt.Errorf("view: a message that is no message: %w", err)
	}
	dst = append(dst, version)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(m.Body)))
	m.Body = m.Body[:min(len(m.Body), protocol.MaxPreview)]
	return m.AppendPayload(dst), nil
}

// readLast gives the newest message, whose seq is that of the head, and its whole size.
func readLast(value string, p *ledger.Progress) (last []byte, size uint32, err error) {
	if err := check(value, lastSize); err != nil {
		return nil, 0, fmt.Errorf("%w (a preview)", err)
	}
	last = []byte(value[lastSize:])
	size = uint32(value[1])<<24 | uint32(value[2])<<16 | uint32(value[3])<<8 | uint32(value[4])
	var m protocol.Message
	if m.Decode(last) != nil || m.Seq != p.Head || uint64(len(m.Body)) != min(uint64(size), protocol.MaxPreview) {
		return nil, 0, fmt.Errorf("%w (a preview)", errDamaged)
	}
	return last, size, nil
}

func appendPlace(dst []byte, c protocol.Conversation) []byte {
	dst = append(dst, byte(c.Kind))
	dst = binary.BigEndian.AppendUint64(dst, c.A)
	return binary.BigEndian.AppendUint64(dst, c.B)
}

func appendTarget(dst []byte, t protocol.Target) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(t.Kind)), t.ID)
}

func readTarget(value string) (t protocol.Target, err error) {
	if len(value) != targetSize {
		return t, fmt.Errorf("%w (a target)", errDamaged)
	}
	return protocol.Target{Kind: protocol.Kind(value[0]), ID: u64(value, 1)}, nil
}
