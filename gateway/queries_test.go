package gateway

import (
	"maps"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// held makes a gateway whose Query waits for a token, a client with one query under
// way for each worker that it may have, and one that is logged in beside it.
func held(t *testing.T, workers int) (st *stage, p, neighbour *peer, asked, tokens chan struct{}) {
	l := newLogic()
	l.answer = ackSend
	c := Config{QueryWorkers: workers}
	if workers > 1 {
		c.QueryWorkers++ // that is left for others
	}
	st = newStage(t, l, c)
	asked, tokens = make(chan struct{}, 1<<10), make(chan struct{}, 1<<10)
	l.does(misdeed{query: func(q *hop.Query) ([]byte, error) {
		asked <- struct{}{}
		<-tokens
		f, _, _ := protocol.Split(q.Frame, protocol.MaxFrame)
		return protocol.AppendEmpty(nil, f.Type.Answer(), f.Request), nil
	}})
	p, neighbour = st.login(1), st.login(2)
	for i := range workers {
		p.send(protocol.Sync{}.AppendFrame(nil, uint32(i+1)))
		<-asked
	}
	return st, p, neighbour, asked, tokens
}

func (p *peer) done(request uint32) {
	p.t.Helper()
	if f := p.next(); f.Type != protocol.TypeSynced || f.Request != request {
		p.t.Fatalf("answered %v to %d, want SYNCED to %d", f.Type, f.Request, request)
	}
}

// A query that takes long holds up no message, no PING and, where there is another
// worker, no other query.
func TestSlowQueryHoldsUpNothingElse(t *testing.T) {
	st, p, _, _, tokens := held(t, 2)
	tokens <- struct{}{} // for one of the two
	first := p.next()
	p.send(protocol.History{Target: direct(2)}.AppendFrame(nil, 7))
	tokens <- struct{}{}
	p.send(sendFrame(2, 8, "x"))
	heard := map[uint32]protocol.Type{}
	for range 2 {
		f := p.next()
		heard[f.Request] = f.Type
	}
	if heard[8] != protocol.TypeSendAck {
		t.Errorf("the SEND was answered with %v", heard[8])
	}
	p.nothing()
	tokens <- struct{}{}
	last := p.next()
	heard[first.Request], heard[last.Request] = first.Type, last.Type
	if want := map[uint32]protocol.Type{1: protocol.TypeSynced, 2: protocol.TypeSynced, 7: protocol.TypeMessages, 8: protocol.TypeSendAck}; !maps.Equal(heard, want) {
		t.Errorf("answers: %v, want %v", heard, want)
	}
	if n := st.stat("requests"); n != 1 {
		t.Errorf("%d frames went through the lanes", n)
	}
}

func TestTooManyQueriesOfOneConnection(t *testing.T) {
	st, p, _, _, tokens := held(t, 1)
	for i := range uint32(maxQueriesInFlight - 1) {
		p.send(protocol.Sync{}.AppendFrame(nil, 100+i))
	}
	p.send(protocol.Sync{}.AppendFrame(nil, 99))
	p.refused(99, protocol.CodeTooManyRequests)
	if n := st.stat("refused.too_many"); n != 1 {
		t.Errorf("%d counted", n)
	}
	for range maxQueriesInFlight {
		tokens <- struct{}{}
	}
	p.done(1)
	for i := range uint32(maxQueriesInFlight - 1) {
		p.done(100 + i)
	}
	tokens <- struct{}{}
	p.send(protocol.Sync{}.AppendFrame(nil, 98)) // there is room again
	p.done(98)
}

// left gives how many queries wait for a worker.
func (q *queries) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// When as much waits as may, whoever has something waiting hears busy, or has pushes
// repeated later, and everybody else is served.
func TestFullQueueOfQueries(t *testing.T) {
	st, p, neighbour, _, tokens := held(t, 1)
	st.push([]delivery{{pushFrame(2, 1, 1, 10), []uint64{p.conn}}})
	if f := p.next(); f.Type != protocol.TypePush {
		t.Fatalf("came %v", f.Type)
	}
	p.send(protocol.Sync{}.AppendFrame(nil, 2))
	st.eventually("it waits", func() bool { return st.queries.left() == 1 })
	gone := &session{gateway: st.Gateway, user: 1 << 40}
	gone.phase.Store(phaseClosing)
	for st.queries.queue(job{session: gone, frame: history(1, 1)}) {
	}
	if n := st.queries.left(); n != queryQueue {
		t.Errorf("%d wait", n)
	}
	p.send(protocol.Sync{}.AppendFrame(nil, 5))
	p.refused(5, protocol.CodeBusy)
	if n := st.stat("refused.busy"); n != 1 {
		t.Errorf("%d counted", n)
	}
	st.turn(protocol.PushAckTimeout + tick) // in vain
	p.nothing()
	neighbour.send(protocol.Sync{}.AppendFrame(nil, 3))
	st.eventually("it waits", func() bool { return st.queries.left() == queryQueue+1 })
	q := st.login(5)
	for range 3 {
		tokens <- struct{}{}
	}
	p.done(1)
	p.done(2)
	neighbour.done(3)
	st.eventually("the queue is empty", func() bool { return st.queries.left() == 0 })
	if n := st.logic.redeliveries(); n != 0 {
		t.Errorf("logic was asked %d times by sessions that are gone, or a queue that was full", n)
	}
	st.turn(protocol.PushAckTimeout + tick)
	st.eventually("the push is asked for", func() bool { return st.logic.redeliveries() == 1 })
	if n := st.stat("drop.queries"); n != queryQueue-1 {
		t.Errorf("%d dropped ones counted", n)
	}
	q.alive()
}

// One user's questions wait behind each other, from however many devices they come; a
// neighbour's is next.
func TestReadersGoRound(t *testing.T) {
	st, p, neighbour, asked, tokens := held(t, 1)
	other := st.dial()
	other.send(protocol.Hello{Version: protocol.Version, Token: []byte{1}, Device: 77}.AppendFrame(nil, 1))
	other.next()
	for i := range uint32(10) {
		p.send(protocol.Sync{}.AppendFrame(nil, 10+i))
		other.send(protocol.Sync{}.AppendFrame(nil, 10+i))
	}
	st.eventually("they wait", func() bool { return st.queries.left() == 20 })
	neighbour.send(protocol.Sync{}.AppendFrame(nil, 1))
	neighbour.send(protocol.Sync{}.AppendFrame(nil, 2))
	st.eventually("they wait", func() bool { return st.queries.left() == 22 })
	for range 5 { // what was under way, and two each
		tokens <- struct{}{}
	}
	neighbour.done(1)
	neighbour.done(2)
	for range 19 {
		tokens <- struct{}{}
	}
	p.done(1)
	for i := range uint32(10) {
		p.done(10 + i)
		other.done(10 + i)
	}
	if n := len(asked); n != 22 {
		t.Errorf("logic was asked %d times", n)
	}
	st.eventually("nobody is remembered", func() bool {
		st.queries.mu.Lock()
		defer st.queries.mu.Unlock()
		return len(st.queries.users) == 0
	})
}

// However much a user asks, a worker is left for everybody else.
func TestAUserLeavesAWorker(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{QueryWorkers: 3})
	tokens := make(chan struct{})
	defer close(tokens)
	l.does(misdeed{query: func(q *hop.Query) ([]byte, error) {
		if q.User == 1 {
			<-tokens
		}
		f, _, _ := protocol.Split(q.Frame, protocol.MaxFrame)
		return protocol.AppendEmpty(nil, f.Type.Answer(), f.Request), nil
	}})
	p, neighbour := st.login(1), st.login(2)
	for i := range uint32(10) {
		p.send(protocol.Sync{}.AppendFrame(nil, 1+i))
	}
	st.eventually("two are under way", func() bool { return st.queries.left() == 8 })
	for i := range uint32(20) {
		neighbour.send(protocol.Sync{}.AppendFrame(nil, 1+i))
		neighbour.done(1 + i)
	}
}

