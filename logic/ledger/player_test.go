package ledger_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"gannet/logic"
	"gannet/logic/ledger"
)

// ackPause is what "written at most once a second" means in milliseconds.
const ackPause = 900

// player plays a game on a ledger and on the model and compares them.
type player struct {
	game    game
	ledger  *ledger.Ledger
	store   *store
	settled map[key]*talk // as readers should see it
	next    map[key]*talk // as the record under way will leave what it touches
	now     uint64
	stamp   uint64
	ids     map[origin]uint64 // the last client id that a device took
	tried   map[lane][]uint64
	odd     int           // ids that no well-behaved device sends
	learned map[lane]bool // users whose counts Learn was told of since the last Apply
	told    bool          // Learn was called since then

	recalling map[lane]bool // devices that were told busy, and whose windows were not read since
	unread    map[lane]bool // those whose windows could not be read
	begins    map[uint64]int
	replica   ledger.States // made from records alone
	admitted  []admitted    // what the ledger was told in this record
	rules     rules

	trace *strings.Builder // nil: nobody reads it
}

// play plays a game to the end or to the first promise that is not kept.
func play(g game, trace *strings.Builder) (err error) {
	p := &player{
		game: g, store: newStore(g.checkpoint), settled: map[key]*talk{},
		now: 1_700_000_000_000, ids: map[origin]uint64{}, tried: map[lane][]uint64{}, learned: map[lane]bool{}, trace: trace,
		recalling: map[lane]bool{}, unread: map[lane]bool{}, begins: map[uint64]int{}, replica: ledger.States{},
	}
	p.rules = rules{checkpoint: g.checkpoint, devices: cmp.Or(g.devices, 64), admit: p.wasAdmitted}
	options := ledger.Options{
		Queue: 0, Queues: g.queues, Conversations: g.cache, ClientIDs: g.clientIDs, Checkpoint: g.checkpoint,
		Loads: g.loads, Devices: g.devices,
	}
	if g.limited {
		options.Admit = p.admit
	}
	p.ledger = ledger.New(options, p.store)
	at := 0
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case mismatch:
			err = fmt.Errorf("step %d: %s", at, string(cause))
		default:
			err = fmt.Errorf("step %d: panic: %v\n%s", at, cause, debug.Stack())
		}
	}()
	for i := range g.steps {
		at = i
		p.step(i, &g.steps[i])
	}
	at++
	p.look("at the end")
	p.drain()
	return nil
}

func (p *player) notef(format string, args ...any) {
	if p.trace != nil {
		fmt.Fprintf(p.trace, format+"\n", args...)
	}
}

func (p *player) step(i int, s *step) {
	p.now = uint64(int64(p.now) + s.elapse)
	p.stamp++
	p.notef("step %d: %+d ms, stamp %d%s%s: %s", i, s.elapse, p.stamp,
		map[bool]string{true: ", all acks"}[s.acks], map[bool]string{true: fmt.Sprintf(", trouble %+v", s.trouble)}[s.trouble != trouble{}], endingNames[s.end])
	p.next = map[key]*talk{}
	var batches []*logic.Batch
	for _, actions := range s.batches {
		batches = append(batches, p.batch(actions))
	}
	asked := entriesOf(batches)
	for i := range asked {
		asked[i].Outcome = logic.Applied // what is not tried must say so
	}
	p.allow(s.begins)
	p.makeTrouble(s)
	p.checkDue()
	in := ledger.Input{Batches: batches, Stamp: p.stamp, Now: p.now, Acks: s.acks}
	change, err := p.ledger.Apply(context.Background(), in)
	denied := p.store.calls
	p.endTrouble()
	if denied.loads > 1 || denied.walks > 0 {
		failf("the source was asked for conversations %d times and for windows %d times", denied.loads, denied.walks)
	}
	if (err != nil) != denied.failed || err != nil && !errors.Is(err, errInjected) {
		failf("Apply gives %v; the source failed: %v", err, denied.failed)
	}
	p.told = false
	if err != nil {
		clear(p.learned)
		for _, e := range entriesOf(batches) {
			if e.Outcome != logic.Unknown {
				failf("Apply failed, yet an entry has outcome %d", e.Outcome)
			}
		}
		p.look("after Apply failed")
		return
	}
	p.checkEntries(asked, entriesOf(batches), denied)
	p.checkChange(change, in)
	p.look("before it is durable")
	if s.recalls[0] {
		p.recall(s)
	}
	switch s.end {
	case abandon:
		p.ledger.Abandon()
		clear(p.learned)
	case crashFirst:
		p.ledger.Forget()
		p.crash()
	case crashLater:
		p.replay(batches, change)
		p.store.commit(change)
		p.look("before it is settled")
		p.keep(change)
		maps.Copy(p.settled, p.next)
		p.ledger.Forget()
		p.crash()
	default:
		p.store.commit(change)
		p.look("before it is settled")
		p.checkRecord(batches, change)
		p.replay(batches, change)
		p.keep(change)
		p.ledger.Settle()
		p.settle(s.acks)
		if s.end == settleLost {
			p.look("before it is forgotten")
			p.ledger.Forget()
			p.crash()
		}
	}
	p.look("at the end of the step")
	if s.recalls[1] {
		p.recall(s)
	}
	p.learn(s.learns)
}

