package gannet

import (
	"fmt"
	"time"

	"gannet/protocol"
)

// Kind says what sort of conversation a Target names.
type Kind uint8

// The kinds. Only direct conversations and groups can be written to.
const (
	KindDirect    Kind = 1 // two users
	KindGroup     Kind = 2
	KindSystem    Kind = 3 // the server writes to one user
	KindBroadcast Kind = 4 // the server writes to everyone
)

// Target names a conversation as this user addresses it: User(7) is the one with
// user 7, Group(9) the one of group 9. It can be compared and be the key of a
// map. The zero Target names none.
type Target struct {
	Kind Kind
	ID   uint64
}

// User gives the conversation with another user, or with oneself.
func User(id uint64) Target { return Target{Kind: KindDirect, ID: id} }

// Group gives the conversation of a group.
func Group(id uint64) Target { return Target{Kind: KindGroup, ID: id} }

// String gives it for people: "user 7".
func (t Target) String() string {
	switch t.Kind {
	case 0:
		return "none"
	case KindDirect:
		return fmt.Sprintf("user %d", t.ID)
	case KindGroup:
		return fmt.Sprintf("group %d", t.ID)
	case KindSystem:
		return fmt.Sprintf("system %d", t.ID)
	case KindBroadcast:
		return "broadcast"
	}
	return fmt.Sprintf("kind %d, %d", t.Kind, t.ID)
}

func (t Target) wire() protocol.Target {
	return protocol.Target{Kind: protocol.Kind(t.Kind), ID: t.ID}
}

func targetOf(t protocol.Target) Target { return Target{Kind: Kind(t.Kind), ID: t.ID} }

// Content says what the body of a message is; the server does not look inside.
type Content uint8

// The contents. ContentSystem comes only from the server. Others may come from
// younger clients; they are shown as such.
const (
	ContentText   Content = 1 // UTF-8
	ContentImage  Content = 2
	ContentVoice  Content = 3
	ContentFile   Content = 4
	ContentCustom Content = 5 // what clients have agreed on
	ContentSystem Content = 6
)

// MaxBody is how many bytes the body of a message holds at most: 64 KiB.
const MaxBody = protocol.MaxBody

// MaxID is the highest id that an app may choose for a message. As many are left above
// it for those that the client chooses, which must be higher than all before.
const MaxID = 1<<63 - 1

// Draft is a message to be sent.
type Draft struct {
	// ID is the id under which the message is sent and its outcome is told; 0
	// lets the client choose one. An id that the app chooses is at most MaxID, and
	// above all ids that the client has used, also in the lives before as its Store
	// remembers them. Without a Store, a message whose outcome is not known may be sent
	// again by a new client of the same device: under the same id, unchanged,
	// and before later ones, it is the same message to the server for 24 hours.
	// Ids that the client chooses are microseconds of the Unix clock or above.
	ID uint64

	Content Content

	// Body holds at most MaxBody bytes. It is not copied: it must not change
	// before the outcome is known.
	Body []byte
}

// Text drafts a text message.
func Text(s string) Draft { return Draft{Content: ContentText, Body: []byte(s)} }

// Ack says that a message is durable on the server and has its place.
type Ack struct {
	ID   uint64    // under which this device sent it
	Seq  uint64    // its place in the conversation
	Time time.Time // the server's, to the millisecond
}

// Message is a message in a conversation. Sender, Device and ID name it for
// ever; so do Conversation and Seq.
type Message struct {
	Conversation Target    // as this user addresses it: an answer goes there
	Seq          uint64    // its place in the conversation, from 1
	Time         time.Time // the server's, to the millisecond
	Sender       uint64    // the user who sent it, 0 for the system
	Device       uint64    // on which it was sent
	ID           uint64    // under which that device sent it
	Content      Content

	// Body belongs to whoever receives the Message. Bodies that arrived
	// together share memory: who keeps a small one for long should clone it.
	Body []byte
}

// Text gives the body as a string.
func (m Message) Text() string { return string(m.Body) }

// Receipt says that the cursors of a user in a conversation rose. They never
// fall.
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
	Delivered     uint64   // some device of this user has all up to this seq
	Read          uint64   // this user has read all up to this seq
	PeerDelivered uint64   // the same of the other user, 0 unless it is a direct conversation
	PeerRead      uint64   // likewise
	Unread        uint64   // messages by others after Read, as the server counts them
	Last          *Message // the newest message, its body cut to a preview of 256 bytes; nil when there is none
	LastSize      int      // bytes of the newest message's whole body
}

func milliseconds(t uint64) time.Time { return time.UnixMilli(int64(t)) }
