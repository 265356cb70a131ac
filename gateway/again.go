package gateway

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

const (
	// againMost is how many connections are bound again with one call.
	againMost = 512

	// againPause is how long to wait before a failed call is tried again. The pause doubles up to
	// againPauseMost.
	againPause     = 100 * time.Millisecond
	againPauseMost = 2 * time.Second

	// hintSpread is the time over which the hints to connections that were bound again together
	// are spread, because each hint makes a client sync. They go out in steps of hintStep.
	hintSpread = 5 * time.Second
	hintStep   = 100 * time.Millisecond
)

// again binds connections in the directory once more, because the gateway has a new epoch or the
// directory lost them. Then it hints their clients to sync. While a connection was missing in the
// directory, nobody pushed to it; a SYNC after the bind finds what it missed.
type again struct {
	gateway *Gateway
	binder  Binder
	awake   chan struct{} // holds one token while due may not be empty
	unsaid  chan struct{} // holds one token if hints may have entries

	mu    sync.Mutex
	due   map[*session]bool
	hints []*session
}

func newAgain(g *Gateway, b Binder) *again {
	return &again{gateway: g, binder: b, awake: make(chan struct{}, 1), unsaid: make(chan struct{}, 1), due: make(map[*session]bool)}
}

// Renew gives the gateway a new epoch. Pushes and kicks for the earlier epoch are no longer
// accepted. Every connection is bound again under the new epoch, with the number of its login,
// and hinted to sync. A connection that a later login has replaced meanwhile is closed. Renew
// returns at once. It needs Config.Binder.
func (g *Gateway) Renew(epoch uint64) {
	g.epoch.Store(epoch)
	g.counters.epochs.Add(1)
	g.again.add(func(*session) bool { return true })
}

// BindAgain binds the connections of some users again and hints them to sync, because the
// directory may have lost them. A connection whose login is under way is bound again when it is let
// in, whoever its user is. BindAgain returns at once. Config.Binder is needed.
func (g *Gateway) BindAgain(of func(user uint64) bool) {
	g.losses.Add(1) // before the list is made: a login that is missing in it sees the new number
	g.again.add(func(s *session) bool { return of(s.user) })
}

// Connections gives how many connections have a session.
func (g *Gateway) Connections() int { return g.sessions.len() }

// add makes those connections due that are logged in and that want selects.
func (a *again) add(want func(*session) bool) {
	all := slices.DeleteFunc(a.gateway.sessions.all(), func(s *session) bool {
		return s.phase.Load() != phaseOnline || !want(s)
	})
	a.put(all...)
}

func (a *again) put(list ...*session) {
	if len(list) == 0 || a.binder == nil {
		return
	}
	a.mu.Lock()
	for _, s := range list {
		a.due[s] = true
	}
	a.mu.Unlock()
	wake(a.awake)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take removes at most againMost due connections and gives them.
func (a *again) take() (list []*session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for s := range a.due {
		if len(list) == againMost {
			break
		}
		list = append(list, s)
		delete(a.due, s)
	}
	return list
}

// run binds what is due until stop is closed.
func (a *again) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-a.awake:
		}
		pause := againPause
		for list := a.take(); len(list) > 0; list = a.take() {
			if a.bind(list) {
				pause = againPause
				continue
			}
			a.put(list...)
			a.gateway.rest(pause)
			pause = min(2*pause, againPauseMost)
			select {
			case <-stop:
				return
			default:
			}
		}
	}
}

// bind binds some connections. It returns false if it is unknown whether they are bound.
func (a *again) bind(list []*session) bool {
	g := a.gateway
	epoch := g.epoch.Load()
	var sessions []*session
	var bindings []hop.Rebinding
	for _, s := range list {
		if b, ok := s.rebinding(epoch); ok {
			sessions, bindings = append(sessions, s), append(bindings, b)
		}
	}
	if len(sessions) == 0 {
		return true
	}
	lost, err := a.ask(bindings)
	if err != nil {
		g.counters.bindFailed.Add(1)
		if g.said.logic.Now() {
			g.log.Warn("gateway: connections could not be bound again, it is tried again", "connections", len(bindings), "error", err)
		}
		return false
	}
	g.counters.bound.Add(uint64(len(sessions)))
	var told []*session
	for i, s := range sessions {
		if len(lost) > 0 && lost[0] == uint32(i) {
			lost = lost[1:]
			g.counters.bindLost.Add(1)
			s.close(protocol.CodeReplaced)
			continue
		}
		if s.rebound(epoch) {
			told = append(told, s)
		} else { // it ended meanwhile, and its logout named the earlier epoch
			g.logouts.add(bindings[i].Binding)
		}
	}
	a.mu.Lock()
	a.hints = append(a.hints, told...)
	a.mu.Unlock()
	wake(a.unsaid)
	return true
}

// ask calls logic.
func (a *again) ask(bindings []hop.Rebinding) (lost []uint32, err error) {
	defer a.gateway.surviveLogic(&err)
	lost, err = a.binder.BindAgain(a.gateway.ctx, bindings)
	for i, n := range lost {
		if err == nil && (int(n) >= len(bindings) || i > 0 && n <= lost[i-1]) {
			err = fmt.Errorf("connection %d of %d is lost", n, len(bindings))
		}
	}
	return lost, err
}

// rebinding names the connection for the directory under an epoch; ok is false for one
// that is over.
func (s *session) rebinding(epoch uint64) (b hop.Rebinding, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b = hop.Rebinding{Binding: s.binding(), Was: s.epoch}
	b.Gateway = epoch
	return b, s.entered
}

// rebound notes the epoch under which the directory now has the connection. It returns false if
// the connection is over.
func (s *session) rebound(epoch uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = epoch
	return s.entered
}

// hint hints those that were bound, spread over hintSpread, until stop is closed.
func (a *again) hint(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-a.unsaid:
		}
		a.mu.Lock()
		list := a.hints
		a.hints = nil
		a.mu.Unlock()
		steps := int(hintSpread / hintStep)
		for some := range slices.Chunk(list, max(1, (len(list)+steps-1)/steps)) {
			for _, s := range some {
				s.write(s.hintEverything())
			}
			a.gateway.counters.hinted.Add(uint64(len(some)))
			a.gateway.rest(hintStep)
			select {
			case <-stop:
				return
			default:
			}
		}
	}
}
