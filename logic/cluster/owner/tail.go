package owner

import (
	"cmp"
	"slices"
	"sync"

	"gannet/logic/ledger"
	"gannet/protocol"
)

// Kept is a message in memory. It never changes.
type Kept struct {
	Seq     uint64
	N, Own  uint64 // as in ledger.Message: Count and Own
	Payload []byte // an encoded protocol.Message

	// Previous is the seq of the message that the device sent before this one, 0: none. It is known
	// only if Linked is set: for a message that was read back from the queue it may not be.
	Previous uint64
	Linked   bool

	user, device, id, time uint64
}

// keptCost is what a message takes beside its payload, about.
const keptCost = 160

// knownLooks is how many messages of a conversation are looked through for a repeat, so
// that the writer of a queue does not spend its time with them.
const knownLooks = 4096

// countLooks is how many messages of a group are looked through for the newest one of a user,
// likewise.
const countLooks = 256

// tail holds the newest messages of a queue, as many as fit. Of each conversation it has all
// messages from a certain one on. Messages are added when they are durable and in the view.
type tail struct {
	room int

	mu    sync.Mutex // guards what follows
	bytes int
	talks map[protocol.Conversation]*talk
	order []protocol.Conversation // of each message, oldest first
}

// talk is the newest messages of a conversation.
type talk struct {
	before   uint64 // the seq of the one before them, 0: none
	messages []Kept // rising
}

func newTail(room int) *tail {
	return &tail{room: room, talks: make(map[protocol.Conversation]*talk)}
}

// add takes in the messages of a record.
func (t *tail) add(change *ledger.Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range change.Conversations {
		c := &change.Conversations[i]
		for _, m := range change.Messages[c.Messages.Start:c.Messages.End] {
			t.put(c.Key, c.Before.Head, Kept{
				Seq: m.Seq, Previous: m.Previous, Linked: true, N: m.Count, Own: m.Own, Payload: m.Payload,
			})
		}
	}
	t.shrink()
}

// put adds the next message of a conversation; before is the seq of the one before it. mu
// is held.
func (t *tail) put(key protocol.Conversation, before uint64, k Kept) {
	var m protocol.Message
	if m.Decode(k.Payload) != nil {
		return // a record with it is refused before it is written
	}
	k.user, k.device, k.id, k.time = m.Sender, m.Device, m.ClientID, m.Time
	x := t.talks[key]
	if x == nil {
		x = &talk{before: before}
		t.talks[key] = x
	}
	x.messages = append(x.messages, k)
	t.order = append(t.order, key)
	t.bytes += keptCost + len(k.Payload)
}

// shrink forgets the oldest messages until the others fit. mu is held.
func (t *tail) shrink() {
	n := 0
	for ; t.bytes > t.room && n < len(t.order); n++ {
		key := t.order[n]
		x := t.talks[key]
		oldest := &x.messages[0]
		t.bytes -= keptCost + len(oldest.Payload)
		x.before = oldest.Seq
		*oldest = Kept{} // the array may stay for long
		if x.messages = x.messages[1:]; len(x.messages) == 0 {
			delete(t.talks, key)
		}
	}
	if n > 0 {
		t.order = t.order[n:]
	}
	if cap(t.order) > 64 && len(t.order) < cap(t.order)/4 {
		t.order = slices.Clone(t.order)
	}
}

// known is ledger.Options.Known.
func (t *tail) known(key protocol.Conversation, user, device, id uint64) (seq, time uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.talks[key]
	if x == nil {
		return 0, 0, false
	}
	for i := len(x.messages) - 1; i >= max(len(x.messages)-knownLooks, 0); i-- {
		if k := &x.messages[i]; k.id == id && k.device == device && k.user == user {
			return k.Seq, k.time, true
		}
	}
	return 0, 0, false
}

// counts is ledger.Options.Counts. It does not know a seq behind the messages in the tail, which
// may belong to the record under way, nor one before them. If there is no message with the seq, the
// message before it is taken.
func (t *tail) counts(key protocol.Conversation, user, seq uint64) (count, own uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.talks[key]
	if x == nil {
		return 0, 0, false
	}
	at, found := slices.BinarySearchFunc(x.messages, seq, func(k Kept, seq uint64) int { return cmp.Compare(k.Seq, seq) })
	if !found {
		if at == 0 || at == len(x.messages) {
			return 0, 0, false
		}
		at--
	}
	newest := &x.messages[at]
	count = newest.N
	if key.Kind == protocol.KindDirect && newest.user != user {
		return count, count - newest.Own, true // what the other one did not send
	}
	for i := at; i >= max(at-countLooks, 0); i-- {
		if k := &x.messages[i]; k.user == user {
			return count, k.Own, true
		}
	}
	if at > countLooks || x.before > 0 {
		return 0, 0, false // an older one may be the user's
	}
	return count, 0, true
}

// recent gives the messages of the tail with seqs between from and to, and where the tail begins in
// the conversation. Messages above head are not shown yet.
func (t *tail) recent(key protocol.Conversation, head, from, to uint64) (r Recent) {
	r = Recent{Head: head, First: head + 1, Before: head}
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.talks[key]
	if x == nil {
		return r
	}
	messages := x.messages
	for len(messages) > 0 && messages[len(messages)-1].Seq > head { // not shown yet
		messages = messages[:len(messages)-1]
	}
	if len(messages) == 0 || messages[len(messages)-1].Seq != head {
		return r
	}
	r.First, r.Before = messages[0].Seq, x.before
	for _, k := range messages {
		if k.Seq >= from && k.Seq <= to {
			r.Messages = append(r.Messages, k)
		}
	}
	return r
}
