package ledger_test

import (
	"context"
	"slices"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// busyRetry is how much later a client that is told busy asks again.
const busyRetry = 100 * time.Millisecond

func (p *player) mine(k key) bool { return k.Partition()%p.game.queues == 0 }

// checkEntries has the model carry out what was asked and compares what became of
// each entry.
func (p *player) checkEntries(asked, got []logic.Entry, denied calls) {
	p.checkLoads(asked, denied)
	for _, e := range asked {
		if e.Op != hop.OpRead && p.mine(e.Conversation) && !denied.failedTalks[e.Conversation] {
			p.pending(e.Conversation).record.named[origin{e.User, e.Device}] = true
		}
	}
	told, read, over := map[lane]bool{}, map[lane]bool{}, p.overloads(asked)
	for i, e := range asked {
		want := e
		l := lane{e.Conversation, origin{e.User, e.Device}}
		may, must := p.busy(e, told, over)
		busy := got[i].Outcome == logic.Refused && got[i].Code == protocol.CodeBusy
		lost := !p.mine(e.Conversation) || denied.failedTalks[e.Conversation]
		switch {
		case lost && !(busy && may) || got[i].Outcome == logic.Unknown && p.untold(e, l):
			want.Outcome = logic.Unknown
		case busy != must && !may:
			failf("entry %d, id %d of %v in %v, is busy: %v, which may be: %v, and must be: %v", i, e.ClientID, l.by, l.key, busy, may, must)
		case busy || must:
			want.Outcome, want.Code, want.RetryAfter = logic.Refused, protocol.CodeBusy, busyRetry
			if e.Op == hop.OpMessage {
				told[l], p.recalling[l] = true, true
			}
		default:
			want = p.pending(e.Conversation).carryOut(e, got[i].Outcome, p.stamp, p.now)
		}
		if e.Op == hop.OpMessage && !lost {
			read[l] = true
		}
		if p.trace != nil && len(asked) < 40 {
			p.notef("        op %d of %v in %v, id %d: outcome %d, code %d, seq %d, delivered %d, read %d",
				e.Op, l.by, l.key, e.ClientID, got[i].Outcome, got[i].Code, got[i].Seq, got[i].Delivered, got[i].Read)
		}
		if want.Outcome == logic.Unknown && got[i].Outcome == logic.Unknown {
			continue
		}
		if got[i] != want {
			failf("entry %d came back as\n%+v, want\n%+v", i, got[i], want)
		}
	}
	for l := range read {
		delete(p.unread, l) // the next one asks anew
	}
	if len(p.admitted) > 0 {
		failf("the ledger asked about %v, who begin nothing", p.admitted)
	}
}

// checkLoads says that nothing is loaded that nobody named, and not too much for one
// user.
func (p *player) checkLoads(asked []logic.Entry, denied calls) {
	for _, k := range denied.loaded {
		if !slices.ContainsFunc(asked, func(e logic.Entry) bool { return e.Conversation == k }) {
			failf("%v is loaded, and nobody named it", k)
		}
	}
	users := map[uint64]bool{}
	for _, e := range asked {
		users[e.User] = true
	}
	if p.game.loads > 0 && !users[0] && len(denied.loaded) > p.game.loads*len(users) {
		failf("%d conversations are loaded for %d users", len(denied.loaded), len(users))
	}
}

// untold says whether an entry is a retry, perhaps, of a device whose messages could
// not be gone through. Those of the record itself are known all the same.
func (p *player) untold(e logic.Entry, l lane) bool {
	if e.Op != hop.OpMessage || !p.unread[l] {
		return false
	}
	maxID, _ := p.talk(l.key).newest(l.by)
	return e.ClientID <= maxID
}

// checkChange compares what is to be written.
func (p *player) checkChange(change *ledger.Change, in ledger.Input) {
	due := map[key]bool{}
	for _, k := range p.due(in.Acks) {
		due[k] = true
		p.pending(k)
	}
	if change.Stamp != p.stamp {
		failf("the change has stamp %d, want %d", change.Stamp, p.stamp)
	}
	listed := map[key]bool{}
	var messages, members, devices, gone int
	for _, c := range change.Conversations {
		if listed[c.Key] {
			failf("%v is in the change twice", c.Key)
		}
		listed[c.Key] = true
		messages, members, devices = messages+c.Messages.Len(), members+c.Members.Len(), devices+c.Devices.Len()
		gone += c.Gone.Len()
		p.checkChanged(change, &c, due[c.Key])
	}
	if messages != len(change.Messages) || members != len(change.Members) || devices != len(change.Devices) || gone != len(change.Gone) {
		failf("the change has entries that belong to no conversation")
	}
	if n := messages + members + devices + gone; change.Empty() != (n == 0) {
		failf("Empty is %v of a change with %d entries", change.Empty(), n)
	}
	for k, t := range p.next {
		if !listed[k] {
			p.checkChanged(change, &ledger.Changed{Key: k, Before: p.talk(k).progress(), After: t.progress()}, due[k])
		}
	}
}

// checkChanged compares what is to be written of one conversation.
func (p *player) checkChanged(change *ledger.Change, c *ledger.Changed, due bool) {
	t, before := p.pending(c.Key), p.talk(c.Key)
	everything := due || before.head()/p.game.checkpoint != t.head()/p.game.checkpoint
	wrote := map[origin]bool{}
	for _, d := range change.Devices[c.Devices.Start:c.Devices.End] {
		o := origin{d.User, d.Device}
		if !everything || wrote[o] {
			failf("%v: device %v is written; due: %v, twice: %v", c.Key, o, everything, wrote[o])
		}
		wrote[o] = true
		if t.acked[o] != t.replayed(o, before.head()) {
			t.writtenAt[o], t.changed = p.stamp, p.stamp
		}
		if want := t.device(o); d != want {
			failf("%v: a device is written as\n%+v, want\n%+v", c.Key, d, want)
		}
	}
	for o, acked := range t.acked {
		if everything && acked != t.written[o] && !wrote[o] {
			failf("%v: the ack of %v is to be written and is not", c.Key, o)
		}
	}
	var gone []origin
	for _, d := range change.Gone[c.Gone.Start:c.Gone.End] {
		gone = append(gone, origin{d.User, d.Device})
		if before.device(gone[len(gone)-1]) != d {
			failf("%v: a device makes room as\n%+v, and was\n%+v", c.Key, d, before.device(gone[len(gone)-1]))
		}
	}
	slices.Reverse(gone)
	if !slices.Equal(gone, t.record.gone) {
		failf("%v: devices %v make room, want %v", c.Key, gone, t.record.gone)
	}
	p.checkMembers(change, c, t, everything)
	if c.Before != before.progress() || c.After != t.progress() {
		failf("%v: the change goes from %+v to %+v, want\n%+v to %+v", c.Key, c.Before, c.After, before.progress(), t.progress())
	}
	messages := change.Messages[c.Messages.Start:c.Messages.End]
	if fresh := t.messages[before.head():]; len(messages) != len(fresh) {
		failf("%v: %d messages are written, want %d", c.Key, len(messages), len(fresh))
	}
	last := map[origin]uint64{}
	for i, m := range t.messages {
		seq := uint64(i + 1)
		if last[m.by] <= uint64(t.room[m.by]) {
			last[m.by] = 0 // it made room since
		}
		if seq > before.head() {
			p.checkMessage(c.Key, t, messages[seq-before.head()-1], seq, last[m.by])
		}
		last[m.by] = seq
	}
}

func (p *player) checkMessage(k key, t *talk, got ledger.Message, seq, previous uint64) {
	m := t.messages[seq-1]
	if got.Seq != seq || got.Previous != previous || got.Count != t.count(seq) || got.Own != t.own(m.by.user, seq) {
		failf("%v: a message is written as seq %d, previous %d, count %d, own %d; want %d, %d, %d, %d", k,
			got.Seq, got.Previous, got.Count, got.Own, seq, previous, t.count(seq), t.own(m.by.user, seq))
	}
	d := decode(got.Payload)
	if d.Seq != seq || d.Time != m.time || d.Sender != m.by.user || d.Device != m.by.device || d.ClientID != m.id {
		failf("%v: message %d is written as %+v, want %+v", k, seq, d, m)
	}
}

func (p *player) checkMembers(change *ledger.Change, c *ledger.Changed, t *talk, everything bool) {
	wrote := map[uint64]bool{}
	for _, m := range change.Members[c.Members.Start:c.Members.End] {
		if raised := t.raisedAt[m.User] == p.stamp || t.record.raised[m.User]; !everything && !raised || wrote[m.User] {
			failf("%v: user %d is written; due: %v, read: %v, twice: %v", c.Key, m.User, everything, raised, wrote[m.User])
		}
		wrote[m.User] = true
		if m.Counted && p.learned[lane{c.Key, origin{m.User, 0}}] {
			t.counted[m.User] = true
		}
		if want := t.member(m.User); m != want {
			failf("%v: a user is written as\n%+v, want\n%+v", c.Key, m, want)
		}
	}
	for user := range t.read {
		if t.raisedAt[user] == p.stamp && !wrote[user] {
			failf("%v: the READ of user %d is not written", c.Key, user)
		}
		if t.record.raised[user] && !wrote[user] {
			failf("%v: what a device of user %d acked is not written", c.Key, user)
		}
		if everything && t.counted[user] != t.keptCounted[user] && !wrote[user] {
			failf("%v: the counts of user %d are to be written and are not", c.Key, user)
		}
	}
}

// checkRecord compares what goes to the queue.
func (p *player) checkRecord(batches []*logic.Batch, change *ledger.Change) {
	var record hop.Record
	p.ledger.Record(batches, &record)
	if record.Queue != 0 || record.Time != p.now {
		failf("the record is of queue %d at %d, want 0 at %d", record.Queue, record.Time, p.now)
	}
	at := 0
	for _, b := range batches {
		for _, e := range b.Entries {
			if e.Outcome != logic.Applied || e.Op == hop.OpAck {
				continue
			}
			if at == len(record.Entries) {
				failf("the record ends before op %d with seq %d of %v", e.Op, e.Seq, e.Conversation)
			}
			got := record.Entries[at]
			want := hop.RecordEntry{Op: e.Op, Conversation: e.Conversation, User: e.User, Device: e.Device, Seq: e.Seq, Frame: got.Frame}
			t := p.next[e.Conversation]
			if counts := e.Op == hop.OpMessage || got.Flags == hop.FlagCounted; counts {
				want.N, want.Own = t.count(e.Seq), t.own(e.User, e.Seq)
			}
			if e.Op == hop.OpMessage && e.Silent {
				want.Flags = hop.FlagSilent
			}
			if e.Op == hop.OpRead && t.counted[e.User] && t.read[e.User] == e.Seq {
				want.Flags = hop.FlagCounted
			}
			if got != want {
				failf("entry %d of the record is\n%+v, want\n%+v", at, got, want)
			}
			if frame := b.Blob[e.Frame.Start:e.Frame.End]; !slices.Equal(record.Bytes(at), frame) {
				failf("entry %d of the record has the frame %x, want %x", at, record.Bytes(at), frame)
			}
			at++
		}
	}
	var want []hop.RecordEntry
	for _, c := range change.Conversations {
		for _, d := range change.Devices[c.Devices.Start:c.Devices.End] {
			if d.Acked != p.next[c.Key].replayed(origin{d.User, d.Device}, c.Before.Head) {
				want = append(want, hop.RecordEntry{Op: hop.OpAck, Conversation: c.Key, User: d.User, Device: d.Device, Seq: d.Acked})
			}
		}
		for _, d := range change.Gone[c.Gone.Start:c.Gone.End] {
			want = append(want, hop.RecordEntry{Op: hop.OpGone, Conversation: c.Key, User: d.User, Device: d.Device, Seq: d.Acked})
		}
	}
	if !slices.Equal(record.Entries[at:], want) {
		failf("behind messages and READs the record has\n%+v, want\n%+v", record.Entries[at:], want)
	}
}

// look compares what readers see of every conversation.
func (p *player) look(when string) {
	for _, k := range talks {
		if !p.mine(k) {
			continue
		}
		t := p.talk(k)
		seen := false
		err := p.ledger.View(context.Background(), k, func(v ledger.View) {
			seen = true
			if want := t.progress(); v.Progress != want || v.Owes != t.owes {
				failf("%s: %v is seen as %+v (owes: %v), want %+v (%v)", when, k, v.Progress, v.Owes, want, t.owes)
			}
			for _, user := range append(usersOf(k), 99) {
				p.lookAs(when, v, k, t, user)
			}
			for _, o := range append(devicesOf(k), origin{99, 1}) {
				if got := v.Acked(o.user, o.device); got != t.acked[o] || got > v.Head {
					failf("%s: %v: device %v has acked %d of %d, want %d", when, k, o, got, v.Head, t.acked[o])
				}
			}
		})
		if err != nil || !seen {
			failf("%s: View of %v: %v", when, k, err)
		}
	}
}

func (p *player) lookAs(when string, v ledger.View, k key, t *talk, user uint64) {
	got, want := v.Member(user), t.member(user)
	want.Delivered = t.delivered(user)
	if got != want {
		failf("%s: %v: user %d is seen as\n%+v, want\n%+v", when, k, user, got, want)
	}
	if got.Delivered > v.Head || got.Read > got.Delivered {
		failf("%s: %v: user %d has read %d of %d delivered of %d", when, k, user, got.Read, got.Delivered, v.Head)
	}
	n, known := v.Unread(got)
	if known != (want.Read == 0 || want.Counted) || known && n != t.unread(user) {
		failf("%s: %v: user %d has %d unread (known: %v), want %d", when, k, user, n, known, t.unread(user))
	}
}