// While every query hangs, people log in.
func TestLoginsDoNotWaitForQueries(t *testing.T) {
	st, p, _, asked, tokens := held(t, 1)
	for i := range uint32(maxQueriesInFlight - 1) {
		p.send(protocol.Sync{}.AppendFrame(nil, 100+i))
	}
	for user := uint64(10); user < 20; user++ {
		st.login(user)
	}
	if n := len(asked); n != 0 {
		t.Errorf("%d more queries were begun", n)
	}
	for range maxQueriesInFlight {
		tokens <- struct{}{}
	}
}

// Of a query no more is kept than its fields.
func TestLongQueryIsCut(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{})
	sizes := make(chan int, 10)
	l.does(misdeed{query: func(q *hop.Query) ([]byte, error) {
		sizes <- cap(q.Frame)
		f, n, err := protocol.Split(q.Frame, protocol.MaxFrame)
		var m protocol.Sync
		if err != nil || n != len(q.Frame) || m.Decode(f.Payload) != nil || m.Since != 7 || m.Limit != 9 || !m.Unacked {
			t.Errorf("logic gets %x", q.Frame)
		}
		return protocol.AppendEmpty(nil, f.Type.Answer(), f.Request), nil
	}})
	p := st.login(1)
	long := protocol.Sync{Since: 7, Limit: 9, Unacked: true}.AppendFrame(nil, 3)
	f, _, _ := protocol.Split(long, protocol.MaxFrame)
	f.Payload = append(f.Payload, make([]byte, 60<<10)...)
	p.send(f.Append(nil))
	p.done(3)
	if n := <-sizes; n > 2*questionBytes {
		t.Errorf("%d bytes were kept of a query of %d", n, len(f.Payload))
	}
}