// entriesOf copies the entries of all batches.
func entriesOf(batches []*logic.Batch) (entries []logic.Entry) {
	for _, b := range batches {
		entries = append(entries, b.Entries...)
	}
	return entries
}

// makeTrouble sets up what the source will not do.
func (p *player) makeTrouble(s *step) {
	p.store.reset()
	p.store.fail, p.store.failTalks, p.store.failDevices = s.trouble.all, map[key]bool{}, map[origin]bool{}
	for i, k := range talks {
		p.store.failTalks[k] = s.trouble.talks>>i&1 != 0
		for _, o := range devicesOf(k) {
			p.store.failDevices[o] = s.trouble.devices&o.bit() != 0
		}
	}
	if s.looks {
		p.store.before = func() { p.look("while the source is asked") }
	}
}

func (p *player) endTrouble() {
	p.store.fail, p.store.failTalks, p.store.failDevices, p.store.before = false, nil, nil, nil
}

// talk gives a conversation as readers should see it.
func (p *player) talk(k key) *talk {
	if t := p.settled[k]; t != nil {
		return t
	}
	return newTalk()
}

// pending gives a conversation as the record under way leaves it, to be changed.
func (p *player) pending(k key) *talk {
	t := p.next[k]
	if t == nil {
		t = p.talk(k).clone()
		t.record = record{head: t.head(), named: map[origin]bool{}, limited: map[uint64]bool{}, raised: map[uint64]bool{}, rules: &p.rules}
		p.next[k] = t
	}
	return t
}

// keep takes in what the change made durable.
func (p *player) keep(change *ledger.Change) {
	for _, c := range change.Conversations {
		p.pending(c.Key).write(c.Before.Head,
			change.Members[c.Members.Start:c.Members.End], change.Devices[c.Devices.Start:c.Devices.End])
	}
}

// settle shows the record under way. What was due is written and owes nothing;
// whatever is unwritten owes from now on.
func (p *player) settle(acks bool) {
	for _, k := range p.due(acks) {
		p.pending(k).owes = false
	}
	maps.Copy(p.settled, p.next)
	for l := range p.learned { // it may not have been in memory any more
		t := p.talk(l.key)
		err := p.ledger.View(context.Background(), l.key, func(v ledger.View) {
			if v.Member(l.by.user).Counted {
				t.counted[l.by.user] = true
			}
		})
		if err != nil {
			failf("View of %v: %v", l.key, err)
		}
	}
	clear(p.learned)
	for _, t := range p.settled {
		if !t.owes && t.unwritten() {
			t.owes, t.since = true, p.now
		}
	}
}

// due gives the conversations whose acks have to be written by now.
func (p *player) due(acks bool) (list []key) {
	setBack := false
	for _, t := range p.settled {
		setBack = setBack || t.owes && t.since > p.now
	}
	for k, t := range p.settled {
		if t.owes && (acks || setBack || p.now-t.since >= ackPause) {
			list = append(list, k)
		}
	}
	return list
}

// checkDue asks whether the ledger wants to be called.
func (p *player) checkDue() {
	if p.told {
		return // what was learned may or may not be of use
	}
	for _, all := range []bool{false, true} {
		if got, want := p.ledger.Due(p.now, all), len(p.due(all)) > 0; got != want {
			failf("Due(all: %v) is %v, want %v", all, got, want)
		}
	}
}

// crash forgets what is not durable, in the model.
func (p *player) crash() {
	clear(p.learned)
	clear(p.recalling)
	clear(p.unread)
	for _, t := range p.settled {
		t.crash()
	}
}

// learn has readers look up what they could not know from View.
func (p *player) learn(how learning) {
	if how == learnNothing {
		return
	}
	for _, k := range talks {
		t := p.settled[k]
		if t == nil {
			continue
		}
		for _, user := range usersOf(k) {
			read := t.read[user]
			if read == 0 || t.counted[user] {
				continue
			}
			p.told = true
			if how == learnLate {
				p.ledger.Learn(k, user, read-1, 77, 7)
				continue
			}
			p.ledger.Learn(k, user, read, t.count(read), t.own(user, read))
			p.learned[lane{k, origin{user, 0}}] = true
		}
	}
}

func usersOf(k key) (users []uint64) {
	for _, o := range devicesOf(k) {
		users = append(users, o.user)
	}
	return slices.Compact(users)
}
