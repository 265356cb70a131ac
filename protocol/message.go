package protocol

import "encoding/binary"

// Content says what the body of a message is. The server does not look inside.
type Content uint8

// The contents.
const (
	ContentText   Content = 1 // UTF-8
	ContentImage  Content = 2
	ContentVoice  Content = 3
	ContentFile   Content = 4
	ContentCustom Content = 5
	ContentSystem Content = 6 // only from the server
)

// Send is the payload of SEND.
type Send struct {
	Target   Target
	ClientID uint64 // not 0, rising from message to message of the device
	Content  Content
	Body     []byte
}

// AppendFrame encodes the whole frame at the end of dst.
func (m Send) AppendFrame(dst []byte, request uint32) []byte {
	start := len(dst)
	dst = begin(dst, TypeSend, request)
	dst = appendTarget(dst, m.Target)
	dst = binary.BigEndian.AppendUint64(dst, m.ClientID)
	dst = append(dst, byte(m.Content))
	dst = appendBytes(dst, m.Body)
	return end(dst, start)
}

// Decode reads the payload; Body points into p.
func (m *Send) Decode(p []byte) error {
	r := reader{b: p}
	m.Target = r.target()
	m.ClientID = r.u64()
	m.Content = Content(r.u8())
	m.Body = r.bytes()
	return r.err()
}

// SendAck is the payload of SENDACK: the message is durable under this seq.
type SendAck struct {
	ClientID uint64
	Seq      uint64
	Time     uint64 // Unix milliseconds
}

// AppendFrame encodes the whole frame at the end of dst.
func (m SendAck) AppendFrame(dst []byte, request uint32) []byte {
	start := len(dst)
	dst = begin(dst, TypeSendAck, request)
	dst = binary.BigEndian.AppendUint64(dst, m.ClientID)
	dst = binary.BigEndian.AppendUint64(dst, m.Seq)
	dst = binary.BigEndian.AppendUint64(dst, m.Time)
	return end(dst, start)
}

// Decode reads the payload.
func (m *SendAck) Decode(p []byte) error {
	r := reader{b: p}
	m.ClientID = r.u64()
	m.Seq = r.u64()
	m.Time = r.u64()
	return r.err()
}

// Message is a message with its place in a conversation: the payload of PUSH,
// and each message in a page. The same bytes go to every receiver, so Target is
// the conversation as the sender addresses it.
type Message struct {
	Target   Target
	Seq      uint64
	Time     uint64 // Unix milliseconds, given with the seq
	Sender   uint64
	Device   uint64 // of the sender
	ClientID uint64
	Content  Content
	Body     []byte
}

// Offsets of fixed fields in the payload of PUSH and RECEIPT.
const (
	offSeq  = 9  // in RECEIPT: delivered
	offTime = 17 // in RECEIPT: read
)

// AppendFrame encodes the message as a whole PUSH frame at the end of dst.
func (m Message) AppendFrame(dst []byte) []byte {
	start := len(dst)
	return end(m.AppendPayload(begin(dst, TypePush, 0)), start)
}

// AppendPayload encodes the message alone at the end of dst.
func (m Message) AppendPayload(dst []byte) []byte {
	dst = appendTarget(dst, m.Target)
	dst = binary.BigEndian.AppendUint64(dst, m.Seq)
	dst = binary.BigEndian.AppendUint64(dst, m.Time)
	dst = binary.BigEndian.AppendUint64(dst, m.Sender)
	dst = binary.BigEndian.AppendUint64(dst, m.Device)
	dst = binary.BigEndian.AppendUint64(dst, m.ClientID)
	dst = append(dst, byte(m.Content))
	return appendBytes(dst, m.Body)
}

// Decode reads the payload; Body points into p.
func (m *Message) Decode(p []byte) error {
	r := reader{b: p}
	m.Target = r.target()
	m.Seq = r.u64()
	m.Time = r.u64()
	m.Sender = r.u64()
	m.Device = r.u64()
	m.ClientID = r.u64()
	m.Content = Content(r.u8())
	m.Body = r.bytes()
	return r.err()
}

// Conversation gives the canonical key of the message's conversation.
func (m *Message) Conversation() Conversation { return m.Target.Conversation(m.Sender) }

