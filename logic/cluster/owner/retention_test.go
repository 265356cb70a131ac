//go:build cluster

package owner_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gannet/internal/chain"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

// TestBehindRetention: a view whose mark the queue does not have any more stops the queue,
// for nobody knows what is missing, and says what mends it. Once it is emptied the queue goes
// on by itself, from the history.
func TestBehindRetention(t *testing.T) {
	l := newLosing(t)
	var mu sync.Mutex
	var said strings.Builder
	l.tune = func(o *owner.Options) { o.Log = slog.New(slog.NewTextHandler(locked{&mu, &said}, nil)) }
	l.talk()
	l.flush()
	before := l.older()
	first := make([]int64, l.queues)
	for i, q := range queuesOf(l.queues) {
		first[i] = int64(len(l.memory.All(q)) - 1)
		l.memory.Age(q, first[i])
	}
	l.node = l.start(2)
	for i := range l.queues {
		l.node.waitState(i, owner.Stopped)
	}
	if e, err := l.list[0].try(l.node, 1000); !errors.Is(err, owner.ErrStopped) || !errors.Is(err, logic.ErrUnavailable) || e.Outcome != logic.Unknown {
		t.Fatalf("a message to a queue that is stopped is %+v, %v", e, err)
	}
	if err := l.node.owner.Health(); err == nil || !strings.Contains(err.Error(), "chat queue 1") {
		t.Errorf("of its health a node with stopped queues says %v", err)
	}
	eventually(t, "the log says what has happened and what mends it", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(said.String(), "`gannet mend`") && strings.Contains(said.String(), "begins at offset")
	})
	v, err := view.New(l.node.redis, view.Options{Name: l.name, Queues: queuesOf(l.queues), Counts: l.archive})
	must(t, err)
	for i, q := range queuesOf(l.queues) {
		w, err := v.Writer(q)
		must(t, err)
		// What transfer keeps beside the view, its mark and what it has parked, stays.
		beside := []string{fmt.Sprintf("{%s.chat.%d}t", l.name, i), fmt.Sprintf("{%s.chat.%d}k", l.name, i)}
		for _, key := range beside {
			must(t, l.node.redis.Set(t.Context(), key, "x", 0).Err())
		}
		if keys, err := w.Empty(t.Context(), first[i]); err != nil || keys == 0 {
			t.Fatalf("of a view that is behind %d keys are removed, %v", keys, err)
		}
		for _, key := range beside {
			if n, err := l.node.redis.Exists(t.Context(), key).Result(); err != nil || n != 1 {
				t.Errorf("%s went with the view, %v", key, err)
			}
		}
	}
	l.node.waitOwned()
	l.back(before)
	if err := l.node.owner.Health(); err != nil {
		t.Error(err)
	}
	for i, q := range queuesOf(l.queues) {
		w, err := v.Writer(q)
		must(t, err)
		if keys, err := w.Empty(t.Context(), first[i]); err != nil || keys != 0 {
			t.Fatalf("of a view that is well %d keys are removed, %v", keys, err)
		}
	}
}

// locked is a log that is read meanwhile.
type locked struct {
	mu *sync.Mutex
	to *strings.Builder
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}

// TestHistoryPassesAGapWithDamage: so it is where a conversation is damaged, of which nobody
// has everything then, ever: what the history gets of it is how far it has come.
func TestHistoryPassesAGapWithDamage(t *testing.T) {
	l := newTalked(t)
	l.waitFed()
	s, a := l.list[0], l.archive
	a.mu.Lock()
	clear(a.talks)
	clear(a.states)
	clear(a.marks)
	a.mu.Unlock()
	must(t, damages["a member"](l, l.talkKey(s)))
	for _, q := range queuesOf(l.queues) {
		l.memory.Age(q, int64(len(l.memory.All(q))-1))
		l.node.owner.FeedAgain(q, chain.Beginning)
	}
	l.waitFed()
	l.unavailable()
	a.mu.Lock()
	if state := a.states[s.key()]; state == nil || state.Head != 10 || len(state.Members) != 0 {
		t.Errorf("of a damaged conversation the history has %+v", state)
	}
	if state := a.states[l.list[2].key()]; state == nil || state.Head < 10 || len(state.Members) != 2 {
		t.Errorf("of another the history has %+v", state)
	}
	a.mu.Unlock()
	l.node.stop()
	l.node = l.start(2) // which has a history that knows the head of it, and not all
	l.node.waitOwned()
	l.unavailable()
}

// TestHistoryPassesAGap: a history that lost everything is fed from the oldest record that
// the queue still has, and has all conversations, those too of which no record is left.
func TestHistoryPassesAGap(t *testing.T) {
	l := newLosing(t)
	far := &sender{t: t, from: 300, to: 301, rng: l.list[0].rng}
	far.run(func() []*node { return []*node{l.node} }, 3) // its records are among the first
	l.talk()
	l.flush()
	l.waitFed()
	a := l.archive
	a.mu.Lock()
	want := map[protocol.Conversation]uint64{}
	for k, s := range a.states {
		want[k] = s.Head
	}
	clear(a.talks)
	clear(a.states)
	clear(a.marks)
	a.mu.Unlock()
	for _, q := range queuesOf(l.queues) {
		l.memory.Age(q, int64(len(l.memory.All(q))/2))
		l.node.owner.FeedAgain(q, chain.Beginning)
	}
	l.waitFed()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gaps != l.queues || a.whole < len(want) {
		t.Errorf("%d gaps of %d queues were passed, %d conversations were given, of %d", a.gaps, l.queues, a.whole, len(want))
	}
	for k, head := range want {
		if s := a.states[k]; s == nil || s.Head != head {
			t.Errorf("of %v the history has %+v; its head is %d", k, s, head)
		}
	}
	if len(want) != 5 || len(a.wrong) > 0 || len(a.talks[far.key()]) > 0 {
		t.Errorf("%d conversations, %d messages whose records are gone; %v", len(want), len(a.talks[far.key()]), a.wrong)
	}
}
