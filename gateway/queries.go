package gateway

import (
	"bytes"
	"encoding/binary"
	"sync"

	"gannet/internal/hop"
	"gannet/protocol"
)

// queries carries frames that need no order to logic, apart from the lanes, so that a page of
// history never holds up a message: SYNC, HISTORY, and ranges to push again. A fixed number of
// workers serve the users in turn, so that a user who asks for much waits behind their own
// queries. At most all workers but one serve the same user.
type queries struct {
	gateway *Gateway
	workers sync.WaitGroup
	most    int // limit of jobs under way for one user

	mu      sync.Mutex
	some    sync.Cond // signals that a user has a turn, or that over is set
	users   map[uint64]*asker
	first   *asker // the user whose turn is next
	last    *asker
	waiting int // waiting jobs of all users
	over    bool
}

// asker is a user with jobs that wait or are under way. The mutex of queries guards it.
type asker struct {
	user     uint64
	jobs     []job // oldest first
	underWay int
	listed   bool // it is in the list of turns
	next     *asker
}

// job is a query (frame), or a range to push again if frame is nil.
type job struct {
	session *session
	frame   []byte // whole and encoded, in memory of its own
	again   protocol.Range
}

func newQueries(g *Gateway, workers int) *queries {
	q := &queries{gateway: g, most: max(1, workers-1), users: make(map[uint64]*asker)}
	q.some.L = &q.mu
	return q
}

// start runs n workers until stop is closed.
func (q *queries) start(n int, stop <-chan struct{}) {
	q.workers.Go(func() {
		<-stop
		q.mu.Lock()
		defer q.mu.Unlock()
		q.over = true
		q.some.Broadcast()
	})
	for range n {
		q.workers.Go(func() {
			for a, j := q.take(); a != nil; a, j = q.take() {
				q.do(j)
				q.done(a)
			}
		})
	}
}

// queue adds a job. It returns false if too many wait. A user with no waiting job always finds
// room, so that other users cannot shut them out.
func (q *queries) queue(j job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.of(j.session.user)
	if len(a.jobs) > 0 && (q.waiting >= queryQueue || j.frame == nil && len(a.jobs) >= maxAgain) {
		return false
	}
	q.put(a, j)
	return true
}

// of finds or makes the asker of a user. The caller holds mu.
func (q *queries) of(user uint64) *asker {
	a := q.users[user]
	if a == nil {
		a = &asker{user: user}
		q.users[user] = a
	}
	return a
}

// put adds a job of a user. mu is held.
func (q *queries) put(a *asker, j job) {
	a.jobs = append(a.jobs, j)
	q.waiting++
	q.list(a)
}

// list gives a user a turn, behind all others, if one of their jobs may begin. The caller holds
// mu.
func (q *queries) list(a *asker) {
	if a.listed || len(a.jobs) == 0 || a.underWay >= q.most {
		return
	}
	a.listed = true
	if q.first == nil {
		q.first = a
	} else {
		q.last.next = a
	}
	q.last = a
	q.some.Signal()
}

// take waits for the next job. It returns nil when the workers must end.
func (q *queries) take() (*asker, job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.first == nil && !q.over {
		q.some.Wait()
	}
	if q.over {
		return nil, job{}
	}
	a := q.first
	q.first, a.next, a.listed = a.next, nil, false
	j := a.jobs[0]
	a.jobs[0] = job{}
	a.jobs = a.jobs[1:]
	q.waiting--
	a.underWay++
	q.list(a)
	return a, j
}

// done ends a job that take gave.
func (q *queries) done(a *asker) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a.underWay--
	q.list(a)
	if len(a.jobs) == 0 && a.underWay == 0 {
		delete(q.users, a.user)
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
	if !q.queue(job{session: s, frame: question(raw)}) {
		s.queries.Add(-1)
		q.gateway.counters.refusedBusy.Add(1)
		s.fail(f.Request, protocol.CodeBusy)
	}
}

// question copies as much of a frame as a query may need. Bytes that a client adds behind the
// known fields mean nothing and are not kept.
func question(raw []byte) []byte {
	frame := bytes.Clone(raw[:min(len(raw), questionBytes)])
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

// redeliver asks logic for a range again. If the queue is full, the wheel will try again.
func (q *queries) redeliver(s *session, again protocol.Range) {
	q.queue(job{session: s, again: again})
}

func (q *queries) do(j job) {
	s := j.session
	defer s.survive("query")
	if s.phase.Load() == phaseClosing {
		q.gateway.counters.droppedQueries.Add(1)
		return // nobody hears the answer
	}
	if j.frame == nil {
		q.doRedeliver(s, j.again)
		return
	}
	f, _, _ := protocol.Split(j.frame, protocol.MaxFrame)
	if !s.room(j) {
		return
	}
	reply, err := q.ask(&hop.Query{Identity: s.identity(), Frame: j.frame})
	s.queries.Add(-1)
	switch {
	case err != nil:
		q.gateway.failed("a query was not answered", err)
		reply = failure(f.Request, protocol.CodeUnavailable, busyRetry)
	case !answersFrame(j.frame, reply):
		q.gateway.unanswered("logic answered a query with something else", f.Type)
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

// roomy queues the queries that wait for room again. It never waits. Call it without holding any
// lock.
func (q *queries) roomy(s *session) {
	s.mu.Lock()
	parked := s.parked
	s.parked = nil
	s.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range parked { // not through queue, which might refuse them
		q.put(q.of(s.user), j)
	}
}

func (q *queries) ask(query *hop.Query) (reply []byte, err error) {
	defer q.gateway.surviveLogic(&err)
	return q.gateway.logic.Query(q.gateway.ctx, query)
}

func (q *queries) again(r *hop.Redelivery) (pushes []byte, err error) {
	defer q.gateway.surviveLogic(&err)
	return q.gateway.logic.Redeliver(q.gateway.ctx, r)
}

// failed counts a call that logic did not answer. unanswered counts an answer that is invalid.
func (g *Gateway) failed(what string, err error) {
	g.counters.logicFailed.Add(1)
	if g.said.logic.Now() {
		g.log.Warn("gateway: "+what, "error", err)
	}
}

func (g *Gateway) unanswered(what string, t protocol.Type) {
	g.counters.logicUnanswered.Add(1)
	if g.said.answers.Now() {
		g.log.Error("gateway: "+what, "frame", t)
	}
}

// doRedeliver puts the PUSH frames of an unacked range into the outbox. If they do not fit, or
// cannot be read, they come again later, or wait in the store.
func (q *queries) doRedeliver(s *session, r protocol.Range) {
	pushes, err := q.again(&hop.Redelivery{Identity: s.identity(), Range: r})
	if err != nil {
		q.gateway.failed("a range could not be pushed again", err)
		return
	}
	if len(pushes) == 0 {
		return
	}
	if !allPushes(pushes) {
		q.gateway.unanswered("logic gave something else to be pushed again", protocol.TypePush)
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
