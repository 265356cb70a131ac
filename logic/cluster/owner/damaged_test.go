//go:build cluster

package owner_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"gannet/internal/chain"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

// talkKey gives the key of the sender's conversation in Redis.
func (l *losing) talkKey(s *sender) string {
	k := s.key()
	queue := chain.Queue{Class: chain.Chat, Number: k.Partition() % l.queues}
	key := append([]byte("{"+l.name+"."+queue.Class.String()+"."+string(rune('0'+queue.Number))+"}c"), byte(k.Kind))
	return string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(key, k.A), k.B))
}

// damages are what Redis may have of a conversation, by what is wrong with it.
var damages = map[string]func(l *losing, key string) error{
	"short":       func(l *losing, key string) error { return l.node.redis.HSet(l.t.Context(), key, "p", "\x01\x00").Err() },
	"no progress": func(l *losing, key string) error { return l.node.redis.HDel(l.t.Context(), key, "p").Err() },
	"garbage":     func(l *losing, key string) error { return l.node.redis.HSet(l.t.Context(), key, "p", "garbage").Err() },
	"a member": func(l *losing, key string) error {
		return l.node.redis.HSet(l.t.Context(), key, "m12345678", "\x01").Err()
	},
	"gone": func(l *losing, key string) error { return l.node.redis.Del(l.t.Context(), key).Err() },
	"another type": func(l *losing, key string) error {
		if err := l.node.redis.Del(l.t.Context(), key).Err(); err != nil {
			return err
		}
		return l.node.redis.Set(l.t.Context(), key, "garbage", 0).Err()
	},
}

// others gives what readers are shown of all conversations but that of the first two senders,
// and checks that they are shown something.
func (l *losing) others() [][]protocol.State {
	l.t.Helper()
	all := l.shown()
	if all == nil {
		l.t.Fatal("others are told to wait for one conversation")
	}
	return all[2:]
}

// counts waits until so many conversations are counted as brought back, and as unavailable. A
// conversation is counted after readers are shown it again.
func (l *losing) counts(repaired, unavailable uint64) {
	l.t.Helper()
	eventually(l.t, fmt.Sprintf("%d repaired and %d unavailable conversations are counted", repaired, unavailable), func() bool {
		v := l.node.owner.Vars()
		return v["repair.conversations"] == repaired && v["unavailable.conversations"] == unavailable
	})
}

// unavailable checks that the conversation of the first two senders is, and no other.
func (l *losing) unavailable() {
	l.t.Helper()
	s := l.list[0]
	if e, err := s.try(l.node, uint64(len(s.seqs)+1)); err != nil || e.Outcome != logic.Unknown {
		l.t.Fatalf("a damaged conversation takes a message: %+v, %v", e, err)
	}
	if _, err := l.node.owner.Recent(l.t.Context(), s.key(), 0, 100); !errors.Is(err, logic.ErrUnavailable) {
		l.t.Fatalf("a damaged conversation is read: %v", err)
	}
	if all := l.shown(); len(all) != len(l.list) || len(all[0])+len(all[1]) != 0 {
		l.t.Fatalf("whose only conversation is damaged is shown %+v", all)
	}
	if v := l.node.owner.Vars(); v["unavailable.conversations"] != 1 || v["damaged.conversations"] != 1 {
		l.t.Errorf("the counters say %v", v)
	}
	for _, other := range l.list[2:] {
		if e := other.send(func() []*node { return []*node{l.node} }, uint64(len(other.seqs)+1)); e.Outcome == logic.Applied {
			other.seqs = append(other.seqs, e.Seq)
		} else {
			l.t.Fatalf("another conversation is answered with %+v", e)
		}
	}
}

// TestDamagedIsReplayed: a queue is taken over although a conversation is damaged of which
// records are to be replayed; it comes back from the history and the queue, or from a short
// queue alone.
func TestDamagedIsReplayed(t *testing.T) {
	for what, damage := range damages {
		for _, aged := range []bool{false, true} {
			t.Run(what, func(t *testing.T) {
				l := newTalked(t)
				if aged {
					l.aged()
				}
				before := l.older()
				must(t, damage(l, l.talkKey(l.list[0])))
				l.node = l.start(2)
				l.node.waitOwned()
				if got := l.others(); !reflect.DeepEqual(got, before[2:]) {
					t.Fatalf("others are shown\n%+v, were\n%+v", got, before[2:])
				}
				eventually(t, "it is back", func() bool { return reflect.DeepEqual(l.shown(), before) })
				l.counts(1, 0)
				if v := l.node.owner.Vars(); v["damaged.conversations"] != 1 || v["repair.rebuilds"] != 0 {
					t.Errorf("the counters say %v", v)
				}
				l.whole()
			})
		}
	}
}

