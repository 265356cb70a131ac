package load

import "testing"

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
