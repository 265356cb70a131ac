package embedded

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic"
	"gannet/protocol"
)

// lane has the conversations of its partitions that are in memory, and the
// batch under way.
type lane struct {
	append sync.Mutex // one batch at a time; guards batch and what it works on
	batch  batch

	mu sync.Mutex // guards the maps and what is durable of the conversations in them

	// young and old are two generations of the cache: a conversation that is used
	// goes to young, and when that is full it becomes old and what was old is
	// forgotten. So the least recently used go first, and nothing needs a list.
	young, old map[protocol.Conversation]*conversation
	limit      int // of young
}

func newLane(limit int) *lane {
	return &lane{
		young: make(map[protocol.Conversation]*conversation),
		old:   make(map[protocol.Conversation]*conversation),
		limit: limit,
	}
}

// conversation is what the cache knows of one.
type conversation struct {
	key   protocol.Conversation
	place place

	// As the batch under way leaves it. Guarded by lane.append.
	next    progress
	devices []*device // by user and device
	work    work

	// As it is durable. Written under both locks, so either suffices to read it.
	durable progress
	members []*member // by user
}

// progress is how far a conversation has come.
type progress struct {
	head    uint64
	time    uint64 // of the newest message
	changed uint64 // when a message came or a cursor rose last
}

// work is what the batch under way does to a conversation.
type work struct {
	touched     bool // is in lane.batch.conversations
	first, last int  // of its new messages, as a list through lane.batch.steps; -1: none
	moved       *member
	sent        *device
}

// member is a user whose cursors are not 0.
type member struct {
	user uint64

	// Guarded by lane.append.
	next      logic.Position // as the batch under way leaves it
	moved     bool           // is in work.moved
	raised    bool           // by a cursor entry of the batch, so its record is written
	nextMoved *member

	durable logic.Position // written under both locks
}

// device is a device that has sent something to the conversation. Guarded by
// lane.append.
type device struct {
	user, device uint64

	maxID    uint64 // the highest client id accepted
	last     uint64 // seq of the newest message, with the batch under way
	durable  uint64 // the same without it
	saved    uint64 // the same as the device record has it
	sent     bool   // is in work.sent
	nextSent *device

	recent *recent // nil as long as every id was above maxID
}

// peek finds a conversation in the cache, nil when it is not there. lane.mu is
// held.
func (l *lane) peek(key protocol.Conversation) *conversation {
	if c := l.young[key]; c != nil {
		return c
	}
	return l.old[key]
}

// use is peek for the batch under way: the conversation becomes young.
func (l *lane) use(key protocol.Conversation) *conversation {
	if c := l.young[key]; c != nil {
		return c
	}
	c := l.old[key]
	if c != nil {
		delete(l.old, key)
		l.put(c)
	}
	return c
}

// put enters a conversation as young. lane.append and lane.mu are held.
func (l *lane) put(c *conversation) {
	if len(l.young) >= l.limit {
		l.young, l.old = l.old, l.young
		clear(l.young)
		for _, t := range l.batch.conversations {
			l.young[t.key] = t // must not be forgotten while its batch is under way
		}
	}
	l.young[c.key] = c
}

// member finds or adds a user. lane.append is held; lane.mu is taken to add.
func (l *lane) member(c *conversation, user uint64) *member {
	i, found := c.findMember(user)
	if !found {
		l.mu.Lock()
		c.members = slices.Insert(c.members, i, &member{user: user})
		l.mu.Unlock()
	}
	return c.members[i]
}

func (c *conversation) findMember(user uint64) (int, bool) {
	return slices.BinarySearchFunc(c.members, user, func(m *member, user uint64) int {
		return cmp.Compare(m.user, user)
	})
}

// position gives the durable position of a user. lane.mu is held, or c is nobody
// else's.
func (c *conversation) position(user uint64) logic.Position {
	if i, found := c.findMember(user); found {
		return c.members[i].durable
	}
	return logic.Position{}
}

