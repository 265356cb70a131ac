package gateway

import (
	"maps"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// held makes a gateway whose Query waits for a token, a client with one query under
// way for each worker, and one that is logged in beside it.
func held(t *testing.T, workers int) (st *stage, p, neighbour *peer, asked, tokens chan struct{}) {
	l := newLogic()
	l.answer = ackSend
	st = newStage(t, l, Config{QueryWorkers: workers})
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

// When as much waits as may, requests hear busy, logins that nobody can be checked,
// and pushes to be repeated come again with the wheel.
func TestFullQueueOfQueries(t *testing.T) {
	st, p, _, asked, tokens := held(t, 1)
	st.push([]delivery{{pushFrame(2, 1, 1, 10), []uint64{p.conn}}})
	if f := p.next(); f.Type != protocol.TypePush {
		t.Fatalf("came %v", f.Type)
	}
	gone := &session{gateway: st.Gateway}
	gone.phase.Store(phaseClosing)
	for st.queries.queue(job{session: gone}) {
	}
	p.send(protocol.Sync{}.AppendFrame(nil, 5))
	p.refused(5, protocol.CodeBusy)
	q := st.dial()
	q.send(hello(2))
	if code := q.closed(); code != protocol.CodeLoginUnavailable {
		t.Errorf("closed with %v", code)
	}
	if n := st.stat("refused.busy"); n != 2 {
		t.Errorf("%d counted", n)
	}
	st.turn(protocol.PushAckTimeout + tick) // in vain
	p.nothing()
	tokens <- struct{}{}
	p.done(1)
	st.eventually("the queue is empty", func() bool { return len(st.queries.jobs) == 0 })
	if n := st.logic.redeliveries(); n != 0 {
		t.Errorf("logic was asked %d times by sessions that are gone, or a queue that was full", n)
	}
	st.turn(protocol.PushAckTimeout + tick)
	st.eventually("the push is asked for", func() bool { return st.logic.redeliveries() == 1 })
	tokens <- struct{}{}
	p.send(protocol.Sync{}.AppendFrame(nil, 6))
	p.done(6)
	<-asked
}

// What a connection has asked that is gone is not asked any more.
func TestQueriesOfAConnectionThatIsGone(t *testing.T) {
	st, p, q, asked, tokens := held(t, 1)
	for i := range uint32(5) {
		p.send(protocol.Sync{}.AppendFrame(nil, 10+i))
	}
	st.eventually("they wait", func() bool { return len(st.queries.jobs) == 5 })
	q.send(protocol.Sync{}.AppendFrame(nil, 3))
	st.eventually("it waits behind them", func() bool { return len(st.queries.jobs) == 6 })
	p.Close()
	st.eventually("it is gone", func() bool { return st.stat("connections") == 1 })
	tokens <- struct{}{}
	tokens <- struct{}{}
	q.done(3)
	if n := len(asked); n != 1 {
		t.Errorf("%d queries went to logic after the first, want 1", n)
	}
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
	st.eventually("logic is asked", func() bool { return l.redeliveries() == 1 && len(st.queries.jobs) == 0 })
	s.mu.Lock()
	s.outbox.pushed -= outboxBytes
	s.mu.Unlock()
	p.nothing()
	st.turn(protocol.PushAckTimeout + tick)
	if f := p.next(); f.Type != protocol.TypePush {
		t.Fatalf("came %v", f.Type)
	}
}
