package gannet

import (
	"time"

	"gannet/protocol"
)

// Target names a conversation as this user addresses it: User(7) is the
// conversation with user 7, Group(9) the one of group 9.
type Target = protocol.Target

// User gives the conversation with another user, or with oneself.
func User(id uint64) Target { return Target{Kind: protocol.KindDirect, ID: id} }

// Group gives the conversation of a group.
func Group(id uint64) Target { return Target{Kind: protocol.KindGroup, ID: id} }

// Content says what the body of a message is.
type Content = protocol.Content

// The contents. ContentSystem comes only from the server.
const (
	ContentText   = protocol.ContentText
	ContentImage  = protocol.ContentImage
	ContentVoice  = protocol.ContentVoice
	ContentFile   = protocol.ContentFile
	ContentCustom = protocol.ContentCustom
	ContentSystem = protocol.ContentSystem
)

// Draft is a message to be sent. Body holds at most protocol.MaxBody bytes
// (64 KiB); it is not copied, so it must not change before the ack.
type Draft struct {
	Content Content
	Body    []byte
}

// Text drafts a text message.
func Text(s string) Draft { return Draft{Content: ContentText, Body: []byte(s)} }

// Ack says that a message is durable on the server and has its place.
type Ack struct {
	ClientID uint64    // under which this device sent it
	Seq      uint64    // its place in the conversation
	Time     time.Time // the server's, to the millisecond
}

// Message is a message in a conversation.
type Message struct {
	Conversation Target    // as this user addresses it: an answer goes there
	Seq          uint64    // its place in the conversation, from 1
	Time         time.Time // the server's, to the millisecond
	Sender       uint64    // the user who sent it, 0 for the system
	Device       uint64    // on which it was sent
	ClientID     uint64    // under which the device sent it
	Content      Content

	// Body belongs to whoever receives the Message. Bodies that arrived
	// together share memory: who keeps a small one for long should clone it.
	Body []byte
}

// Text gives the body as a string.
func (m Message) Text() string { return string(m.Body) }

// Receipt says that the cursors of a user in a conversation rose.
type Receipt struct {
	Conversation Target // as this user addresses it
	User         uint64 // whose cursors they are: a peer, or this user on another device
	Device       uint64 // on which it happened
	Delivered    uint64 // some device of User has all up to this seq
	Read         uint64 // User has read all up to this seq
}

// Conversation is one entry of the conversation list.
type Conversation struct {
	Target        Target
	Head          uint64   // the highest seq
	Delivered     uint64   // this user's cursors
	Read          uint64   //
	PeerDelivered uint64   // the other user's cursors, 0 unless it is a direct conversation
	PeerRead      uint64   //
	Unread        uint64   // messages by others after Read, as the server counts them
	Last          *Message // the newest message, its body cut to a preview of 256 bytes; nil when there is none
	LastSize      int      // bytes of the newest message's whole body
}