// device finds or adds a device of a user. lane.append is held.
func (c *conversation) device(user, id uint64) *device {
	i, found := slices.BinarySearchFunc(c.devices, device{user: user, device: id}, func(d *device, want device) int {
		return cmp.Or(cmp.Compare(d.user, want.user), cmp.Compare(d.device, want.device))
	})
	if !found {
		c.devices = slices.Insert(c.devices, i, &device{user: user, device: id})
	}
	return c.devices[i]
}

// load reads a conversation from Pebble, at one moment. What it finds may not
// be durable yet if a batch of the conversation is under way.
func (s *Store) load(key protocol.Conversation) (*conversation, error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return nil, unavailable(err)
	}
	c := &conversation{key: key, place: placeOf(key)}
	err = c.read(it)
	if err = cmp.Or(err, it.Error()); err != nil {
		it.Close()
		return nil, unavailable(err)
	}
	if err := it.Close(); err != nil {
		return nil, unavailable(err)
	}
	return c, nil
}

func (c *conversation) read(it *pebble.Iterator) error {
	var messages, states [prefixSize]byte
	putPrefix(messages[:], &c.place, sectionMessage)
	putPrefix(states[:], &c.place, sectionState)
	if it.SeekLT(states[:]) && bytes.HasPrefix(it.Key(), messages[:]) {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		_, m, err := decodeMessage(value)
		if err != nil {
			return err
		}
		c.next = progress{head: m.Seq, time: m.Time, changed: m.Time}
	}
	for ok := it.SeekGE(states[:]); ok && bytes.HasPrefix(it.Key(), states[:]); ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := c.readState(it.Key(), value); err != nil {
			return err
		}
	}
	if err := c.readTail(it, messages[:]); err != nil {
		return err
	}
	c.durable = c.next
	return nil
}

// readState takes one record of the state section in. Records come by user and device,
// the cursors of a user before the user's devices.
func (c *conversation) readState(key, value []byte) error {
	if len(key) != stateSize {
		return errCorrupt
	}
	user, id := keyState(key)
	if n := len(c.members); n == 0 || c.members[n-1].user != user {
		c.members = append(c.members, &member{user: user})
	}
	m := c.members[len(c.members)-1]
	if id == 0 {
		if len(value) < cursorSize {
			return errCorrupt
		}
		m.next.Delivered = binary.BigEndian.Uint64(value)
		m.next.Read = binary.BigEndian.Uint64(value[8:])
		c.next.changed = max(c.next.changed, binary.BigEndian.Uint64(value[16:]))
	} else {
		if len(value) < deviceSize {
			return errCorrupt
		}
		d := &device{user: user, device: id}
		d.maxID = binary.BigEndian.Uint64(value)
		d.last = binary.BigEndian.Uint64(value[8:])
		d.durable, d.saved = d.last, d.last
		c.devices = append(c.devices, d)
		m.sentUpTo(d.last)
	}
	m.durable = m.next
	return nil
}

// readTail takes in what the messages after the last checkpoint say about the
// devices that sent them.
func (c *conversation) readTail(it *pebble.Iterator, messages []byte) error {
	first := c.next.head/checkpoint*checkpoint + 1
	for ok := it.SeekGE(messageKey(&c.place, first)); ok && bytes.HasPrefix(it.Key(), messages); ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		_, msg, err := decodeMessage(value)
		if err != nil {
			return err
		}
		d := c.device(msg.Sender, msg.Device)
		d.maxID, d.last, d.durable = max(d.maxID, msg.ClientID), msg.Seq, msg.Seq
		i, found := c.findMember(msg.Sender)
		if !found {
			c.members = slices.Insert(c.members, i, &member{user: msg.Sender})
		}
		m := c.members[i]
		m.sentUpTo(msg.Seq)
		m.durable = m.next
	}
	return nil
}

// sentUpTo moves the cursors of a member to a message that it sent.
func (m *member) sentUpTo(seq uint64) {
	m.next.Delivered = max(m.next.Delivered, seq)
	m.next.Read = max(m.next.Read, seq)
}
