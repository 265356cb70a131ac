package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
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
	odd     int              // ids that no well-behaved device sends
	learned map[lane]bool    // users whose counts Learn was told of since the last Apply
	told    bool             // Learn was called since then
	trace   *strings.Builder // nil: nobody reads it
}

// play plays a game to the end or to the first promise that is not kept.
func play(g game, trace *strings.Builder) (err error) {
	p := &player{
		game: g, store: newStore(g.checkpoint), settled: map[key]*talk{},
		now: 1_700_000_000_000, ids: map[origin]uint64{}, tried: map[lane][]uint64{}, learned: map[lane]bool{}, trace: trace,
	}
	p.ledger = ledger.New(ledger.Options{
		Queue: 0, Queues: g.queues, Conversations: g.cache, ClientIDs: g.clientIDs, Checkpoint: g.checkpoint,
	}, p.store)
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
	p.makeTrouble(s)
	p.checkDue()
	in := ledger.Input{Batches: batches, Stamp: p.stamp, Now: p.now, Acks: s.acks}
	change, err := p.ledger.Apply(context.Background(), in)
	denied := p.store.calls
	p.endTrouble()
	if denied.loads > 1 || denied.walks > 1 {
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
	switch s.end {
	case abandon:
		p.ledger.Abandon()
		clear(p.learned)
	case crashFirst:
		p.ledger.Forget()
		p.crash()
	case crashLater:
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

// batch makes the entries of actions as things stand.
func (p *player) batch(actions []action) *logic.Batch {
	b := &logic.Batch{}
	for _, a := range actions {
		k := talks[a.talk]
		devices := devicesOf(k)
		l := lane{k, devices[a.who%len(devices)]}
		p.notef("    %s, n %d, by %d/%d in %v", verbNames[a.verb], a.n, l.by.user, l.by.device, k)
		n := uint64(a.n)
		head := p.talk(k).head()
		switch a.verb {
		case ackHead:
			p.cursor(b, l, hop.OpAck, head)
		case ackPast:
			p.cursor(b, l, hop.OpAck, head+1+n)
		case ackBelow:
			p.cursor(b, l, hop.OpAck, head-min(head, 1+n))
		case readHead:
			p.cursor(b, l, hop.OpRead, head)
		case readPast:
			p.cursor(b, l, hop.OpRead, head+1+n)
		case readBelow:
			p.cursor(b, l, hop.OpRead, head-min(head, 1+n))
		case sendBurst:
			for range n {
				p.send(b, l, p.nextID(l, 0), false)
			}
		case sendJump:
			p.send(b, l, p.nextID(l, 1+n), false)
		default:
			p.send(b, l, p.oldID(l, a.verb, n), a.verb == sendSilent)
		}
	}
	return b
}

func (p *player) cursor(b *logic.Batch, l lane, op hop.Op, seq uint64) {
	b.Entries = append(b.Entries, logic.Entry{Op: op, Conversation: l.key, User: l.by.user, Device: l.by.device, Seq: seq})
}

func (p *player) send(b *logic.Batch, l lane, id uint64, silent bool) {
	addMessage(b, l, id, silent)
	p.tried[l] = append(p.tried[l], id)
}

// nextID takes the device's next client id; ids rise over all its conversations.
func (p *player) nextID(l lane, skip uint64) uint64 {
	p.ids[l.by] += 1 + skip
	return p.ids[l.by]
}

// oldID chooses a client id that is perhaps not new.
func (p *player) oldID(l lane, v verb, n uint64) uint64 {
	tried := p.tried[l]
	if v == sendNext || v == sendSilent || len(tried) == 0 || p.odd > protocol.MaxUnacked/4 {
		return p.nextID(l, 0)
	}
	highest := slices.Max(tried)
	switch v {
	case sendRepeat:
		if n > 6 {
			n *= uint64(len(tried)) / 12
		}
		return tried[uint64(len(tried)-1)-min(n, uint64(len(tried)-1))]
	case sendLeftOut:
		p.odd++
		return max(highest, n+2) - n - 1
	default:
		p.odd++
		return max(highest, protocol.MaxUnacked+200*n+1) - protocol.MaxUnacked - 200*n
	}
}

// addMessage appends a SEND to a batch as logic does.
func addMessage(b *logic.Batch, l lane, id uint64, silent bool) {
	start := len(b.Blob)
	b.Blob = protocol.Message{
		Target: l.key.Target(l.by.user), Sender: l.by.user, Device: l.by.device, ClientID: id,
		Content: protocol.ContentText, Body: fmt.Appendf(nil, "message %d", id),
	}.AppendFrame(b.Blob)
	b.Entries = append(b.Entries, logic.Entry{
		Op: hop.OpMessage, Silent: silent, Conversation: l.key, User: l.by.user, Device: l.by.device, ClientID: id,
		Frame: hop.Span{Start: uint32(start), End: uint32(len(b.Blob))},
	})
}
