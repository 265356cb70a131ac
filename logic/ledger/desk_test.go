package ledger_test

import (
	"context"
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// desk is a ledger over a store, for tests that tell a story. The stories happen
// in one conversation, pair, unless they say otherwise.
type desk struct {
	*ledger.Ledger
	t          *testing.T
	store      *store
	options    ledgerOptions
	now, stamp uint64
	change     *ledger.Change
	batches    []*logic.Batch
	room       int    // for acks, in each record
	walks      int    // of the last do
	evictions  uint64 // client ids of evict
}

var pair = key{Kind: protocol.KindDirect, A: 1, B: 2}

// The devices of the stories.
var (
	ann    = origin{1, 1}
	annTwo = origin{1, 2}
	bob    = origin{2, 1}
)

func newDesk(t *testing.T, cache int, checkpoint uint64) *desk {
	d := &desk{
		t: t, store: newStore(checkpoint), now: 1_700_000_000_000,
		options: ledgerOptions{Queues: 1, Conversations: cache, Checkpoint: checkpoint, ClientIDs: 1 << 20},
	}
	d.renew(func(*ledgerOptions) {})
	return d
}

type ledgerOptions = ledger.Options

// renew makes the ledger anew with other options.
func (d *desk) renew(change func(*ledgerOptions)) {
	change(&d.options)
	d.Ledger = ledger.New(d.options, d.store)
}

// ask is an entry of a story.
type ask struct {
	lane
	op     hop.Op
	n      uint64 // client id or seq
	silent bool
}

func (o origin) in(k key) lane            { return lane{k, o} }
func (l lane) send(id uint64) ask         { return ask{l, hop.OpMessage, id, false} }
func (l lane) ack(seq uint64) ask         { return ask{l, hop.OpAck, seq, false} }
func (l lane) reads(seq uint64) ask       { return ask{l, hop.OpRead, seq, false} }
func (o origin) send(id uint64) ask       { return o.in(pair).send(id) }
func (o origin) ack(seq uint64) ask       { return o.in(pair).ack(seq) }
func (o origin) reads(seq uint64) ask     { return o.in(pair).reads(seq) }
func (o origin) sendSilent(id uint64) ask { return ask{o.in(pair), hop.OpMessage, id, true} }
func (o origin) sends(from, to uint64) (all []ask) {
	for id := from; id <= to; id++ {
		all = append(all, o.send(id))
	}
	return all
}

// batch makes a batch of what is asked.
func batchOf(asks []ask) *logic.Batch {
	b := &logic.Batch{}
	for _, a := range asks {
		if a.op == hop.OpMessage {
			addMessage(b, a.lane, a.n, a.silent)
			continue
		}
		b.Entries = append(b.Entries, logic.Entry{Op: a.op, Conversation: a.key, User: a.by.user, Device: a.by.device, Seq: a.n})
	}
	return b
}

// apply works one record out, which is neither written nor settled.
func (d *desk) apply(asks ...ask) []logic.Entry {
	d.t.Helper()
	entries, err := d.tryApply(false, asks...)
	if err != nil {
		d.t.Fatalf("Apply: %v", err)
	}
	return entries
}

func (d *desk) tryApply(acks bool, asks ...ask) ([]logic.Entry, error) {
	d.stamp++
	d.store.reset()
	d.batches = []*logic.Batch{batchOf(asks)}
	var err error
	d.change, err = d.Apply(context.Background(), ledger.Input{Batches: d.batches, Stamp: d.stamp, Now: d.now, Acks: acks, Room: d.room})
	return d.batches[0].Entries, err
}

// finish makes what was worked out durable and shows it.
func (d *desk) finish() {
	d.store.commit(d.change)
	d.Settle()
}

// do works a record out, writes and settles it. What is busy is asked again, as a client
// does, once the windows are read.
func (d *desk) do(asks ...ask) []logic.Entry {
	d.t.Helper()
	entries := d.apply(asks...)
	d.finish()
	d.walks = 0
	for try := 0; ; try++ {
		var again []ask
		var places []int
		for i, e := range entries {
			if isBusy(e) {
				again, places = append(again, asks[i]), append(places, i)
			}
		}
		if len(again) == 0 {
			return entries
		}
		if try == 10 {
			d.t.Fatalf("%d entries are told busy without end", len(again))
		}
		d.recall()
		for i, e := range d.apply(again...) {
			entries[places[i]] = e
		}
		d.finish()
	}
}

// recall reads back all windows that wait.
func (d *desk) recall() {
	d.store.reset()
	for d.Recall(context.Background()) {
		d.walks += d.store.calls.walks
		d.store.reset()
	}
}

func isBusy(e logic.Entry) bool {
	return e.Outcome == logic.Refused && e.Code == protocol.CodeBusy && e.RetryAfter == busyRetry
}

// writeAcks writes a record of all acks that wait.
func (d *desk) writeAcks() {
	d.t.Helper()
	if _, err := d.tryApply(true); err != nil {
		d.t.Fatalf("Apply: %v", err)
	}
	d.finish()
}

// evict sends to other conversations until no cache has room for pair.
func (d *desk) evict() {
	d.t.Helper()
	for i := range uint64(10) {
		d.evictions++
		d.do(lane{key{Kind: protocol.KindGroup, A: 100 + i}, origin{9, 9}}.send(d.evictions))
	}
}

// state is what a user sees.
type state struct {
	head, delivered, read, acked, unread uint64
	counted                              bool // unread is known
}

func (d *desk) see(o origin) state { return d.seeIn(pair, o) }

func (d *desk) seeIn(k key, o origin) (s state) {
	d.t.Helper()
	err := d.View(context.Background(), k, func(v ledger.View) {
		m := v.Member(o.user)
		s = state{head: v.Head, delivered: m.Delivered, read: m.Read, acked: v.Acked(o.user, o.device)}
		if s.unread, s.counted = v.Unread(m); !s.counted {
			s.unread = 0
		}
	})
	if err != nil {
		d.t.Fatalf("View: %v", err)
	}
	return s
}

func (d *desk) want(o origin, want state) {
	d.t.Helper()
	if got := d.see(o); got != want {
		d.t.Fatalf("user %d sees %+v, want %+v", o.user, got, want)
	}
}

func (d *desk) wantNew(e logic.Entry, seq uint64) {
	d.t.Helper()
	if e.Outcome != logic.Applied || e.Seq != seq || e.Time != d.now {
		d.t.Fatalf("client id %d: outcome %d, seq %d, time %d; want a new message with seq %d, time %d", e.ClientID, e.Outcome, e.Seq, e.Time, seq, d.now)
	}
}

func (d *desk) wantRepeated(e, first logic.Entry) {
	d.t.Helper()
	if e.Outcome != logic.Repeated || e.Seq != first.Seq || e.Time != first.Time {
		d.t.Fatalf("client id %d: outcome %d, seq %d, time %d; want a repeat of seq %d, time %d", e.ClientID, e.Outcome, e.Seq, e.Time, first.Seq, first.Time)
	}
}

func (d *desk) wantOutcome(e logic.Entry, want logic.Outcome) {
	d.t.Helper()
	if e.Outcome != want {
		d.t.Fatalf("op %d, id %d, seq %d: outcome %d, want %d", e.Op, e.ClientID, e.Seq, e.Outcome, want)
	}
}
