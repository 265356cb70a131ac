package gateway

import (
	"bytes"
	"errors"
	"sync"

	"gannet/internal/hop"
	"gannet/protocol"
)

// logins carries HELLOs to logic, apart from lanes and queries: a client that logs in waits only
// for the logins before it, not for messages or pages. A fixed number of workers do this, and
// each takes all HELLOs that wait. When all clients come back at once, one call for each would
// keep them out for longer than they wait.
//
// A login takes two calls. The first checks it and draws its number. The second enters the
// connection in the directory, which may close another connection of the same device. Between the
// two the gateway checks that the connection is still there: one that is gone must not replace
// one that is alive.
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

// admission is a login under way.
type admission struct {
	session *session
	losses  uint64 // of the gateway when the login began
	login   hop.Login
	welcome hop.Welcome
	over    bool // it needs no more calls
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
					q.do(q.take(l))
				}
			}
		})
	}
}

// add queues a HELLO. If the queue is full, it closes the connection.
func (q *logins) add(s *session, raw []byte) {
	select {
	case q.waiting <- greeting{s, bytes.Clone(raw)}:
	default:
		q.gateway.counters.refusedBusy.Add(1)
		s.closeAfter(protocol.CodeLoginUnavailable, drainDelay())
	}
}

// take gives the login l together with those that wait behind it.
func (q *logins) take(l greeting) (list []*admission) {
	for size := 0; ; {
		size += len(l.frame)
		if a := q.open(l); a != nil {
			list = append(list, a)
		}
		if len(list) == loginMost || size >= loginBytes {
			return list
		}
		select {
		case l = <-q.waiting:
		default:
			return list
		}
	}
}

// open begins a login; nil: there is nothing to be done.
func (q *logins) open(l greeting) *admission {
	s, g := l.session, q.gateway
	a := &admission{session: s, losses: g.losses.Load()}
	if q.left(a) {
		return nil
	}
	f, _, _ := protocol.Split(l.frame, protocol.MaxFrame)
	a.login = hop.Login{Address: hop.Address{Gateway: g.epoch.Load(), Conn: s.id}, Request: f.Request}
	if a.login.Hello.Decode(f.Payload) != nil {
		s.close(protocol.CodeBadFrame)
		return nil
	}
	return a
}

// left says whether the connection is gone, and counts it then.
func (q *logins) left(a *admission) bool {
	if a.session.phase.Load() != phaseClosing {
		return false
	}
	q.gateway.counters.droppedLogins.Add(1)
	return true
}

// do carries out logins that go in the same calls.
func (q *logins) do(list []*admission) {
	if len(list) == 0 {
		return
	}
	q.gateway.counters.loginCalls.Add(1)
	logins := make([]hop.Login, len(list))
	for i, a := range list {
		logins[i] = a.login
	}
	welcomes, err := q.login(logins)
	entering := list[:0:0]
	for i, a := range list {
		if err == nil {
			a.welcome = welcomes[i]
		}
		if a.each(func() { q.checked(a, err) }); !a.over {
			entering = append(entering, a)
		}
	}
	if len(entering) == 0 {
		return
	}
	connections := make([]hop.Binding, len(entering))
	for i, a := range entering {
		connections[i] = a.binding()
	}
	codes, err := q.enter(connections)
	for i, a := range entering {
		a.each(func() {
			if err != nil {
				q.unavailable(a, err)
			} else {
				q.entered(a, codes[i])
			}
		})
	}
}

// each does something for one of several logins: a bug that it meets ends that
// connection alone.
func (a *admission) each(do func()) {
	defer a.session.survive("login")
	do()
}

// checked handles the result of the first call for one login.
func (q *logins) checked(a *admission, err error) {
	s, g, w := a.session, q.gateway, &a.welcome
	a.over = true
	switch {
	case err != nil:
		q.unavailable(a, err)
	case w.Code != 0:
		q.refuse(a, w.Code)
	case w.User == 0 || !isWelcome(w.Frame, a.login.Request):
		g.unanswered("logic answered a login with something else", protocol.TypeHello)
		s.closeAfter(protocol.CodeLoginUnavailable, drainDelay())
	case g.offenders.left(w.User, g.wheel.now()) > 0:
		s.closeAfter(protocol.CodeOverLimits, uint32(g.offenders.left(w.User, g.wheel.now())*tick.Milliseconds()))
	case !q.left(a):
		a.over = false
	}
}

// entered handles the result of the second call for one login.
func (q *logins) entered(a *admission, code protocol.Code) {
	switch s, g := a.session, q.gateway; {
	case code == protocol.CodeLoginUnavailable:
		q.undo(a)
		q.refuse(a, code)
	case code != 0:
		q.refuse(a, code)
	case !s.welcome(&a.welcome, &a.login):
		q.undo(a)
	case a.login.Gateway != g.epoch.Load(), a.losses != g.losses.Load():
		// It was entered under an earlier epoch, or into a directory that may have lost it since.
		g.again.put(s)
	}
}

// refuse closes the connection with a code of logic's.
func (q *logins) refuse(a *admission, code protocol.Code) {
	switch code {
	case protocol.CodeLoginUnavailable:
		a.session.closeAfter(code, drainDelay())
	case protocol.CodeTooManySessions:
		a.session.closeAfter(code, overLimitsDelay())
	default:
		a.session.close(code)
	}
}

// unavailable closes a connection for which a call to logic failed.
func (q *logins) unavailable(a *admission, err error) {
	q.gateway.failed("a login was not answered", err)
	a.session.closeAfter(protocol.CodeLoginUnavailable, drainDelay())
	q.undo(a)
}

// undo takes a device out of the directory that may have been entered, and whose
// connection is not to be used.
func (q *logins) undo(a *admission) {
	if a.welcome.User != 0 {
		q.gateway.logouts.add(a.binding())
	}
}

// binding names the connection for the directory.
func (a *admission) binding() hop.Binding {
	l, w := &a.login, &a.welcome
	return hop.Binding{
		Identity: hop.Identity{Gateway: l.Gateway, Conn: l.Conn, User: w.User, Device: l.Hello.Device},
		Platform: l.Hello.Platform,
		Number:   w.Number,
	}
}

func isWelcome(b []byte, request uint32) bool {
	f, n, err := protocol.Split(b, protocol.MaxFrame)
	return err == nil && n > 0 && n == len(b) && f.Type == protocol.TypeWelcome && f.Request == request
}

// errAnswers says that logic gave another number of answers than it was asked for.
var errAnswers = errors.New("gateway: logic's answers do not fit what it was asked")

func (q *logins) login(logins []hop.Login) (w []hop.Welcome, err error) {
	defer q.gateway.surviveLogic(&err)
	if w, err = q.gateway.logic.Login(q.gateway.ctx, logins); err == nil && len(w) != len(logins) {
		err = errAnswers
	}
	return w, err
}

func (q *logins) enter(connections []hop.Binding) (codes []protocol.Code, err error) {
	defer q.gateway.surviveLogic(&err)
	if codes, err = q.gateway.logic.Enter(q.gateway.ctx, connections); err == nil && len(codes) != len(connections) {
		err = errAnswers
	}
	return codes, err
}