// TestDamagedIsNotForgotten: a conversation of which records were left out lacks them, although
// somebody removes what was damaged of it and its owner died meanwhile: it stays unavailable until
// it is back.
func TestDamagedIsNotForgotten(t *testing.T) {
	l := newTalked(t)
	l.aged()
	before := l.older()
	key := l.talkKey(l.list[0])
	must(t, damages["a member"](l, key))
	l.archive.left.Store(0)
	l.node = l.start(2)
	l.node.waitOwned()
	l.unavailable()
	l.node.stop()
	must(t, l.node.redis.HDel(t.Context(), key, "m12345678").Err())
	l.node = l.start(3)
	l.node.waitOwned()
	l.unavailable()
	l.archive.left.Store(ever)
	eventually(t, "it is back", func() bool { return reflect.DeepEqual(l.firstTwo(), before[:2]) })
	l.whole()
}

// TestDamagedIsNoticed: what readers could not read reaches the owner, whoever else asks how the
// view is.
func TestDamagedIsNoticed(t *testing.T) {
	l := newTalked(t)
	l.aged()
	s := l.list[0]
	release := l.node.owner.Hold()
	must(t, damages["garbage"](l, l.talkKey(s)))
	l.others()
	v, err := view.New(l.node.redis, view.Options{Name: l.name, Queues: queuesOf(l.queues), Counts: l.archive})
	must(t, err)
	w, err := v.Writer(queuesOf(l.queues)[s.key().Partition()%l.queues])
	must(t, err)
	for range 2 { // as gannet mend does
		if state, err := w.State(t.Context()); err != nil || state.Suspect == nil || *state.Suspect != s.key() {
			t.Errorf("who asks is told of %v, %v", state.Suspect, err)
		}
	}
	release()
	eventually(t, "it is back", func() bool { return l.node.owner.Vars()["repair.conversations"] == 1 })
	eventually(t, "the note is heeded", func() bool {
		state, err := w.State(t.Context())
		return err == nil && state.Suspect == nil
	})
	l.whole()
}

// TestDamagedIsShown: a conversation that is damaged while its owner has it in memory is
// left out of lists, the others are shown, and it comes back as soon as anybody noticed,
// though messages come meanwhile.
func TestDamagedIsShown(t *testing.T) {
	for what, damage := range damages {
		t.Run(what, func(t *testing.T) {
			l := newTalked(t)
			l.aged()
			before := l.others()
			s := l.list[0]
			l.archive.beforeParts(func() {
				if e, err := s.try(l.node, 12); err != nil || e.Outcome == logic.Applied {
					t.Errorf("while it is brought back a message gets %+v, %v", e, err)
				}
			})
			must(t, damage(l, l.talkKey(s)))
			e, err := s.try(l.node, uint64(len(s.seqs)+1))
			if must(t, err); e.Outcome != logic.Applied || e.Seq != 11 {
				t.Fatalf("a message gets %+v", e)
			}
			s.seqs = append(s.seqs, e.Seq)
			eventually(t, "it is back", func() bool {
				if got := l.others(); !reflect.DeepEqual(got, before) {
					t.Fatalf("others are shown\n%+v, were\n%+v", got, before)
				}
				all := l.shown()
				return len(all[0]) == 1 && all[0][0].Head == 11 && len(all[1]) == 1
			})
			if what == "a member" || what == "gone" || what == "another type" {
				l.counts(1, 0)
			} else { // the message alone mends what it writes anew
				l.counts(0, 0)
			}
			l.whole()
		})
	}
}

// TestDamagedIsFed: a damaged conversation does not keep others from the history. It comes
// back first, so that the history has all of it too.
func TestDamagedIsFed(t *testing.T) {
	l := newTalked(t)
	l.aged()
	l.talkUnfed()
	before := l.shown()
	l.node.stop()
	must(t, damages["garbage"](l, l.talkKey(l.list[0])))
	for id := uint64(2); id <= 3; id++ { // whoever cannot bring it back yet ends all the same
		l.node.stop()
		l.node = l.start(id)
		l.node.waitOwned()
		l.unavailable()
	}
	l.archive.left.Store(ever)
	l.waitFed()
	if got := l.shown(); !reflect.DeepEqual(got[:2], before[:2]) {
		t.Errorf("fed there is\n%+v, was\n%+v", got[:2], before[:2])
	}
	for _, s := range l.list {
		l.archive.mu.Lock()
		if state := l.archive.states[s.key()]; state.Head != uint64(len(l.archive.talks[s.key()])) || len(state.Members) != 2 {
			t.Errorf("of %v the history has %+v", s.key(), state)
		}
		l.archive.mu.Unlock()
	}
	l.whole()
}

