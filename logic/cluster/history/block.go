package history

import (
	"math"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// block is what one flush inserts, as columns. Of a conversation, member or device only the newest
// state is kept, so that a busy conversation is one row.
type block struct {
	kinds, contents, silents, linked      []uint8
	a, b, seqs, befores, senders, devices []uint64
	ids, previous, times, n, own          []uint64
	seconds                               []int64
	sizes                                 []uint32
	bodies                                []string

	conversations map[protocol.Conversation]versioned[ledger.Progress]
	members       map[memberKey]versioned[ledger.Member]
	known         map[deviceKey]versioned[knownDevice]
	lost          lostRows
	goals         map[chain.Queue]goal // how far the queues are when all of it is inserted

	bytes int
}

type goal struct {
	of   *fedQueue
	mark chain.Mark
}

type versioned[T any] struct {
	state   T
	version uint64
}

type memberKey struct {
	conversation protocol.Conversation
	user         uint64
}

type deviceKey struct {
	memberKey
	device uint64
}

type knownDevice struct {
	ledger.Device
	gone bool
}

// What rows count as beside their bodies: about what they take in memory.
const (
	messageCost = 120
	stateCost   = 150
)

func newBlock() *block {
	return &block{
		conversations: make(map[protocol.Conversation]versioned[ledger.Progress]),
		members:       make(map[memberKey]versioned[ledger.Member]),
		known:         make(map[deviceKey]versioned[knownDevice]),
		goals:         make(map[chain.Queue]goal),
	}
}

func (b *block) messages() int { return len(b.seqs) }

func (b *block) empty() bool {
	return len(b.seqs)+len(b.conversations)+len(b.members)+len(b.known)+len(b.lost.seqs)+len(b.goals) == 0
}

// add takes a record in and gives how many of its messages cannot be read.
func (b *block) add(fed *Fed) (refused int) {
	if fed.Change != nil {
		refused = b.addChange(fed.Change, fed.Version)
	} else if fed.Record != nil {
		refused = b.addEntries(fed.Record, fed.Version)
	}
	for _, l := range fed.States {
		b.addState(l, fed.Version)
	}
	if fed.Lost != (chain.Mark{}) {
		b.addLost(fed.Queue, fed.Lost, fed.States)
	}
	return refused
}

func (b *block) addChange(c *ledger.Change, version uint64) (refused int) {
	for i := range c.Conversations {
		x := &c.Conversations[i]
		before, count := x.Before.Head, x.Before.Count
		for _, m := range c.Messages[x.Messages.Start:x.Messages.End] {
			row := messageRow{before: before, previous: m.Previous, linked: true, silent: m.Count == count, n: m.Count, own: m.Own}
			if !b.addMessage(x.Key, m.Seq, m.Payload, row) {
				refused++
			}
			before, count = m.Seq, m.Count
		}
		b.progress(x.Key, x.After, version)
		for _, m := range c.Members[x.Members.Start:x.Members.End] {
			b.member(x.Key, m, version)
		}
		for _, d := range c.Devices[x.Devices.Start:x.Devices.End] {
			b.device(x.Key, knownDevice{Device: d}, version)
		}
		for _, d := range c.Gone[x.Gone.Start:x.Gone.End] {
			b.device(x.Key, knownDevice{Device: d, gone: true}, version)
		}
	}
	return refused
}

// addEntries takes in the messages of a record that was read from the queue. Such a record does not
// say what a device sent before, so the rows are not linked.
func (b *block) addEntries(r *hop.Record, version uint64) (refused int) {
	jumps := make(map[protocol.Conversation]uint64) // the seq before a hole
	for i := range r.Entries {
		e := &r.Entries[i]
		switch e.Op {
		case hop.OpHole:
			var hole protocol.Range
			if frame := r.Bytes(i); len(frame) < protocol.HeaderSize || hole.Decode(frame[protocol.HeaderSize:]) != nil || hole.First == 0 {
				refused++
				continue
			}
			jumps[e.Conversation] = hole.First - 1
		case hop.OpMessage:
			before, jumped := jumps[e.Conversation]
			if delete(jumps, e.Conversation); !jumped {
				before = e.Seq - 1
			}
			frame := r.Bytes(i)
			row := messageRow{before: before, silent: e.Flags&hop.FlagSilent != 0, n: e.N, own: e.Own}
			if len(frame) < protocol.HeaderSize || !b.addMessage(e.Conversation, e.Seq, frame[protocol.HeaderSize:], row) {
				refused++
			}
		case hop.OpGone:
			b.device(e.Conversation, knownDevice{Device: ledger.Device{User: e.User, Device: e.Device, Acked: e.Seq}, gone: true}, version)
		}
	}
	return refused
}

func (b *block) addState(l *ledger.Loaded, version uint64) {
	if l.Err != nil || l.Head == 0 {
		return
	}
	b.progress(l.Key, l.Progress, version)
	for _, m := range l.Members {
		b.member(l.Key, m, version)
	}
	for _, d := range l.Devices {
		b.device(l.Key, knownDevice{Device: d}, version)
	}
}

// messageRow is what a message's row has beside the message.
type messageRow struct {
	before, previous, n, own uint64
	linked, silent           bool
}

func (b *block) addMessage(key protocol.Conversation, seq uint64, payload []byte, row messageRow) bool {
	var m protocol.Message
	if m.Decode(payload) != nil || m.Seq != seq || m.Conversation() != key || m.Seq == 0 || row.before >= seq || len(m.Body) > protocol.MaxBody {
		return false
	}
	b.kinds, b.a, b.b = append(b.kinds, uint8(key.Kind)), append(b.a, key.A), append(b.b, key.B)
	b.seqs, b.befores = append(b.seqs, m.Seq), append(b.befores, row.before)
	b.senders, b.devices, b.ids = append(b.senders, m.Sender), append(b.devices, m.Device), append(b.ids, m.ClientID)
	b.previous, b.linked = append(b.previous, row.previous), append(b.linked, bit(row.linked))
	b.times, b.seconds = append(b.times, m.Time), append(b.seconds, int64(min(m.Time/1000, math.MaxUint32)))
	b.contents, b.silents = append(b.contents, uint8(m.Content)), append(b.silents, bit(row.silent))
	b.n, b.own = append(b.n, row.n), append(b.own, row.own)
	b.sizes, b.bodies = append(b.sizes, uint32(len(m.Body))), append(b.bodies, string(m.Body))
	b.bytes += messageCost + len(m.Body)
	return true
}

func bit(is bool) uint8 {
	if is {
		return 1
	}
	return 0
}

func (b *block) progress(key protocol.Conversation, p ledger.Progress, version uint64) {
	put(b, b.conversations, key, p, version)
}

func (b *block) member(key protocol.Conversation, m ledger.Member, version uint64) {
	put(b, b.members, memberKey{key, m.User}, m, version)
}

func (b *block) device(key protocol.Conversation, d knownDevice, version uint64) {
	put(b, b.known, deviceKey{memberKey{key, d.User}, d.Device.Device}, d, version)
}

// put keeps the newest state of something. Queues do not share conversations, so versions
// of one key can be compared.
func put[K comparable, T any](b *block, states map[K]versioned[T], key K, state T, version uint64) {
	old, found := states[key]
	if !found {
		b.bytes += stateCost
	} else if old.version > version {
		return
	}
	states[key] = versioned[T]{state, version}
}