// What a connection has asked that is gone is not asked any more.
func TestQueriesOfAConnectionThatIsGone(t *testing.T) {
	st, p, q, asked, tokens := held(t, 1)
	for i := range uint32(5) {
		p.send(protocol.Sync{}.AppendFrame(nil, 10+i))
	}
	st.eventually("they wait", func() bool { return st.queries.left() == 5 })
	q.send(protocol.Sync{}.AppendFrame(nil, 3))
	st.eventually("it waits behind them", func() bool { return st.queries.left() == 6 })
	p.Close()
	st.eventually("it is gone", func() bool { return st.stat("connections") == 1 })
	tokens <- struct{}{}
	tokens <- struct{}{}
	q.done(3)
	if n := len(asked); n != 1 {
		t.Errorf("%d queries went to logic after the first, want 1", n)
	}
	st.eventually("they are counted", func() bool { return st.stat("drop.queries") == 5 })
}

// A push that logic gives again, and that does not fit, comes later.
func TestRedeliveryThatDoesNotFit(t *testing.T) {
	l := newLogic()
	l.redeliver = func(*hop.Redelivery) []byte { return pushFrame(1, 2, 4, 10) }
	st := newStage(t, l, Config{})
	p := st.login(2)
	st.push([]delivery{{pushFrame(1, 2, 4, 10), []uint64{p.conn}}})
	p.next()
	s := st.sessions.get(p.conn)
	s.mu.Lock()
	s.outbox.pushed += outboxBytes // as if it were full
	s.mu.Unlock()
	st.turn(protocol.PushAckTimeout + tick)
	st.eventually("logic is asked, and that is done", func() bool {
		st.queries.mu.Lock()
		defer st.queries.mu.Unlock()
		return l.redeliveries() == 1 && len(st.queries.users) == 0
	})
	s.mu.Lock()
	s.outbox.pushed -= outboxBytes
	s.mu.Unlock()
	p.nothing()
	st.turn(protocol.PushAckTimeout + tick)
	if f := p.next(); f.Type != protocol.TypePush {
		t.Fatalf("came %v", f.Type)
	}
}
