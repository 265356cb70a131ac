package embedded

import (
	"encoding/binary"
	"errors"

	"gannet/protocol"
)

// The keys. Everything of a conversation lies together, and that of a partition
// is one range.
//
//	c partition kind a b 0 seq          prev ++ Message payload
//	c partition kind a b 1 user 0       delivered, read, changed
//	c partition kind a b 1 user device  highest client id, seq of the newest message
//	u user kind id                      nothing: user has the conversation that this
//	                                    target names
//
// Integers are big-endian, so that keys sort as numbers do; partition, kind and
// the section after b are one byte, everything else eight. The newest message
// stands right before the state: a send writes two neighbours, which costs the
// memtable half as much as two distant keys, and a load reads one place.
//
// prev is the seq of the message that the same device had accepted before in the
// conversation, 0 for its first. delivered and read are what PUSHACK and READ
// raised; the newest seq of each of the user's devices counts as well, so that
// sending does not have to write cursors. The records of devices are written at
// checkpoints; messages after the last one stand for themselves.
const (
	tagConversation = 'c'
	tagInbox        = 'u'

	sectionMessage = 0
	sectionState   = 1

	placeSize   = 1 + 1 + 8 + 8
	prefixSize  = 1 + placeSize + 1
	messageSize = prefixSize + 8
	stateSize   = prefixSize + 8 + 8
	inboxSize   = 1 + 8 + 1 + 8

	linkSize   = 8
	cursorSize = 3 * 8
	deviceSize = 2 * 8
)

// errCorrupt says that a record does not have the form in which it was written.
var errCorrupt = errors.New("embedded: a record in the store is damaged")

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

// putMessageKey fills the messageSize bytes of key.
func putMessageKey(key []byte, p *place, seq uint64) {
	putPrefix(key, p, sectionMessage)
	binary.BigEndian.PutUint64(key[prefixSize:], seq)
}

// putStateKey fills the stateSize bytes of key.
func putStateKey(key []byte, p *place, user, device uint64) {
	putPrefix(key, p, sectionState)
	binary.BigEndian.PutUint64(key[prefixSize:], user)
	binary.BigEndian.PutUint64(key[prefixSize+8:], device)
}

// putInboxKey fills the inboxSize bytes of key.
func putInboxKey(key []byte, user uint64, t protocol.Target) {
	key[0] = tagInbox
	binary.BigEndian.PutUint64(key[1:], user)
	key[9] = byte(t.Kind)
	binary.BigEndian.PutUint64(key[10:], t.ID)
}

func messageKey(p *place, seq uint64) []byte {
	key := make([]byte, messageSize)
	putMessageKey(key, p, seq)
	return key
}

// keySeq reads the seq off the key of a message.
func keySeq(key []byte) uint64 { return binary.BigEndian.Uint64(key[prefixSize:]) }

// keyState reads user and device off a key of the state section.
func keyState(key []byte) (user, device uint64) {
	return binary.BigEndian.Uint64(key[prefixSize:]), binary.BigEndian.Uint64(key[prefixSize+8:])
}

// keyTarget reads the target off a key of tagInbox.
func keyTarget(key []byte) protocol.Target {
	return protocol.Target{Kind: protocol.Kind(key[9]), ID: binary.BigEndian.Uint64(key[10:])}
}

// splitMessage takes the value of a message apart.
func splitMessage(value []byte) (prev uint64, message []byte, err error) {
	if len(value) < linkSize {
		return 0, nil, errCorrupt
	}
	return binary.BigEndian.Uint64(value), value[linkSize:], nil
}

// decodeMessage reads the value of a message; the body is valid as long as value
// is.
func decodeMessage(value []byte) (prev uint64, m protocol.Message, err error) {
	prev, payload, err := splitMessage(value)
	if err == nil {
		err = m.Decode(payload)
	}
	return prev, m, err
}
