package protocol

import "time"

// Limits of the wire. Each is part of the specification; a server may tell a
// client smaller ones in WELCOME, never larger ones.
const (
	// Version is the protocol version that HELLO and WELCOME carry.
	Version = 1

	// HeaderSize is the length field and the fixed fields after it.
	HeaderSize = 10

	// MaxBody bounds the body of one message, in bytes. Larger content travels
	// as an attachment.
	MaxBody = 64 << 10

	// MaxFrame bounds the length field of a frame, in either direction: one
	// body of MaxBody, and 4 KiB for every field around it and those still to
	// come.
	MaxFrame = MaxBody + 4<<10

	// MaxHello bounds the length field of the first frame, before anybody has
	// said who they are: a token of MaxToken and its neighbours.
	MaxHello = 8 << 10

	// MaxToken bounds the token in HELLO: a JWT with a few hundred bytes of
	// claims and the largest usual signature stays far below.
	MaxToken = 4 << 10

	// MaxText bounds other strings (client name, error text).
	MaxText = 256

	// MaxPage bounds how many messages or conversations one page holds; a page
	// also ends before it would pass MaxFrame.
	MaxPage = 256

	// MaxPreview bounds the body of a message in SYNCED: enough for the line that a
	// list of conversations shows.
	MaxPreview = 256

	// MaxUnacked is how many messages a device may have sent to a conversation
	// after one that is not acked yet. A retry is recognised only while fewer
	// than this many later messages of the device were accepted there.
	MaxUnacked = 1024
)

// Times of the wire.
const (
	// LoginTimeout is how long a connection may take to send its HELLO.
	LoginTimeout = 5 * time.Second

	// PushAckTimeout is how long the server waits for a PUSHACK before it pushes
	// again.
	PushAckTimeout = 5 * time.Second

	// MaxPushes is how often a message is pushed to one connection; after that it
	// waits in the store for a SYNC.
	MaxPushes = 3

	// MinHeartbeat, DefaultHeartbeat and MaxHeartbeat bound the interval that
	// HELLO asks for and WELCOME answers. 30 s keeps the usual mobile NAT
	// mapping open (RFC 5382 asks for more, carriers give as little as 60 s).
	MinHeartbeat     = 1 * time.Second
	DefaultHeartbeat = 30 * time.Second
	MaxHeartbeat     = 5 * time.Minute
)
