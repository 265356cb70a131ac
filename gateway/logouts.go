package gateway

import (
	"sync"

	"gannet/internal/hop"
)

// logouts tells logic which connections have ended, in batches and on a goroutine of its own,
// because the poller that sees the end of a connection must not wait.
type logouts struct {
	gateway *Gateway
	awake   chan struct{} // holds one token while waiting may not be empty

	mu      sync.Mutex
	waiting []hop.Binding
}

func newLogouts(g *Gateway) *logouts {
	return &logouts{gateway: g, awake: make(chan struct{}, 1)}
}

// add queues a connection that is over. If the queue is full, the connection stays in the
// directory until its device logs in again or the gateway ends. Pushes to it then report that it
// is absent.
func (l *logouts) add(b hop.Binding) {
	l.mu.Lock()
	if len(l.waiting) == maxLogouts {
		l.mu.Unlock()
		l.gateway.counters.logoutsDropped.Add(1)
		return
	}
	l.waiting = append(l.waiting, b)
	l.mu.Unlock()
	select {
	case l.awake <- struct{}{}:
	default:
	}
}

// run tells logic until stop is closed, and then once more.
func (l *logouts) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			l.tell()
			return
		case <-l.awake:
			l.tell()
		}
	}
}

// tell tells logic of all connections that wait. A failed call is repeated, up to logoutTries in
// all.
func (l *logouts) tell() {
	l.mu.Lock()
	over := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	if len(over) == 0 {
		return
	}
	g := l.gateway
	for range logoutTries {
		err := l.logout(over)
		if err == nil {
			return
		}
		g.counters.logicFailed.Add(1)
		if g.said.logic.Now() {
			g.log.Warn("gateway: logic was not told who has gone", "connections", len(over), "error", err)
		}
	}
	g.counters.logoutsDropped.Add(uint64(len(over)))
}

func (l *logouts) logout(over []hop.Binding) (err error) {
	defer l.gateway.surviveLogic(&err)
	return l.gateway.logic.Logout(l.gateway.ctx, over)
}
