package load

import (
	"context"
	"fmt"
	"time"

	"gannet/benchmark/meter"
)

// Moment is a point of a run from which on it is asked who is served.
type Moment struct {
	load *Load
	at   time.Time
	sent []uint64 // by each user until then
}

// Moment gives the present one.
func (l *Load) Moment() *Moment {
	m := &Moment{load: l, at: time.Now()}
	for _, u := range l.users {
		u.mu.Lock()
		m.sent = append(m.sent, u.sent)
		u.mu.Unlock()
	}
	return m
}

// unserved gives how many users have not had a message acked and delivered that they
// sent after the moment.
func (m *Moment) unserved() (n int) {
	for i, u := range m.load.users {
		if u.listens {
			continue
		}
		// Acks and deliveries come in the order of sends, so that their numbers tell which.
		if u.acked.Load() <= m.sent[i] || m.load.users[i^1].delivered.Load() <= m.sent[i] {
			n++
		}
	}
	return n
}

// Await waits until every user who writes is served, and gives how long after the moment that was.
func (m *Moment) Await(ctx context.Context, patience time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithDeadline(ctx, m.at.Add(patience))
	defer cancel()
	for {
		// The clock is read first: what is served by then was served at the latest then.
		now := time.Since(m.at)
		n := m.unserved()
		if n == 0 {
			return now, nil
		}
		if meter.Rest(ctx, quietPoll) != nil {
			return now, fmt.Errorf("benchmark: %d of %d users are not served %.1f s later", n, len(m.load.users), now.Seconds())
		}
	}
}

// Losses gives, after Verify, how many acked messages were lost and how many came again.
func (l *Load) Losses() (lost, repeats uint64) {
	for _, u := range l.users {
		for i := range u.checks {
			lost += u.checks[i].lost
			repeats += u.checks[i].repeats
		}
	}
	return lost, repeats
}
