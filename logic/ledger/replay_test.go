package ledger_test

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// replay takes the record under way into the player's replica, as it comes out of its
// encoding, and holds what it does against the change of the ledger.
func (p *player) replay(batches []*logic.Batch, change *ledger.Change) {
	if p.game.checkpoint != 1 {
		return
	}
	var made, record hop.Record
	p.ledger.Record(batches, &made)
	if err := record.Decode(made.Append(nil)); err != nil {
		failf("the record cannot be read: %v", err)
	}
	for _, k := range p.replica.Lacks(&record) {
		p.replica[k] = &ledger.Loaded{Key: k}
	}
	var replayed ledger.Change
	if err := p.replica.Replay(&record, p.stamp, &replayed); err != nil {
		failf("%v", err)
	}
	for _, c := range change.Conversations {
		messages := change.Messages[c.Messages.Start:c.Messages.End]
		i := slices.IndexFunc(replayed.Conversations, func(r ledger.Changed) bool { return r.Key == c.Key })
		if i < 0 {
			if len(messages) > 0 || c.Devices.Len()+c.Gone.Len() > 0 {
				failf("replayed, nothing happens to %v", c.Key)
			}
			continue // counts that were learned
		}
		r := replayed.Conversations[i]
		if got := replayed.Messages[r.Messages.Start:r.Messages.End]; len(got) != len(messages) || len(got) > 0 && !reflect.DeepEqual(got, messages) {
			failf("replayed, %v gets the messages\n%+v, want\n%+v", c.Key, got, messages)
		}
		if r.Before.Head != c.Before.Head || r.After.Head != c.After.Head || r.After.Count != c.After.Count || r.After.Time != c.After.Time {
			failf("replayed, %v goes from %+v to %+v, want %+v to %+v", c.Key, r.Before, r.After, c.Before, c.After)
		}
		sameMembers(c.Key, replayed.Members[r.Members.Start:r.Members.End], change.Members[c.Members.Start:c.Members.End])
		sameDevices(c.Key, replayed.Devices[r.Devices.Start:r.Devices.End], change.Devices[c.Devices.Start:c.Devices.End])
		p.sameGone(c.Key, replayed.Gone[r.Gone.Start:r.Gone.End], change.Gone[c.Gone.Start:c.Gone.End])
	}
}

// sameMembers wants each member as it is written, but for counts that only memory knew.
func sameMembers(k key, got, want []ledger.Member) {
	for _, w := range want {
		i := slices.IndexFunc(got, func(m ledger.Member) bool { return m.User == w.User })
		if i < 0 {
			continue // only counts of it changed, or nothing did
		}
		g := got[i]
		if g.Delivered != w.Delivered || g.Read != w.Read || g.Total != w.Total || g.Counted && (g.Count != w.Count || g.Own != w.Own) || g.Counted && !w.Counted {
			failf("replayed, a member of %v is\n%+v, want\n%+v", k, g, w)
		}
	}
}

func sameDevices(k key, got, want []ledger.Device) {
	for _, w := range want {
		i := slices.IndexFunc(got, func(d ledger.Device) bool { return d.User == w.User && d.Device == w.Device })
		if i < 0 {
			failf("replayed, nothing happens to %+v of %v", w, k)
		}
		g := got[i]
		if g.MaxID != w.MaxID || g.Last != w.Last || g.Acked != w.Acked || g.Time != w.Time {
			failf("replayed, a device of %v is\n%+v, want\n%+v", k, g, w)
		}
	}
	if len(got) != len(want) {
		failf("replayed, devices of %v are\n%+v, want\n%+v", k, got, want)
	}
}

// sameGone wants the devices gone that made room. One whose acks were never written was
// never there.
func (p *player) sameGone(k key, got, want []ledger.Device) {
	same := func(of ledger.Device) func(ledger.Device) bool {
		return func(d ledger.Device) bool { return d.User == of.User && d.Device == of.Device }
	}
	for _, w := range want {
		if slices.ContainsFunc(p.replica[k].Devices, same(w)) {
			failf("replayed, %+v of %v is still there", w, k)
		}
	}
	for _, g := range got {
		if !slices.ContainsFunc(want, same(g)) {
			failf("replayed, %+v of %v is gone", g, k)
		}
	}
}

// TestReplayOfWhatIsKnown: a record may be replayed on states that have it, or more.
func TestReplayOfWhatIsKnown(t *testing.T) {
	d := newDesk(t, 64, 1)
	states := ledger.States{pair: {Key: pair}}
	var records []hop.Record
	for _, asks := range [][]ask{
		{ann.send(1), bob.ack(1), bob.send(1)},
		{bob.reads(1), annTwo.send(7), ann.send(2), ann.sendSilent(3)},
		{ann.ack(5), ann.send(4), bob.reads(9)},
	} {
		d.apply(asks...)
		var made, record hop.Record
		d.Record(d.batches, &made)
		if err := record.Decode(made.Append(nil)); err != nil {
			t.Fatal(err)
		}
		d.finish()
		records = append(records, record)
	}
	var change ledger.Change
	replay := func(r *hop.Record) {
		t.Helper()
		if err := states.Replay(r, 5, &change); err != nil {
			t.Fatal(err)
		}
	}
	for i := range records {
		replay(&records[i])
		if len(change.Messages) == 0 {
			t.Fatalf("record %d brings no message", i)
		}
	}
	want := *states[pair]
	want.Members, want.Devices = slices.Clone(want.Members), slices.Clone(want.Devices)
	if want.Head != 6 || want.Count != 5 {
		t.Fatalf("replayed there is %+v", want)
	}
	for i := range records {
		replay(&records[i])
		if len(change.Messages) != 0 {
			t.Fatalf("record %d brings messages that are there: %+v", i, change.Messages)
		}
	}
	if got := *states[pair]; !reflect.DeepEqual(got, want) {
		t.Fatalf("replayed twice there is\n%+v, want\n%+v", got, want)
	}
	loaded := []*ledger.Loaded{{Key: pair}}
	if err := d.store.Load(context.Background(), loaded); err != nil {
		t.Fatal(err)
	}
	sameDevices(pair, want.Devices, loaded[0].Devices)
	sameMembers(pair, want.Members, loaded[0].Members)
}

// TestReplayOfNonsense: what no ledger writes is an error and no panic.
func TestReplayOfNonsense(t *testing.T) {
	var change ledger.Change
	entry := hop.RecordEntry{Op: hop.OpMessage, Conversation: pair, User: 1, Device: 1, Seq: 1}
	record := hop.Record{Entries: []hop.RecordEntry{entry}}
	if err := (ledger.States{}).Replay(&record, 1, &change); err == nil {
		t.Error("a record is replayed on a conversation that was not loaded")
	}
	if err := (ledger.States{pair: {Key: pair}}).Replay(&record, 1, &change); err == nil {
		t.Error("a message without a frame is replayed")
	}
	record.Blob = protocol.Message{Target: pair.Target(1), Seq: 2, Sender: 1, Device: 1, ClientID: 1, Content: 1}.AppendFrame(nil)
	record.Entries[0].Frame.End = uint32(len(record.Blob))
	if err := (ledger.States{pair: {Key: pair}}).Replay(&record, 1, &change); err == nil {
		t.Error("a message is replayed under another seq than its own")
	}
}
