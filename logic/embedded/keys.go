package embedded

import (
	"encoding/binary"
	"errors"

	"gannet/protocol"
)

// The keys. Everything of a conversation lies together behind its partition, so
// that a partition is one range of each tag.
//
//	m partition kind a b seq          prev ++ Message payload
//	s partition kind a b user 0       delivered, read, changed
//	s partition kind a b user device  highest client id, seq of the newest message
//	u user kind id                    nothing: user has the conversation that this
//	                                  target names
//
// Integers are big-endian, so that keys sort as numbers do; partition and kind
// are one byte, everything else eight. prev is the seq of the message that the
// same device had accepted before in the conversation, 0 for its first. delivered
// and read are what PUSHACK and READ raised; where the user sent something, the
// newest seq of each of the user's devices counts as well, so that sending does
// not have to write cursors.
const (
	tagMessage = 'm'
	tagState   = 's'
	tagInbox   = 'u'

	prefixSize  = 1 + placeSize
	placeSize   = 1 + 1 + 8 + 8
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

func putPrefix(key []byte, tag byte, p *place) {
	key[0] = tag
	copy(key[1:], p[:])
}

// putMessageKey fills the messageSize bytes of key.
func putMessageKey(key []byte, p *place, seq uint64) {
	putPrefix(key, tagMessage, p)
	binary.BigEndian.PutUint64(key[prefixSize:], seq)
}

// putStateKey fills the stateSize bytes of key.
func putStateKey(key []byte, p *place, user, device uint64) {
	putPrefix(key, tagState, p)
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

// keyState reads user and device off a key of tagState.
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
