package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gannet/benchmark/meter"
	gannet "gannet/sdk/go"
)

const (
	// readPause is how long a user rests between two READs.
	readPause = 10 * time.Millisecond

	// answerPatience is how long the server may take to answer a READ or a SYNC.
	answerPatience = 30 * time.Second

	// maxConversations is more than a user of a load has.
	maxConversations = 16
)

// Markers mark what arrives as read, so that a kill of the server finds some READs
// that were answered a moment ago and others that are on their way. The clients
// are the SDK's, and Config.Seqs is set.
type Markers struct {
	load    *Load
	marks   []*mark
	held    []*mark
	half    int // of the users: the one that Hold takes next
	end     context.CancelFunc
	running sync.WaitGroup
}

// mark is how far a user has read.
type mark struct {
	user  *user
	turn  chan struct{} // held while a READ is under way, or to keep one from it
	asked atomic.Uint64 // seq of the last READ, answered or not
	done  atomic.Uint64 // seq of the last READ that was answered
	count atomic.Uint64 // of them
}

// StartMarkers lets every user read until End.
func (l *Load) StartMarkers(ctx context.Context) *Markers {
	ctx, cancel := context.WithCancel(ctx)
	r := &Markers{load: l, end: cancel}
	for _, u := range l.users {
		m := &mark{user: u, turn: make(chan struct{}, 1)}
		r.marks = append(r.marks, m)
		r.running.Go(func() { m.run(ctx) })
	}
	return r
}

func (m *mark) run(ctx context.Context) {
	for meter.Rest(ctx, readPause) == nil {
		if m.take(ctx) != nil {
			return
		}
		m.read(ctx)
		<-m.turn
	}
}

// take waits for the turn.
func (m *mark) take(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read marks what has arrived since as read.
func (m *mark) read(ctx context.Context) {
	seq := m.user.heard.Load()
	if seq == m.done.Load() {
		return
	}
	m.asked.Store(seq)
	c := m.user.client.(*sdkClient)
	err := c.MarkRead(c.to, seq)
	if err == nil {
		err = c.Flush(ctx)
	}
	if err != nil {
		if ctx.Err() == nil {
			m.user.load.Faults.Addf("user %d: READ of seq %d was not taken: %v", m.user.id, seq, err)
		}
		return
	}
	m.done.Store(seq)
	m.count.Add(1)
}

// Hold keeps half of the users from reading, at each call the other half, and
// returns when their last READs are answered: Check is exact for them.
func (r *Markers) Hold(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	var half []*mark
	for i := r.half; i < len(r.marks); i += 2 {
		half = append(half, r.marks[i])
	}
	r.half = 1 - r.half
	err := InParallel(ctx, len(half), len(half), func(ctx context.Context, i int) error { return half[i].take(ctx) })
	if err != nil {
		return fmt.Errorf("benchmark: a READ was not answered within %v: %w", answerPatience, err)
	}
	r.held = half
	return nil
}

// Release lets those whom Hold keeps from reading go on.
func (r *Markers) Release() {
	for _, m := range r.held {
		<-m.turn
	}
	r.held = nil
}

// Check asks the server how far each user has read. READ is durable: it must be
// no less than what was answered, and no more than what was asked for.
func (r *Markers) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	return InParallel(ctx, maxPages, len(r.marks), func(ctx context.Context, i int) error {
		m := r.marks[i]
		done := m.done.Load()
		state, err := m.user.conversation(ctx)
		if err != nil {
			return err
		}
		m.compare(state.Read, done, m.asked.Load())
		return nil
	})
}

// compare sees whether what the server says was read is from done to asked.
func (m *mark) compare(read, done, asked uint64) {
	f := &m.user.load.Faults
	switch {
	case read < done:
		f.Addf("user %d: READ of seq %d was answered, and the server says that %d is read", m.user.id, done, read)
	case read > asked:
		f.Addf("user %d: the server says that seq %d is read, and READ went no further than %d", m.user.id, read, asked)
	}
}

// End ends all reading and gives how many READs were answered. Nobody is held.
func (r *Markers) End() (answered uint64) {
	r.end()
	r.running.Wait()
	for _, m := range r.marks {
		answered += m.count.Load()
	}
	return answered
}

// conversation gives what the server says of the user's conversation, which is
// nothing before the first message.
func (u *user) conversation(ctx context.Context) (found gannet.Conversation, err error) {
	c := u.client.(*sdkClient)
	list, err := c.Conversations(ctx, maxConversations)
	if err != nil {
		return found, fmt.Errorf("benchmark: user %d: conversations: %w", u.id, err)
	}
	for _, state := range list {
		if state.Target == c.to {
			return state, nil
		}
	}
	return found, nil
}
