package view

import (
	"encoding/binary"
	"fmt"

	"gannet/logic/ledger"
	"gannet/protocol"
)

// arguments are the arguments of the script forward for a record. Each key, field and value is an
// argument of its own: Lua hashes every byte of every string that it gets or makes, so it would
// hash both a blob and the parts that it cuts from it.
type arguments struct {
	base string // of all keys of the queue

	b    []byte // all of them, one behind the other
	ends []int  // of each
	cut  []argument
	list []any // how long the parts of a record are, then pointers into cut

	begins, others, gone []byte // lengths, each u16
}

// argument is one of them. A pointer to it fits into an interface as it is. A slice or a string
// would need an allocation there, of more bytes than most arguments have.
type argument []byte

// MarshalBinary gives the bytes to the client, which writes them at once.
func (a *argument) MarshalBinary() ([]byte, error) { return *a, nil }

// flagMessage in a length says that the newest message is among the values.
const flagMessage = 0x8000

func (a *arguments) reset() {
	a.b, a.ends = a.b[:0], a.ends[:0]
	a.begins, a.others, a.gone = a.begins[:0], a.others[:0], a.gone[:0]
}

// size is how many bytes a script takes in.
func (a *arguments) size() int { return len(a.b) + len(a.begins) + len(a.others) + len(a.gone) }

// end ends an argument, which was appended to b.
func (a *arguments) end() { a.ends = append(a.ends, len(a.b)) }

func (a *arguments) conversationKey(c protocol.Conversation) {
	a.b = appendPlace(append(append(a.b, a.base...), 'c'), c)
	a.end()
}

func (a *arguments) device(d *ledger.Device) {
	a.b = appendDeviceField(a.b, d)
	a.end()
}

// conversation adds what changes in a conversation, and its length to lengths.
func (a *arguments) conversation(lengths []byte, change *ledger.Change, c *ledger.Changed) ([]byte, error) {
	first := len(a.ends)
	a.conversationKey(c.Key)
	a.b = appendProgress(a.b, &c.After)
	a.end()
	flag := 0
	if messages := change.Messages[c.Messages.Start:c.Messages.End]; len(messages) > 0 {
		var err error
		if a.b, err = appendLast(a.b, messages[len(messages)-1].Payload); err != nil {
			return lengths, err
		}
		a.end()
		flag = flagMessage
	}
	members := change.Members[c.Members.Start:c.Members.End]
	for i := range members {
		a.b = appendMemberField(a.b, &members[i])
		a.end()
		a.b = appendMember(a.b, &members[i])
		a.end()
	}
	devices := change.Devices[c.Devices.Start:c.Devices.End]
	for i := range devices {
		a.device(&devices[i])
		a.b = appendDevice(a.b, &devices[i])
		a.end()
	}
	if fields := 2 + len(members) + len(devices); fields > maxFields {
		return lengths, fmt.Errorf("%w: %d fields of %v", ErrLarge, fields, c.Key)
	}
	return binary.BigEndian.AppendUint16(lengths, uint16(len(a.ends)-first|flag)), nil
}

// devicesGone adds which devices of a conversation go.
func (a *arguments) devicesGone(c protocol.Conversation, gone []ledger.Device) error {
	if len(gone) > 2*maxFields {
		return fmt.Errorf("%w: %d devices of %v go", ErrLarge, len(gone), c)
	}
	a.conversationKey(c)
	for i := range gone {
		a.device(&gone[i])
	}
	a.gone = binary.BigEndian.AppendUint16(a.gone, uint16(1+len(gone)))
	return nil
}

// enter adds the entries of inboxes that a conversation begins with.
func (a *arguments) enter(c protocol.Conversation) {
	for _, u := range users(c) {
		a.b = binary.BigEndian.AppendUint64(append(append(a.b, a.base...), 'u'), u)
		a.end()
		a.b = appendTarget(a.b, c.Target(u))
		a.end()
	}
}

// record packs a change, and appends to created the users who get a new conversation by it.
func (a *arguments) record(change *ledger.Change, created []uint64) ([]uint64, error) {
	a.reset()
	var err error
	for i := range change.Conversations {
		if c := &change.Conversations[i]; c.Before.Head == 0 {
			if a.begins, err = a.conversation(a.begins, change, c); err != nil {
				return created, err
			}
			created = append(created, users(c.Key)...)
		}
	}
	for i := range change.Conversations {
		if c := &change.Conversations[i]; c.Before.Head > 0 {
			if a.others, err = a.conversation(a.others, change, c); err != nil {
				return created, err
			}
		}
	}
	for i := range change.Conversations {
		c := &change.Conversations[i]
		if gone := change.Gone[c.Gone.Start:c.Gone.End]; len(gone) > 0 {
			if err := a.devicesGone(c.Key, gone); err != nil {
				return created, err
			}
		}
	}
	for i := range change.Conversations {
		if c := &change.Conversations[i]; c.Before.Head == 0 {
			a.enter(c.Key)
		}
	}
	return created, nil
}

// all gives the arguments as a call wants them: first, then the lengths, then the rest. They
// are valid until the next record.
func (a *arguments) all(first ...any) []any {
	from := 0
	a.cut = a.cut[:0]
	for _, end := range a.ends {
		a.cut = append(a.cut, a.b[from:end])
		from = end
	}
	a.list = append(append(a.list[:0], first...), a.begins, a.others, a.gone)
	for i := range a.cut {
		a.list = append(a.list, &a.cut[i])
	}
	return a.list
}
