package ledger_test

import (
	"context"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// admitted is what the ledger was told of a user who begins a conversation.
type admitted struct {
	user uint64
	wait time.Duration
}

// allow gives each user the right to begin some conversations more.
func (p *player) allow(n int) {
	for user := range uint64(4) {
		p.begins[user] += n
	}
}

// admit is what the ledger asks.
func (p *player) admit(user uint64) time.Duration {
	if user == 0 {
		failf("the server is asked whether it may begin a conversation")
	}
	if p.begins[user] > 0 {
		p.begins[user]--
		p.admitted = append(p.admitted, admitted{user, 0})
		return 0
	}
	p.admitted = append(p.admitted, admitted{user, toldWait})
	return toldWait - time.Microsecond
}

// wasAdmitted gives the model what the ledger was told: it must have asked in the same
// places.
func (p *player) wasAdmitted(user uint64) time.Duration {
	if !p.game.limited {
		return 0
	}
	if len(p.admitted) == 0 || p.admitted[0].user != user {
		failf("user %d begins a conversation, and the ledger asked about %v", user, p.admitted)
	}
	wait := p.admitted[0].wait
	p.admitted = p.admitted[1:]
	return wait
}

// recall has windows read back, if any wait.
func (p *player) recall(s *step) (did bool) {
	p.makeTrouble(s)
	did = p.ledger.Recall(context.Background())
	denied := p.store.calls
	p.endTrouble()
	if denied.loads > 0 || denied.walks > 1 || did != (denied.walks == 1) {
		failf("Recall gives %v; the source was asked for conversations %d times and for windows %d times", did, denied.loads, denied.walks)
	}
	users := map[uint64]bool{}
	for _, l := range denied.walked {
		p.notef("    the window of %v in %v is read, failure: %v", l.by, l.key, denied.failed || denied.failedWalks[l])
		if !p.recalling[l] {
			failf("the window of %v in %v is read, and nobody waits for it", l.by, l.key)
		}
		if users[l.by.user] {
			failf("two windows of user %d are read in one call", l.by.user)
		}
		users[l.by.user] = true
		delete(p.recalling, l)
		p.unread[l] = denied.failed || denied.failedWalks[l]
	}
	return did
}

// busy says whether an entry may be told busy, and must be. told are the devices of the
// record that were, over the conversations that may be too many for their users.
func (p *player) busy(e logic.Entry, told map[lane]bool, over map[overload]bool) (may, must bool) {
	l := lane{e.Conversation, origin{e.User, e.Device}}
	message := e.Op == hop.OpMessage
	if message && told[l] {
		return true, true
	}
	maxID, _ := p.talk(l.key).newest(l.by)
	return message && (e.ClientID <= maxID || p.recalling[l]) || over[overload{l.key, e.User}], false
}

// overload is a conversation that is one too many for a user.
type overload struct {
	key  key
	user uint64
}

// overloads gives all of a record.
func (p *player) overloads(entries []logic.Entry) map[overload]bool {
	over, named := map[overload]bool{}, map[overload]bool{}
	of := map[uint64]int{}
	for _, e := range entries {
		if x := (overload{e.Conversation, e.User}); !named[x] && p.mine(e.Conversation) {
			named[x] = true
			of[e.User]++
			over[x] = e.User != 0 && p.game.loads > 0 && of[e.User] > p.game.loads
		}
	}
	return over
}

// drain asks again for messages that were sent: once its window is read, each is judged.
func (p *player) drain() {
	for _, k := range talks {
		for _, o := range devicesOf(k) {
			l := lane{k, o}
			ids := p.tried[l]
			if len(ids) == 0 || !p.mine(k) {
				continue
			}
			for _, id := range []uint64{ids[len(ids)/2], ids[len(ids)-1]} {
				for try := 0; ; try++ {
					b := &logic.Batch{}
					addMessage(b, l, id, false)
					if p.ask(b); b.Entries[0].Outcome != logic.Unknown && b.Entries[0].Code != protocol.CodeBusy {
						break
					}
					if try == 3 {
						failf("%v: device %v asks for id %d and gets no answer", k, o, id)
					}
					for p.recall(&step{}) {
						p.ask(&logic.Batch{})
					}
				}
			}
		}
	}
}

// ask plays a record of one batch, which is settled.
func (p *player) ask(b *logic.Batch) {
	p.now++
	p.stamp++
	p.next = map[key]*talk{}
	batches := []*logic.Batch{b}
	asked := entriesOf(batches)
	in := ledger.Input{Batches: batches, Stamp: p.stamp, Now: p.now}
	p.store.reset()
	change, err := p.ledger.Apply(context.Background(), in)
	if err != nil {
		failf("Apply gives %v", err)
	}
	p.told = false
	p.checkEntries(asked, b.Entries, p.store.calls)
	p.checkChange(change, in)
	p.store.commit(change)
	p.checkRecord(batches, change)
	p.keep(change)
	p.ledger.Settle()
	p.settle(false)
}
