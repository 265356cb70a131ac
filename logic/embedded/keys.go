package embedded

import (
	"encoding/binary"
	"errors"

	"gannet/logic/ledger"
	"gannet/protocol"
)

// The keys. Everything of a conversation lies together, and that of a partition
// is one range.
//
//	c partition kind a b 0 seq          a run: messages up to this seq (run.go)
//	c partition kind a b 1 user         a member's cursors and counts
//	c partition kind a b 2 user device  a device's highest client id, newest message and ack
//	u user kind id                      nothing: user has the conversation that this
//	                                    target names
//	m identity                          the store's 16 random bytes
//	m format                            formatVersion, u32
//	m commits queue                     how many commits the queue made (commits.go)
//	m floor                             no seq up to this one is given out any more, u64;
//	                                    missing: none was ever lost
//	m resync                            a since up to this one counts as 0, u64, the
//	                                    highest there is until the next start says where
//	                                    it ends (damage.go); missing: nothing was left out or lost
//
// Integers in keys are big-endian, so that keys sort as numbers do; partition, kind,
// the section after b and queue are one byte, everything else eight. The newest
// message stands right before the members: a load reads one place.
//
// links are three uvarints: the distance to the message that the same device sent
// before (0: none), how many of the messages up to this one do not count as
// unread, and how many of those that count are by others than its sender.
//
// The records of devices, and of members but for READ, are written at checkpoints
// and when acks are due; messages after the last checkpoint stand for themselves.
const (
	tagConversation = 'c'
	tagInbox        = 'u'

	sectionMessage = 0
	sectionMember  = 1
	sectionDevice  = 2

	placeSize   = 1 + 1 + 8 + 8
	prefixSize  = 1 + placeSize + 1
	messageSize = prefixSize + 8
	memberKey   = prefixSize + 8
	deviceKey   = prefixSize + 8 + 8
	inboxSize   = 1 + 8 + 1 + 8

	memberValue = 6*8 + 1
	deviceValue = 5 * 8
)

const (
	keyIdentity        = "midentity"
	keyFormat          = "mformat"
	keyCommits         = "mcommits"
	keyFloor           = "mfloor"
	formatVersion      = 3  // 2 had no mark
	checkpoint         = 64 // a load replays fewer messages than this
	flagCounted   byte = 1
)

// errCorrupt says that a record does not have the form in which it was written.
var errCorrupt = errors.New("embedded: a record in the store is damaged; stop the server and restore the data folder from a backup")

// place is the part of a key that names a conversation.
type place [placeSize]byte

func placeOf(c protocol.Conversation) (p place) {
	p[0], p[1] = byte(c.Partition()), byte(c.Kind)
	binary.BigEndian.PutUint64(p[2:], c.A)
	binary.BigEndian.PutUint64(p[10:], c.B)
	return p
}

// putPrefix fills the prefixSize bytes that the keys of a section begin with.
func putPrefix(key []byte, p *place, section byte) {
	key[0] = tagConversation
	copy(key[1:], p[:])
	key[1+placeSize] = section
}

func prefix(p *place, section byte) []byte {
	key := make([]byte, prefixSize)
	putPrefix(key, p, section)
	return key
}

// putMessageKey fills the messageSize bytes of key.
func putMessageKey(key []byte, p *place, seq uint64) {
	putPrefix(key, p, sectionMessage)
	binary.BigEndian.PutUint64(key[prefixSize:], seq)
}

func messageKey(p *place, seq uint64) []byte {
	key := make([]byte, messageSize)
	putMessageKey(key, p, seq)
	return key
}

// keySeq reads the seq off the key of a message.
func keySeq(key []byte) uint64 { return binary.BigEndian.Uint64(key[prefixSize:]) }

// putInboxKey fills the inboxSize bytes of key.
func putInboxKey(key []byte, user uint64, t protocol.Target) {
	key[0] = tagInbox
	binary.BigEndian.PutUint64(key[1:], user)
	key[9] = byte(t.Kind)
	binary.BigEndian.PutUint64(key[10:], t.ID)
}

// keyTarget reads the target off a key of tagInbox.
func keyTarget(key []byte) protocol.Target {
	return protocol.Target{Kind: protocol.Kind(key[9]), ID: binary.BigEndian.Uint64(key[10:])}
}

// links is what is stored with a message; stamp is that of its run.
type links struct {
	previous, count, own, stamp uint64
}

// append encodes the links of the message with this seq at the end of dst.
func (l links) append(dst []byte, seq uint64) []byte {
	distance := uint64(0)
	if l.previous != 0 {
		distance = seq - l.previous
	}
	dst = binary.AppendUvarint(dst, distance)
	dst = binary.AppendUvarint(dst, seq-l.count)
	return binary.AppendUvarint(dst, l.count-l.own)
}

func putMember(key, value []byte, p *place, m *ledger.Member) {
	putPrefix(key, p, sectionMember)
	binary.BigEndian.PutUint64(key[prefixSize:], m.User)
	for i, v := range [...]uint64{m.Delivered, m.Read, m.Total, m.Count, m.Own, m.Changed} {
		binary.BigEndian.PutUint64(value[8*i:], v)
	}
	value[6*8] = 0
	if m.Counted {
		value[6*8] = flagCounted
	}
}

func readMember(key, value []byte) (m ledger.Member, err error) {
	if len(key) != memberKey || len(value) < memberValue {
		return m, errCorrupt
	}
	u64 := func(i int) uint64 { return binary.BigEndian.Uint64(value[8*i:]) }
	return ledger.Member{
		User: binary.BigEndian.Uint64(key[prefixSize:]), Delivered: u64(0), Read: u64(1), Total: u64(2),
		Count: u64(3), Own: u64(4), Changed: u64(5), Counted: value[6*8] == flagCounted,
	}, nil
}

func putDeviceKey(key []byte, p *place, user, device uint64) {
	putPrefix(key, p, sectionDevice)
	binary.BigEndian.PutUint64(key[prefixSize:], user)
	binary.BigEndian.PutUint64(key[prefixSize+8:], device)
}

func putDevice(key, value []byte, p *place, d *ledger.Device) {
	putDeviceKey(key, p, d.User, d.Device)
	for i, v := range [...]uint64{d.MaxID, d.Last, d.Acked, d.Changed, d.Time} {
		binary.BigEndian.PutUint64(value[8*i:], v)
	}
}

func readDevice(key, value []byte) (d ledger.Device, err error) {
	if len(key) != deviceKey || len(value) < deviceValue {
		return d, errCorrupt
	}
	u64 := func(i int) uint64 { return binary.BigEndian.Uint64(value[8*i:]) }
	return ledger.Device{
		User: binary.BigEndian.Uint64(key[prefixSize:]), Device: binary.BigEndian.Uint64(key[prefixSize+8:]),
		MaxID: u64(0), Last: u64(1), Acked: u64(2), Changed: u64(3), Time: u64(4),
	}, nil
}