// TestDamagedForGood: a conversation of which neither history nor queue have everything stays
// unavailable, for the next owner too; all else goes on, and what the history is told of it
// does not let its seqs be given out again.
func TestDamagedForGood(t *testing.T) {
	l := newLosingWith(t, func(l *losing) { l.tune = func(o *owner.Options) { o.History = nil } })
	l.talk()
	l.flush()
	l.aged()
	l.talkUnfed()
	s := l.list[0]
	l.node.stop()
	must(t, damages["garbage"](l, l.talkKey(s)))
	for id := uint64(2); id <= 3; id++ {
		l.node = l.start(id)
		l.node.waitOwned()
		l.unavailable()
		l.archive.left.Store(ever)
		l.waitFed()
		l.unavailable()
		l.node.stop()
	}
	l.archive.mu.Lock()
	state := l.archive.states[s.key()]
	l.archive.mu.Unlock()
	if state.Head != 20 {
		t.Errorf("the history is told that the head is %d, want 20", state.Head)
	}
	l.node = l.start(4)
	l.node.waitOwned()
	l.check([]*node{l.node}, l.list[2:])
}

// TestDamagedInBoth: what the history has of a conversation may be damaged as well. Then it
// stays unavailable, and never begins anew; it is back when the history has it again.
func TestDamagedInBoth(t *testing.T) {
	l := newTalked(t)
	l.aged()
	before := l.shown()
	s := l.list[0]
	l.bad(s, true)
	l.node.stop()
	must(t, damages["another type"](l, l.talkKey(s)))
	l.node = l.start(2)
	l.node.waitOwned()
	l.unavailable()
	eventually(t, "it is given up", func() bool { return l.node.owner.Vars()["repair.short"] > 0 })
	l.unavailable()
	l.node.stop()
	l.bad(s, false)
	l.node = l.start(3)
	l.node.waitOwned()
	eventually(t, "it is back", func() bool { return reflect.DeepEqual(l.firstTwo(), before[:2]) })
	l.whole()
}

// TestDamagedAndForsaken: once the history went on without a conversation it does not come
// back, although the history has it again: what that lacks nobody knows.
func TestDamagedAndForsaken(t *testing.T) {
	l := newTalked(t)
	l.aged()
	l.bad(l.list[0], true)
	l.talkUnfed()
	l.node.stop()
	s := l.list[0]
	must(t, damages["garbage"](l, l.talkKey(s)))
	l.archive.left.Store(ever)
	l.node = l.start(2)
	l.node.waitOwned()
	l.waitFed()
	l.unavailable()
	l.node.stop()
	l.bad(s, false)
	// Another one of the queue is brought back, and with it all that may be.
	i := slices.IndexFunc(l.list[2:], func(x *sender) bool { return x.key().Partition()%l.queues == s.key().Partition()%l.queues })
	must(t, damages["garbage"](l, l.talkKey(l.list[2+i])))
	l.node = l.start(3)
	l.node.waitOwned()
	for _, x := range []*sender{s, l.list[2+i]} {
		if _, err := l.node.owner.Recent(t.Context(), x.key(), 0, 100); !errors.Is(err, logic.ErrUnavailable) {
			t.Fatalf("a damaged conversation is read: %v", err)
		}
	}
	eventually(t, "the other is back", func() bool { return len(l.shown()[2+i]) == 1 })
	l.counts(1, 1)
	if all := l.shown(); len(all[0])+len(all[1]) != 0 {
		t.Errorf("of a conversation that lacks something there is %+v", all[:2])
	}
}

// firstTwo gives what the first two senders are shown, after somebody has asked for messages
// of theirs, so that the owner notices.
func (l *losing) firstTwo() [][]protocol.State {
	_, _ = l.node.owner.Recent(l.t.Context(), l.list[0].key(), 0, 100)
	all := l.shown()
	if all == nil {
		return nil
	}
	return all[:2]
}

// bad has the history have something that cannot be of a conversation, or no longer.
func (l *losing) bad(s *sender, is bool) {
	l.waitFed()
	l.archive.mu.Lock()
	defer l.archive.mu.Unlock()
	l.archive.bad = map[protocol.Conversation]bool{s.key(): is}
}

// TestEmptiedWithDamage: a view that is brought back anew is not taken for whole without a
// conversation of which the history has what cannot be: it would begin with seq 1 again.
func TestEmptiedWithDamage(t *testing.T) {
	l := newTalked(t)
	l.aged()
	before := l.shown()
	s := l.list[0]
	l.bad(s, true)
	l.node.stop()
	l.server.Kill()
	l.server.Start()
	l.node = l.start(2)
	l.node.waitOwned()
	eventually(t, "the view is not whole", func() bool { return l.node.owner.Vars()["repair.short"] > 0 })
	if e, err := s.try(l.node, uint64(len(s.seqs)+1)); err != nil || e.Outcome == logic.Applied {
		t.Fatalf("a conversation of which nobody knows enough takes a message: %+v, %v", e, err)
	}
	l.bad(s, false)
	l.back(before)
	l.whole()
}
