package gannet

import "gannet/protocol"

// Cursor says how far a conversation was received.
type Cursor = protocol.Cursor

// Outgoing is a message that was taken and is not acked yet.
type Outgoing struct {
	ClientID uint64
	Target   Target
	Draft    Draft
}

// Saved is what a Store remembers. The zero value is a store that is new.
type Saved struct {
	Device   uint64     // 0: none yet
	LastID   uint64     // the highest client message id ever given to AddOutgoing
	Position uint64     // of the last complete sync
	Outgoing []Outgoing // in rising order of ClientID
	Cursors  []Cursor
}

// Store remembers for a client what must survive a restart. Methods that only
// append need not reach the disk before Sync is called, but must reach it in
// the order of the calls. They must be safe for concurrent use. After an error
// the client takes no more messages to send; what it receives goes on.
type Store interface {
	// Load gives what is remembered. Dial calls it first.
	Load() (Saved, error)

	// SetDevice remembers the device id.
	SetDevice(id uint64) error

	// AddOutgoing appends a message to those that are not acked; ids rise from call
	// to call. The body may be kept, it does not change.
	AddOutgoing(m Outgoing) error

	// RemoveOutgoing takes a message from those that are not acked: it was acked, or
	// refused for good.
	RemoveOutgoing(clientID uint64) error

	// SetReceived remembers how far conversations were received. When this is
	// lost in a crash, messages come a second time.
	SetReceived(cursors []Cursor) error

	// SetPosition remembers where the next sync begins. It must not survive a
	// crash that an earlier SetReceived did not survive.
	SetPosition(next uint64) error

	// Sync returns once everything appended before is on disk.
	Sync() error
}
