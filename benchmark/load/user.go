package load

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gannet/benchmark/meter"
	"gannet/protocol"
	gannet "gannet/sdk/go"
)

// user is one simulated user with one device. What a message costs here is
// taken from the server, which shares the cores: no map, no allocation and one
// look at the clock for each event.
type user struct {
	load   *Load
	index  int // among the load's users
	id     uint64
	client client
	wire   wire

	listens bool // only; see Config.Listeners

	// mu guards what goes out, for sends may come from the schedule's thread too.
	// It is taken before any lock of the client's.
	mu      sync.Mutex
	slots   []slot   // message n on its way is slots[n % len(slots)]
	sent    uint64   // counter of the last message sent
	ended   uint64   // counter of the last message acked or refused; acks come in order
	backlog []int64  // when messages were due for which there was no slot
	seqs    []uint64 // with Config.Seqs: that of each ended message, by counter; 0 when it was refused

	// These belong to the goroutine that calls the handlers, until it has ended.
	checks   []checker // of each conversation, in the order in which its turn comes
	clientID uint64    // of the last message acked

	acked, delivered atomic.Uint64
	heard            atomic.Uint64 // with Config.Seqs: seq of the newest message that came
	pushAcks         atomic.Uint64 // that a lean client sent
	again            atomic.Uint64 // messages that had to be sent again because the server refused them for the moment
	online           atomic.Bool
	ackTimes         meter.Sampler // guarded by mu
	deliverTimes     meter.Sampler // of the handlers' goroutine
}

// slot is a message on its way. The body is used again once it is acked.
type slot struct {
	body []byte
	due  int64
}

// dial logs the user in.
func (u *user) dial(ctx context.Context, address, token string, opts ...gannet.Option) (err error) {
	if u.load.config.SDK {
		u.client, err = dialSDK(ctx, u, address, token, opts...)
	} else {
		u.client, err = dialLean(ctx, u, address, token)
	}
	return err
}

// limitWindow keeps the messages on their way within so many bytes of frames, 0 for no
// bound; nothing is on its way yet.
func (u *user) limitWindow(bytes int) {
	if bytes == 0 {
		return
	}
	frame := len(protocol.Send{}.AppendFrame(nil, 0)) + u.load.config.Size
	u.slots = u.slots[:min(len(u.slots), max(1, bytes/frame))]
}

// fillWindow puts as many messages on their way as the window holds.
func (u *user) fillWindow(now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.listens {
		u.fill(now)
	}
}

// fill is fillWindow for who holds mu.
func (u *user) fill(now int64) {
	for u.sent-u.ended < u.room() && u.send(now) {
	}
}

// room gives how many messages may be on their way. A first message costs the server more
// than a later one, so a user who has not yet written to everybody is slower.
func (u *user) room() uint64 {
	if u.sent < uint64(len(u.checks)) {
		return uint64(min(len(u.slots), beginWindow))
	}
	return uint64(len(u.slots))
}

// sendDue sends a message that is due, now or as soon as there is room.
func (u *user) sendDue(due int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sent-u.ended == uint64(len(u.slots)) || len(u.backlog) > 0 {
		u.backlog = append(u.backlog, due)
		return
	}
	u.send(due)
}

// send sends the next message. mu is held and there is a free slot.
func (u *user) send(due int64) bool {
	counter := u.sent + 1
	s := u.slot(counter)
	if s.body == nil {
		s.body = make([]byte, u.load.config.Size)
	}
	s.due = due
	u.load.fill.write(s.body, header{Run: u.load.run, Sender: u.id, Counter: u.within(counter), Intended: due})
	if err := u.client.send(s.body); err != nil {
		u.load.Faults.Addf("user %d: message %d was not taken: %v", u.id, counter, err)
		return false
	}
	u.sent = counter
	return true
}

// sendNext sends another message in place of one that has ended, at once or after a rest;
// more of them once everybody in a ring has been written to.
// mu is held.
func (u *user) sendNext(now int64) {
	pace := u.load.config.Pace
	if pace == 0 {
		u.fill(now)
		return
	}
	time.AfterFunc(pace/2+rand.N(pace), func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if now := u.load.clock.now(); now < u.load.until.Load() {
			u.send(now)
		}
	})
}

// turn gives the conversation to which a message goes: they take turns.
func (u *user) turn(counter uint64) int { return int((counter - 1) % uint64(len(u.checks))) }

// within gives the number that a message has among the user's of its conversation.
func (u *user) within(counter uint64) uint64 { return (counter-1)/uint64(len(u.checks)) + 1 }

// with gives the conversation with another user, the first one if there is none.
func (u *user) with(id uint64) (turn int, ok bool) {
	return u.load.peers.turn(u.index, int(id-u.load.users[0].id))
}

// ackedTo gives how many messages to another one were acked.
func (u *user) ackedTo(peer *user) uint64 {
	turn, _ := u.with(peer.id)
	n := uint64(len(u.checks))
	return (u.acked.Load() + n - 1 - uint64(turn)) / n
}

// slot gives the place of a message on its way.
func (u *user) slot(counter uint64) *slot { return &u.slots[counter%uint64(len(u.slots))] }

// onDone takes the outcome of the oldest message on its way: its seq and client
// id, or an error.
func (u *user) onDone(clientID, seq uint64, err error) {
	now := u.load.clock.now()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended++
	counter := u.ended
	due := u.slot(counter).due
	switch {
	case len(u.backlog) > 0:
		if u.send(u.backlog[0]) {
			u.backlog = u.backlog[1:]
		}
	case u.load.config.Rate == 0 && now < u.load.until.Load():
		u.sendNext(now)
	}

	if u.load.config.Seqs {
		u.seqs = append(u.seqs, seq) // 0 with an error
	}
	if err != nil {
		u.load.Faults.Addf("user %d: message %d was not acked: %v", u.id, counter, err)
		return
	}
	if clientID <= u.clientID {
		u.load.Faults.Addf("user %d: the ack of client message id %d came after that of %d", u.id, clientID, u.clientID)
	}
	u.clientID = clientID
	u.checks[u.turn(counter)].acked(seq)
	if due >= u.load.from.Load() {
		u.ackTimes.Add(now - due)
	}
	u.acked.Add(1)
	u.load.gaps.add(now)
}

// onMessage takes a message that arrived.
func (u *user) onMessage(seq, sender uint64, body []byte) {
	turn, _ := u.with(sender) // a stranger's message is a fault in any conversation
	h, ok := u.checks[turn].received(seq, sender, body)
	if !ok {
		return
	}
	if h.Intended >= u.load.from.Load() {
		u.deliverTimes.Add(u.load.clock.now() - h.Intended)
	}
	u.delivered.Add(1)
	if u.load.config.Seqs {
		u.heard.Store(max(u.heard.Load(), seq))
	}
}

// onState follows whether the user is logged in.
func (u *user) onState(is bool, err error) {
	if was := u.online.Swap(is); was == is {
		return
	}
	if is {
		u.load.online.Add(1)
		return
	}
	u.load.online.Add(-1)
	if err != nil {
		u.load.lost(u.id, err)
	}
}

// pending gives how many messages wait for their ack, or to be sent at all.
func (u *user) pending() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent - u.ended + uint64(len(u.backlog))
}
