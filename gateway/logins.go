package gateway

import (
	"bytes"
	"sync"

	"gannet/internal/hop"
	"gannet/protocol"
)

// logins carry HELLOs to logic, beside the lanes and the queries: whoever comes waits
// for nobody's messages or pages, only for those who came before. A fixed number of
// goroutines work on them.
type logins struct {
	gateway *Gateway
	waiting chan greeting
	workers sync.WaitGroup
}

// greeting is a HELLO, whole and encoded, its own.
type greeting struct {
	session *session
	frame   []byte
}

func newLogins(g *Gateway) *logins {
	return &logins{gateway: g, waiting: make(chan greeting, loginQueue)}
}

// start runs n workers until stop is closed.
func (q *logins) start(n int, stop <-chan struct{}) {
	for range n {
		q.workers.Go(func() {
			for {
				select {
				case <-stop:
					return
				case l := <-q.waiting:
					q.do(l)
				}
			}
		})
	}
}

// add takes a HELLO.
func (q *logins) add(s *session, raw []byte) {
	select {
	case q.waiting <- greeting{s, bytes.Clone(raw)}:
	default:
		q.gateway.counters.refusedBusy.Add(1)
		s.closeAfter(protocol.CodeLoginUnavailable, drainDelay())
	}
}

func (q *logins) do(l greeting) {
	s, g := l.session, q.gateway
	defer s.survive("login")
	if s.phase.Load() == phaseClosing { // who is gone must not replace who is here
		g.counters.droppedLogins.Add(1)
		return
	}
	f, _, _ := protocol.Split(l.frame, protocol.MaxFrame)
	login := hop.Login{Address: hop.Address{Gateway: g.epoch.Load(), Conn: s.id}, Request: f.Request}
	if login.Hello.Decode(f.Payload) != nil {
		s.close(protocol.CodeBadFrame)
		return
	}
	w, err := q.welcome(&login)
	switch {
	case err != nil:
		g.failed("a login was not answered", err)
		s.closeAfter(protocol.CodeLoginUnavailable, drainDelay())
	case w.Code == protocol.CodeTooManySessions:
		s.closeAfter(w.Code, overLimitsDelay())
	case w.Code != 0:
		s.close(w.Code)
	case w.User == 0 || !isWelcome(w.Frame, f.Request):
		g.unanswered("logic answered a login with something else", f.Type)
		s.closeAfter(protocol.CodeLoginUnavailable, drainDelay())
		q.undo(&login, &w)
	case g.offenders.left(w.User, g.wheel.now()) > 0:
		s.closeAfter(protocol.CodeOverLimits, uint32(g.offenders.left(w.User, g.wheel.now())*tick.Milliseconds()))
		q.undo(&login, &w)
	case !s.welcome(&w, &login):
		q.undo(&login, &w)
	case login.Gateway != g.epoch.Load(): // Renew came too early for it
		g.again.put(s)
	}
}

// undo takes a device out of the directory that logic let in, and whose
// connection is not to be used.
func (q *logins) undo(login *hop.Login, w *hop.Welcome) {
	if w.User == 0 {
		return
	}
	q.gateway.logouts.add(hop.Binding{
		Identity: hop.Identity{Gateway: login.Gateway, Conn: login.Conn, User: w.User, Device: login.Hello.Device},
		Platform: login.Hello.Platform,
		Number:   w.Number,
	})
}

func isWelcome(b []byte, request uint32) bool {
	f, n, err := protocol.Split(b, protocol.MaxFrame)
	return err == nil && n > 0 && n == len(b) && f.Type == protocol.TypeWelcome && f.Request == request
}

// welcome calls logic.
func (q *logins) welcome(login *hop.Login) (w hop.Welcome, err error) {
	defer q.gateway.surviveLogic(&err)
	return q.gateway.logic.Login(q.gateway.ctx, login)
}
