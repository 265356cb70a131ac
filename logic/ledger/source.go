package ledger

import (
	"context"

	"gannet/protocol"
)

// Source is where a Ledger reads what it does not have in memory: what was made
// durable, and perhaps the batch that is being made so. An error means that
// nothing was read. Its methods may be called concurrently.
type Source interface {
	// Load fills in each conversation, or its Err. One that nobody wrote to is
	// empty.
	Load(ctx context.Context, conversations []*Loaded) error

	// Walk goes back through the messages of devices, each walk from its newest to
	// its oldest until Visit returns false, or sets its Err.
	Walk(ctx context.Context, walks []*Walk) error
}

// Walk goes back through the messages that a device sent to a conversation.
type Walk struct {
	Key          protocol.Conversation
	User, Device uint64
	From         uint64 // seq of the message to begin with, which is one of the device's

	// Visit is told the client id, seq and time of a message, and the seq of the one
	// that the device sent before it, 0 if there is none.
	Visit func(id, seq, time, previous uint64) (more bool)

	Err error
}
