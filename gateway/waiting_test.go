package gateway

import (
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// crowded has the connection of a peer have as much under way as it may, until free.
func (st *stage) crowded(p *peer) (free func()) {
	s := st.sessions.get(p.conn)
	s.window.add(maxWritesInFlight, 0)
	return func() { s.window.add(-maxWritesInFlight, 0) }
}

// stuffed has a lane be full, until free.
func (st *stage) stuffed(l *lane) (free func()) {
	add := func(n int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bytes += n
	}
	add(laneBytes + reserveBytes)
	return func() { add(-laneBytes - reserveBytes) }
}

// done answers what wants an answer.
func done(r request) []byte {
	if r.Frame.Request == 0 {
		return nil
	}
	return protocol.AppendEmpty(nil, protocol.TypeDone, r.Frame.Request)
}

// got gives what logic got, as cursors.
func (l *scriptedLogic) cursors(t *testing.T) (all []waitingAck) {
	for _, r := range l.requests() {
		a := waitingAck{kind: r.Frame.Type, request: r.Frame.Request}
		if err := a.Decode(r.Frame.Payload); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// Acks for which there is no room wait for it, those that nobody waits for as one, and are
// not refused. Nobody is told to be over a limit for it.
func TestAcksWaitForRoom(t *testing.T) {
	for name, full := range map[string]func(*stage, *peer) func(){
		"of the connection": (*stage).crowded,
		"of the lane":       func(st *stage, _ *peer) func() { return st.stuffed(st.lanes[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLogic()
			l.answer = done
			st := newStage(t, l, Config{Lanes: 1})
			p := st.login(1)
			free := full(st, p)
			for seq := uint64(1); seq <= 100; seq++ {
				p.send(cursorTo(2, seq).AppendPushAck(nil, 0))
			}
			p.send(cursorTo(2, 60).AppendPushAck(nil, 0))
			p.send(cursorTo(2, 70).AppendRead(nil, 0))
			p.send(cursorTo(2, 71).AppendRead(nil, 5))
			p.send(cursorTo(3, 80).AppendPushAck(nil, 0))
			p.send(ping(6))
			p.answered(6, protocol.TypePong)
			st.turn(10 * tick)
			if n := len(l.requests()); n != 0 {
				t.Fatalf("logic got %d of them", n)
			}
			free()
			st.turn(2 * tick)
			p.answered(5, protocol.TypeDone)
			st.eventually("all are carried", func() bool { return len(l.requests()) == 4 })
			got := map[waitingAck]bool{}
			for _, a := range l.cursors(t) {
				got[a] = true
			}
			for _, want := range []waitingAck{
				{kind: protocol.TypePushAck, Cursor: cursorTo(2, 100)}, {kind: protocol.TypeRead, Cursor: cursorTo(2, 70)},
				{kind: protocol.TypeRead, request: 5, Cursor: cursorTo(2, 71)}, {kind: protocol.TypePushAck, Cursor: cursorTo(3, 80)},
			} {
				if !got[want] {
					t.Errorf("logic did not get %+v", want)
				}
			}
			if n, m, r := st.stat("acks.postponed"), st.stat("acks.merged"), st.stat("refused.busy")+st.stat("refused.too_many"); n != 4 || m != 100 || r != 0 {
				t.Errorf("%d are counted as postponed, %d as merged, %d as refused", n, m, r)
			}
			if s := st.sessions.get(p.conn); s.defied != 0 {
				t.Errorf("the client is said to have defied limits %d times", s.defied)
			}
			p.send(cursorTo(2, 101).AppendPushAck(nil, 7))
			p.answered(7, protocol.TypeDone)
		})
	}
}

// More than may wait are refused, and the ones that wait are not lost for it.
func TestMoreAcksThanMayWaitForRoom(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	free := st.crowded(p)
	for user := uint64(1); user <= maxWaitingAcks; user++ {
		p.send(cursorTo(user, user).AppendRead(nil, 0))
	}
	p.send(cursorTo(maxWaitingAcks+1, 1).AppendRead(nil, 0))
	p.refused(0, protocol.CodeTooManyRequests)
	p.send(cursorTo(1, 2).AppendRead(nil, 0)) // joins one that waits
	p.alive()
	free()
	st.turn(2 * tick)
	st.eventually("all that waited are carried", func() bool { return len(l.requests()) == maxWaitingAcks })
	for i, a := range l.cursors(t) {
		if want := max(uint64(i+1), 2); a.Target.ID != uint64(i+1) || a.Seq != want {
			t.Fatalf("ack %d is %+v", i, a)
		}
	}
}

// An ack over the limit of frames that had to make room for others, and finds none in its
// lane, is refused in so many words, and nothing goes round and round.
func TestForcedAckWithoutRoom(t *testing.T) {
	l := newLogic()
	st := newLimitedStage(t, l, limiter.Rates{}, limiter.Rate{PerSecond: 50, Burst: 1})
	p := st.login(1)
	p.spend(1)
	free := st.crowded(p)
	for user := uint64(1); user <= maxWaitingAcks; user++ {
		p.send(cursorTo(user, user).AppendRead(nil, uint32(user)))
	}
	p.send(cursorTo(maxWaitingAcks+1, 1).AppendRead(nil, 0))
	p.refused(1, protocol.CodeBusy)
	if n, m := st.stat("acks.forced"), st.stat("refused.busy"); n != 0 || m != 1 {
		t.Errorf("%d are counted as forced, %d as refused", n, m)
	}
	free()
	st.pass((maxWaitingAcks + 2) * tick)
	st.eventually("the others are carried", func() bool { return len(l.requests()) == maxWaitingAcks })
}

// Acks whose lane is full do not keep those from theirs that has room.
func TestAcksOfAFullLaneHoldUpNoOthers(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{Lanes: 2})
	p := st.login(1)
	laneOf := func(user uint64) int {
		target := cursorTo(user, 1).Target
		return target.Conversation(1).Partition() % 2
	}
	a, b := uint64(2), uint64(2)
	for ; laneOf(a) != 0; a++ {
	}
	for ; laneOf(b) != 1; b++ {
	}
	freeA, freeB := st.stuffed(st.lanes[0]), st.stuffed(st.lanes[1])
	defer freeA()
	p.send(cursorTo(a, 1).AppendRead(nil, 0))
	p.send(cursorTo(b, 1).AppendRead(nil, 0))
	p.alive()
	freeB()
	st.turn(3 * tick)
	st.eventually("the one with room is carried", func() bool { return len(l.requests()) == 1 })
	if got := l.cursors(t)[0]; got.Target.ID != b {
		t.Errorf("it is %+v", got)
	}
}

// What nobody waits for is tried again when logic had no time for it. Whoever waits hears
// so and tries it again himself.
func TestAcksThatLogicHasNoTimeFor(t *testing.T) {
	l := newLogic()
	var busy atomic.Int32
	busy.Store(3)
	l.answer = func(r request) []byte {
		if busy.Add(-1) >= 0 {
			return protocol.Failure{Code: protocol.CodeBusy, RetryAfter: 100}.AppendError(nil, r.Frame.Request)
		}
		return done(r)
	}
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	for n := 1; n <= 3; n++ {
		if n == 1 {
			p.send(cursorTo(2, 9).AppendRead(nil, 0))
		}
		st.eventually("it is postponed", func() bool { return st.stat("acks.postponed") == uint64(n) })
		st.turn(100*time.Millisecond - tick)
		if got := len(l.requests()); got != n {
			t.Fatalf("logic was asked %d times before it was to be, want %d", got, n)
		}
		st.turn(tick) // and no further: logic's answer is of this tick
		st.eventually("it is tried again", func() bool { return len(l.requests()) == n+1 })
	}
	p.alive()
	for i, a := range l.cursors(t) {
		if (a != waitingAck{kind: protocol.TypeRead, Cursor: cursorTo(2, 9)}) {
			t.Errorf("logic got %+v at time %d", a, i)
		}
	}
	st.turn(time.Second)
	if n := len(l.requests()); n != 4 {
		t.Errorf("logic was asked %d times", n)
	}
	busy.Store(1)
	p.send(cursorTo(2, 9).AppendRead(nil, 8))
	p.refused(8, protocol.CodeBusy)
}

// Whoever leaves while acks wait has acked, as far as there is room; the others are
// counted.
func TestAcksThatWaitForRoomAtTheEnd(t *testing.T) {
	st := newStage(t, newLogic(), Config{Lanes: 1})
	p := st.login(1)
	st.crowded(p)
	p.send(cursorTo(2, 1).AppendRead(nil, 0))
	p.alive()
	s := st.sessions.get(p.conn)
	p.Close()
	st.eventually("it is counted", func() bool { return st.stat("acks.lost") == 1 })
	if s.postpone(&waitingAck{kind: protocol.TypeRead, Cursor: cursorTo(2, 2)}) {
		t.Error("an ack waits for a connection that has ended")
	}
}

// A SEND for which there is no room costs none of its user's tokens.
func TestTokensOfRefusedSends(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	var rates limiter.Rates
	rates[limiter.Sends] = limiter.Rate{PerSecond: 0.001, Burst: 3}
	rates[limiter.SendBytes] = limiter.Rate{PerSecond: 0.001, Burst: 30}
	st := newLimitedStage(t, l, rates, limiter.Rate{})
	p := st.login(1)
	free := st.crowded(p)
	for id := uint64(1); id <= 5; id++ {
		p.send(sendFrame(9, id, "ten  bytes"))
		p.refused(uint32(id), protocol.CodeTooManyRequests)
		st.pass(time.Minute)
	}
	free()
	for id := uint64(1); id <= 3; id++ {
		p.send(sendFrame(9, id, "ten  bytes"))
		p.answered(uint32(id), protocol.TypeSendAck)
	}
	p.send(sendFrame(9, 4, ""))
	p.limitedBy(4, "messages per second")
}
