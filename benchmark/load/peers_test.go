//go:build linux

package load

import (
	"io"
	"strings"
	"testing"
	"time"

	"gannet/benchmark/report"
)

// Everybody has as many others as the reach says, on both sides, and each pair of users
// that writes is one in both directions.
func TestPeersInARing(t *testing.T) {
	for _, p := range []peers{{users: 10}, {users: 4, reach: 1}, {users: 10, reach: 1}, {users: 10, reach: 4}, {users: 9, reach: 4}} {
		conversations := map[[2]int]int{}
		for i := range p.users {
			for turn := range p.each() {
				other := p.at(i, turn)
				if got, ok := p.turn(i, other); !ok || got != turn {
					t.Errorf("%+v: user %d writes to %d as number %d, and finds %d, %v", p, i, other, turn, got, ok)
				}
				conversations[[2]int{min(i, other), max(i, other)}]++
			}
			strangers := 0
			for other := -1; other <= p.users; other++ {
				if _, ok := p.turn(i, other); !ok {
					strangers++
				}
			}
			if want := p.users + 2 - p.each(); strangers != want {
				t.Errorf("%+v: user %d has %d strangers, want %d", p, i, strangers, want)
			}
		}
		if want := p.users * p.each() / 2; len(conversations) != want {
			t.Errorf("%+v: %d conversations, want %d", p, len(conversations), want)
		}
		for c, sides := range conversations {
			if sides != 2 || c[0] == c[1] {
				t.Errorf("%+v: in conversation %v there are %d who write", p, c, sides)
			}
		}
	}
}

func TestImpossibleRingsAreRefused(t *testing.T) {
	for why, c := range map[string]Config{
		"no multiple of the users":         {Conversations: 25},
		"fewer than users":                 {Conversations: 5},
		"a ring that meets itself":         {Conversations: 50},
		"the SDK":                          {Conversations: 20, SDK: true},
		"acks that are kept":               {Conversations: 20, Seqs: true},
		"some who do not write but listen": {Conversations: 20, Listeners: true},
	} {
		c.Users, c.Window, c.Size = 10, 1, 128
		if _, err := New(c); err == nil {
			t.Errorf("%s: %+v is taken", why, c)
		}
	}
}

// ring gives ten users who write to six others each, not logged in.
func ring(t *testing.T) *Load {
	t.Helper()
	l, err := New(Config{Users: 10, Conversations: 30, Window: 32, Size: 128, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What was acked in all tells what was acked in each conversation.
func TestAcksOfEachConversation(t *testing.T) {
	l := ring(t)
	u := l.users[7]
	acked := make([]uint64, len(u.checks))
	for n := uint64(0); n <= 20; n++ {
		if n > 0 {
			acked[u.turn(n)]++
			if got, want := u.within(n), acked[u.turn(n)]; got != want {
				t.Errorf("message %d is number %d of its conversation, want %d", n, got, want)
			}
		}
		u.acked.Store(n)
		for turn, want := range acked {
			if got := u.ackedTo(l.users[l.peers.at(7, turn)]); got != want {
				t.Errorf("%d acked in all: %d in conversation %d, want %d", n, got, turn, want)
			}
		}
	}
}

// A user is slow until all of the conversations have begun.
func TestConversationsBeginSlowly(t *testing.T) {
	u := ring(t).users[0]
	for u.sent = range 8 {
		want := uint64(beginWindow)
		if u.sent >= 6 {
			want = 32
		}
		if got := u.room(); got != want {
			t.Errorf("after %d messages to six others there is room for %d, want %d", u.sent, got, want)
		}
	}
}

func TestWaitingForTheLastToBegin(t *testing.T) {
	l := ring(t)
	l.patience = 50 * time.Millisecond
	for i, u := range l.users {
		u.acked.Store(6)
		if i == 3 {
			u.acked.Store(5)
		}
	}
	line := report.NewProgress(io.Discard)
	if err := l.AwaitBegun(t.Context(), line); err == nil || !strings.Contains(err.Error(), "1 of 10 users had not begun") {
		t.Errorf("while one has not begun: %v", err)
	}
	l.users[3].acked.Add(1)
	if err := l.AwaitBegun(t.Context(), line); err != nil {
		t.Errorf("when all have: %v", err)
	}
}
