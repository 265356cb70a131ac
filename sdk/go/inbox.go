package gannet

import (
	"slices"
	"time"

	"gannet/protocol"
)

const (
	// maxStash and maxStashBytes bound what a client keeps of messages that came
	// before their turn; what does not fit is fetched again. A full window of
	// the default size in large messages of 1 KiB fits.
	maxStash      = 256
	maxStashBytes = 256 << 10

	// bodyChunk bounds the memory that bodies of one read share, so that keeping
	// one keeps little else.
	bodyChunk = 4 << 10
)

// inbox is what the reader knows of what arrives.
type inbox struct {
	conversations map[Target]*conversation
	recent        *conversation // the last one looked up

	stashed      int // entries in all stashes
	stashedBytes int

	bodies []byte // room for bodies that arrived with the read at hand

	waiting []*conversation // gaps that may close by themselves
	lagging []*conversation // the app is behind
	refused []*conversation // the app refused a message, which is to come again
	unacked []*conversation // received further than was said
	acked   []*conversation // of the last PUSHACKs
	records []record        // reused

	sync    syncing
	fetches fetches
	behind  bool // the app has not caught up since this connection began
}

// conversation is how far this device is in one of them.
type conversation struct {
	target   Target
	next     uint64  // the seq whose turn it is; 0: SYNC has not said yet
	goal     uint64  // the server has messages up to here that must be fetched
	received uint64  // everything up to here was received by the app
	stash    []early // what came before its turn, in order

	fetching bool // HISTORY is under way, or due
	lagging  bool // nothing is taken until the app has caught up
	waiting  bool // for a gap to close by itself, until deadline
	listed   bool // in inbox.waiting
	owed     bool // the server waits for a PUSHACK
	dirty    bool // in inbox.unacked

	gap      uint64    // next when the wait began
	deadline time.Time // of the wait
	until    time.Time // when what the app refused comes again; zero: it refused nothing
	request  uint32    // of the HISTORY under way; 0: not sent
	from     uint64    // the first seq that it asks for
	asked    time.Time // when it was sent
	retries  int
	retryAt  time.Time

	handing handing // under queue.mu
}

// early is a run of seqs that are done with though it is not their turn: a message
// to be delivered, or one of this device's own, or a hole.
type early struct {
	first, last uint64
	deliver     bool
	message     Message
}

func (in *inbox) init(s *saved) {
	in.sync.since = s.position
	in.sync.complete = s.position != 0
	for target, seq := range s.received {
		v := in.lookup(target)
		v.next, v.received = seq+1, seq
		v.handing.taken, v.handing.reach = seq, seq
	}
}

// lookup gives the conversation, making it when it is unknown. One that the
// first sync did not name is new, so it begins at 1.
func (in *inbox) lookup(target Target) *conversation {
	if v := in.recent; v != nil && v.target == target {
		return v
	}
	v := in.conversations[target]
	if v == nil {
		v = &conversation{target: target}
		if in.sync.complete {
			v.next = 1
		}
		if in.conversations == nil {
			in.conversations = make(map[Target]*conversation)
		}
		in.conversations[target] = v
	}
	in.recent = v
	return v
}

// keep copies a body out of the read buffer; left is how much of what was read
// is still to come, the body included.
func (in *inbox) keep(body []byte, left int) []byte {
	if len(body) == 0 {
		return nil
	}
	if cap(in.bodies)-len(in.bodies) < len(body) {
		in.bodies = make([]byte, 0, max(len(body), min(left, bodyChunk)))
	}
	start := len(in.bodies)
	in.bodies = append(in.bodies, body...)
	return in.bodies[start:len(in.bodies):len(in.bodies)]
}

// stash keeps e until its turn; false says that there is no room.
func (in *inbox) stash(v *conversation, e early) bool {
	i, found := slices.BinarySearchFunc(v.stash, e.first, func(have early, first uint64) int {
		switch {
		case have.last < first:
			return -1
		case have.first > first:
			return 1
		}
		return 0
	})
	if found {
		return true
	}
	if in.stashed >= maxStash || in.stashedBytes+len(e.message.Body) > maxStashBytes {
		return false
	}
	v.stash = slices.Insert(v.stash, i, e)
	in.stashed++
	in.stashedBytes += len(e.message.Body)
	return true
}

// unstash drops the first n entries.
func (in *inbox) unstash(v *conversation, n int) {
	for i := range v.stash[:n] {
		in.stashedBytes -= len(v.stash[i].message.Body)
	}
	in.stashed -= n
	if n == len(v.stash) {
		v.stash = nil
	} else {
		v.stash = slices.Delete(v.stash, 0, n)
	}
}

// missing counts the seqs before the last stashed message of others that are
// neither received nor stashed.
func (v *conversation) missing() uint64 {
	var n, missing uint64
	next := v.next
	for i := range v.stash {
		e := &v.stash[i]
		if e.first > next {
			n += e.first - next
		}
		next = max(next, e.last+1)
		if e.deliver {
			missing = n
		}
	}
	return missing
}

// hangUp forgets what belonged to the connection. What is missing is named by
// the next SYNC.
func (in *inbox) hangUp() {
	for _, v := range in.waiting {
		v.waiting, v.listed = false, false
	}
	in.waiting = nil
	in.fetches.hangUp()
	in.sync.request, in.sync.again, in.sync.retryAt = 0, false, time.Time{}
}

// address gives the conversation as this user addresses it, from how the user
// who made the frame does.
func (c *Client) address(target protocol.Target, by uint64) Target {
	if target.Kind == protocol.KindDirect && by != c.User() {
		target.ID = by
	}
	return targetOf(target)
}

// message gives what the app sees.
func (c *Client) message(in Target, m *protocol.Message, body []byte) Message {
	return Message{
		Conversation: in, Seq: m.Seq, Time: milliseconds(m.Time),
		Sender: m.Sender, Device: m.Device, ID: m.ClientID,
		Content: Content(m.Content), Body: body,
	}
}
