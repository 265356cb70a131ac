package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gannet/benchmark/meter"
)

// gate holds up those who want to connect, so that all of them do so at one moment. It
// is open at first. Safe for concurrent use.
type gate struct {
	mu      sync.Mutex
	opened  chan struct{} // nil: it is open
	waiting int
}

// pass waits until the gate is open; one that is nil always is.
func (g *gate) pass(ctx context.Context) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	opened := g.opened
	if opened == nil {
		g.mu.Unlock()
		return nil
	}
	g.waiting++
	g.mu.Unlock()
	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.opened == opened {
			g.waiting--
		}
		return ctx.Err()
	}
}

// HoldConnects lets nobody connect until LetConnect.
func (l *Load) HoldConnects() {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	if l.gate.opened == nil {
		l.gate.opened, l.gate.waiting = make(chan struct{}), 0
	}
}

// LetConnect lets everybody connect who waited for it, at once.
func (l *Load) LetConnect() {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	if l.gate.opened != nil {
		close(l.gate.opened)
		l.gate.opened = nil
	}
}

// AwaitWaiting waits until all users wait to connect.
func (l *Load) AwaitWaiting(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		l.gate.mu.Lock()
		waiting := l.gate.waiting
		l.gate.mu.Unlock()
		if waiting == len(l.users) {
			return nil
		}
		if meter.Rest(ctx, quietPoll) != nil {
			return fmt.Errorf("benchmark: %d of %d users want to connect after %v", waiting, len(l.users), patience)
		}
	}
}
