package load

import "fmt"

// beginWindow is how many messages of a user may be on their way while some of them begin
// conversations.
const beginWindow = 4

// peers say who writes to whom. In a ring of users each writes in turn to those after it,
// the nearest first, and then to those before it; the two messages of a conversation are
// so half a turn apart. Where there is no ring every two users are a pair.
type peers struct {
	users int
	reach int // how many on either side in the ring; 0: pairs
}

// peersFor gives those of a load.
func peersFor(c *Config) (peers, error) {
	p := peers{users: c.Users}
	if c.Conversations == 0 {
		return p, nil
	}
	p.reach = c.Conversations / c.Users
	switch {
	case p.reach < 1 || p.reach*c.Users != c.Conversations || 2*p.reach >= c.Users:
		return p, fmt.Errorf("benchmark: %d conversations of %d users: in a ring they are 1 to %d times as many as users",
			c.Conversations, c.Users, (c.Users-1)/2)
	case c.SDK || c.Seqs || c.Listeners:
		return p, fmt.Errorf("benchmark: only lean users, whose messages are checked on their way alone, can have %d conversations", c.Conversations)
	}
	return p, nil
}

// each gives how many others a user writes to.
func (p peers) each() int { return max(1, 2*p.reach) }

// at gives the one to whom the i-th user writes as the turn-th.
func (p peers) at(i, turn int) int {
	switch {
	case p.reach == 0:
		return i ^ 1
	case turn < p.reach:
		return (i + 1 + turn) % p.users
	}
	return (i - 1 - (turn - p.reach) + p.users) % p.users
}

// turn gives as the which one the i-th user writes to another; ok is false if it does not.
func (p peers) turn(i, other int) (turn int, ok bool) {
	if other < 0 || other >= p.users {
		return 0, false
	}
	if p.reach == 0 {
		return 0, other == i^1
	}
	after := (other - i + p.users) % p.users
	switch before := p.users - after; {
	case after >= 1 && after <= p.reach:
		return after - 1, true
	case before <= p.reach:
		return p.reach + before - 1, true
	}
	return 0, false
}