// SetSeq writes seq and time into an encoded Message, which begins payload:
// logic encodes before the log gives them out.
func SetSeq(payload []byte, seq, time uint64) {
	binary.BigEndian.PutUint64(payload[offSeq:], seq)
	binary.BigEndian.PutUint64(payload[offTime:], time)
}

// Cursor is the payload of PUSHACK, where it says that this device has all
// messages up to Seq, and of READ, where it says that the user has read them.
type Cursor struct {
	Target Target
	Seq    uint64
}

// AppendPushAck encodes a PUSHACK frame at the end of dst. With request 0 only a
// failure is answered.
func (m Cursor) AppendPushAck(dst []byte, request uint32) []byte {
	return m.append(dst, TypePushAck, request)
}

// AppendRead encodes a READ frame at the end of dst. With request 0 only a
// failure is answered.
func (m Cursor) AppendRead(dst []byte, request uint32) []byte {
	return m.append(dst, TypeRead, request)
}

// AppendHint encodes a HINT frame at the end of dst: the conversation, as the
// receiver addresses it, goes up to Seq.
func (m Cursor) AppendHint(dst []byte) []byte {
	return m.append(dst, TypeHint, 0)
}

func (m Cursor) append(dst []byte, t Type, request uint32) []byte {
	start := len(dst)
	dst = begin(dst, t, request)
	dst = appendTarget(dst, m.Target)
	dst = binary.BigEndian.AppendUint64(dst, m.Seq)
	return end(dst, start)
}

// Decode reads the payload.
func (m *Cursor) Decode(p []byte) error {
	r := reader{b: p}
	m.Target = r.target()
	m.Seq = r.u64()
	return r.err()
}

// Receipt is the payload of RECEIPT: the cursors of a user in a conversation
// rose. The same bytes go to every receiver, so Target is the conversation as
// User addresses it.
type Receipt struct {
	Target    Target
	Delivered uint64 // some device of User has all up to here
	Read      uint64 // User has read all up to here
	User      uint64
	Device    uint64 // on which it happened
}

// AppendFrame encodes the whole frame at the end of dst.
func (m Receipt) AppendFrame(dst []byte) []byte {
	start := len(dst)
	dst = begin(dst, TypeReceipt, 0)
	dst = appendTarget(dst, m.Target)
	dst = binary.BigEndian.AppendUint64(dst, m.Delivered)
	dst = binary.BigEndian.AppendUint64(dst, m.Read)
	dst = binary.BigEndian.AppendUint64(dst, m.User)
	dst = binary.BigEndian.AppendUint64(dst, m.Device)
	return end(dst, start)
}

// Decode reads the payload.
func (m *Receipt) Decode(p []byte) error {
	r := reader{b: p}
	m.Target = r.target()
	m.Delivered = r.u64()
	m.Read = r.u64()
	m.User = r.u64()
	m.Device = r.u64()
	return r.err()
}

// Conversation gives the canonical key of the receipt's conversation.
func (m *Receipt) Conversation() Conversation { return m.Target.Conversation(m.User) }

// SetCursors writes the cursors into an encoded Receipt, which begins payload:
// logic encodes before the log knows how far they rise.
func SetCursors(payload []byte, delivered, read uint64) {
	binary.BigEndian.PutUint64(payload[offSeq:], delivered)
	binary.BigEndian.PutUint64(payload[offTime:], read)
}

// Range is the payload of HOLE: the seqs First to Last of the conversation, as
// the receiver addresses it, will never exist. Between gateway and logic it is
// that of TypeRedeliver: push First to Last once more.
type Range struct {
	Target      Target
	First, Last uint64
}

// AppendHole encodes a HOLE frame at the end of dst.
func (m Range) AppendHole(dst []byte) []byte {
	start := len(dst)
	return end(m.AppendPayload(begin(dst, TypeHole, 0)), start)
}

// AppendPayload encodes the range alone at the end of dst.
func (m Range) AppendPayload(dst []byte) []byte {
	dst = appendTarget(dst, m.Target)
	dst = binary.BigEndian.AppendUint64(dst, m.First)
	return binary.BigEndian.AppendUint64(dst, m.Last)
}

// Decode reads the payload.
func (m *Range) Decode(p []byte) error {
	r := reader{b: p}
	m.Target = r.target()
	m.First = r.u64()
	m.Last = r.u64()
	return r.err()
}
