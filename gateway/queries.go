package gateway

import (
	"sync"

	"gannet/internal/hop"
	"gannet/protocol"
)

// queries carry what needs no order to logic, beside the lanes, so that a page
// of history never stands in the way of a message: logins, SYNC, HISTORY, and
// ranges to be pushed again. A fixed number of goroutines work on them.
type queries struct {
	gateway *Gateway
	jobs    chan job
	workers sync.WaitGroup
}

// job is a login or query (frame), or a range to be pushed again.
type job struct {
	session *session
	frame   []byte // whole and encoded; the job's own
	again   protocol.Range
}

func newQueries(g *Gateway) *queries {
	return &queries{gateway: g, jobs: make(chan job, queryQueue)}
}

// start runs n workers until stop is closed.
func (q *queries) start(n int, stop <-chan struct{}) {
	for range n {
		q.workers.Go(func() {
			for {
				select {
				case <-stop:
					return
				case j := <-q.jobs:
					q.do(j)
				}
			}
		})
	}
}

func (q *queries) queue(j job) bool {
	select {
	case q.jobs <- j:
		return true
	default:
		return false
	}
}

// login takes a HELLO to logic.
func (q *queries) login(s *session, raw []byte) {
	if !q.queue(job{session: s, frame: append([]byte(nil), raw...)}) {
		q.gateway.counters.refusedBusy.Add(1)
		s.closeAfter(protocol.CodeLoginUnavailable, drainDelay())
	}
}

// query takes a SYNC or HISTORY to logic.
func (q *queries) query(s *session, f protocol.Frame, raw []byte) {
	if s.queries.Add(1) > maxQueriesInFlight {
		s.queries.Add(-1)
		q.gateway.counters.refusedTooMany.Add(1)
		s.fail(f.Request, protocol.CodeTooManyRequests)
		return
	}
	if !q.queue(job{session: s, frame: append([]byte(nil), raw...)}) {
		s.queries.Add(-1)
		q.gateway.counters.refusedBusy.Add(1)
		s.fail(f.Request, protocol.CodeBusy)
	}
}

// redeliver asks logic for a range once more. When the queue is full the wheel
// comes again.
func (q *queries) redeliver(s *session, again protocol.Range) {
	q.queue(job{session: s, again: again})
}

func (q *queries) do(j job) {
	s := j.session
	defer s.survive("query")
	if s.phase.Load() == phaseClosing {
		return // nobody hears the answer; above all, who is gone does not replace who is here
	}
	if j.frame == nil {
		q.doRedeliver(s, j.again)
		return
	}
	f, _, _ := protocol.Split(j.frame, protocol.MaxFrame)
	if f.Type == protocol.TypeHello {
		q.doLogin(s, f)
		return
	}
	if !s.room(j) {
		return
	}
	reply, err := q.ask(&hop.Query{Identity: s.identity(), Frame: j.frame})
	s.queries.Add(-1)
	switch {
	case err != nil:
		q.failed("a query was not answered", err)
		reply = failure(f.Request, protocol.CodeUnavailable, busyRetry)
	case !answersFrame(j.frame, reply):
		q.hostile("logic answered a query with something else", f.Type)
		reply = failure(f.Request, protocol.CodeUnavailable, busyRetry)
	}
	s.settle(maxReply, reply)
}

// room reserves room for the answer to a query; false: the query waits until the
// client has read.
func (s *session) room(j job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parked) == 0 && s.reserveLocked(maxReply) {
		return true
	}
	s.parked = append(s.parked, j)
	return false
}

// roomy has the queries that wait for room tried again. It never waits, and is called
// without any lock.
func (q *queries) roomy(s *session) {
	s.mu.Lock()
	parked := s.parked
	s.parked = nil
	s.mu.Unlock()
	for _, j := range parked {
		if !q.queue(j) {
			s.queries.Add(-1)
			q.gateway.counters.refusedBusy.Add(1)
			f, _, _ := protocol.Split(j.frame, protocol.MaxFrame)
			s.fail(f.Request, protocol.CodeBusy)
		}
	}
}

// ask, welcome and again call logic.
func (q *queries) ask(query *hop.Query) (reply []byte, err error) {
	defer q.gateway.surviveLogic(&err)
	return q.gateway.logic.Query(q.gateway.ctx, query)
}

func (q *queries) welcome(login *hop.Login) (w hop.Welcome, err error) {
	defer q.gateway.surviveLogic(&err)
	return q.gateway.logic.Login(q.gateway.ctx, login)
}

func (q *queries) again(r *hop.Redelivery) (pushes []byte, err error) {
	defer q.gateway.surviveLogic(&err)
	return q.gateway.logic.Redeliver(q.gateway.ctx, r)
}

func (q *queries) failed(what string, err error) {
	g := q.gateway
	g.counters.logicFailed.Add(1)
	if g.said.logic.Now() {
		g.log.Warn("gateway: "+what, "error", err)
	}
}

func (q *queries) hostile(what string, t protocol.Type) {
	g := q.gateway
	g.counters.logicUnanswered.Add(1)
	if g.said.answers.Now() {
		g.log.Error("gateway: "+what, "frame", t)
	}
}

func (q *queries) doLogin(s *session, f protocol.Frame) {
	g := q.gateway
	login := hop.Login{Address: hop.Address{Gateway: g.epoch, Conn: s.id}, Request: f.Request}
	if login.Hello.Decode(f.Payload) != nil {
		s.close(protocol.CodeBadFrame)
		return
	}
	w, err := q.welcome(&login)
	switch {
	case err != nil:
		q.failed("a login was not answered", err)
		s.closeAfter(protocol.CodeLoginUnavailable, drainDelay())
	case w.Code == protocol.CodeTooManySessions:
		s.closeAfter(w.Code, overLimitsDelay())
	case w.Code != 0:
		s.close(w.Code)
	case w.User == 0 || !isWelcome(w.Frame, f.Request):
		q.hostile("logic answered a login with something else", f.Type)
		s.closeAfter(protocol.CodeLoginUnavailable, drainDelay())
		q.undoLogin(&login, &w)
	case !s.welcome(&w, &login.Hello):
		q.undoLogin(&login, &w)
	}
}

// undoLogin takes a device out of the directory that logic let in, and whose
// connection is not to be used.
func (q *queries) undoLogin(login *hop.Login, w *hop.Welcome) {
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

// doRedeliver puts the PUSH frames of a range that was not acked into the outbox.
// If they do not fit, or cannot be read, they come again later, or wait in the
// store.
func (q *queries) doRedeliver(s *session, r protocol.Range) {
	pushes, err := q.again(&hop.Redelivery{Identity: s.identity(), Range: r})
	if err != nil {
		q.failed("a range could not be pushed again", err)
		return
	}
	if len(pushes) == 0 {
		return
	}
	if !allPushes(pushes) {
		q.hostile("logic gave something else to be pushed again", protocol.TypePush)
		return
	}
	s.write(s.pushAgain(pushes))
}

func (s *session) pushAgain(pushes []byte) (list bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.charge()
	return s.phase.Load() == phaseOnline && s.outbox.push(pushes, false, s.keeps()) && s.list()
}

// allPushes says whether the bytes are whole PUSH frames.
func allPushes(b []byte) bool {
	for len(b) > 0 {
		f, n, err := protocol.Split(b, protocol.MaxFrame)
		if err != nil || n == 0 || f.Type != protocol.TypePush {
			return false
		}
		b = b[n:]
	}
	return true
}
