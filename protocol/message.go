package protocol

import "encoding/binary"

// Conversation gives the canonical key of the message's conversation.
func (m *Message) Conversation() Conversation { return m.Target.Conversation(m.Sender) }

// Conversation gives the canonical key of the receipt's conversation.
func (m *Receipt) Conversation() Conversation { return m.Target.Conversation(m.User) }

// SetSeq writes seq and time into an encoded Message, which begins payload:
// logic encodes before the log gives them out.
func SetSeq(payload []byte, seq, time uint64) {
	binary.BigEndian.PutUint64(payload[messageSeqAt:], seq)
	binary.BigEndian.PutUint64(payload[messageTimeAt:], time)
}
