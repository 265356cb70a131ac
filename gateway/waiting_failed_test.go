package gateway

import (
	"errors"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// failing has logic fail, and note what it was given, until it is told to stop.
func failing(l *scriptedLogic, fail func()) (calls func() int, works func()) {
	given := make(chan int, 4096)
	l.does(misdeed{forward: func(batch *hop.Forward) (hop.Answers, error) {
		given <- batch.Len()
		fail()
		return hop.Answers{}, errors.New("logic cannot be reached")
	}})
	return func() int { return len(given) }, func() { l.does(misdeed{}) }
}

// An ack that nobody waits for outlives a batch that logic failed: it is tried again until
// logic is back, as one with what came after it.
func TestAcksOfABatchThatFailed(t *testing.T) {
	l := newLogic()
	l.answer = done
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	calls, works := failing(l, func() {})
	p.send(cursorTo(2, 8).AppendPushAck(nil, 0))
	p.send(cursorTo(2, 5).AppendRead(nil, 0))
	st.eventually("both wait", func() bool { return st.stat("acks.postponed") == 2 })
	p.send(cursorTo(2, 9).AppendPushAck(nil, 0))
	st.eventually("the third joins the first", func() bool { return st.stat("acks.merged") == 1 })
	p.send(cursorTo(2, 9).AppendRead(nil, 7)) // somebody waits
	p.refused(7, protocol.CodeUnavailable)
	n := calls()
	st.turn(maxBusyTicks*tick + 2*tick)
	st.eventually("they are tried again", func() bool { return calls() > n && st.stat("acks.postponed") == 4 })
	works()
	st.turn(maxBusyTicks*tick + 2*tick)
	st.eventually("they are carried", func() bool { return len(l.requests()) == 2 })
	got := map[waitingAck]bool{}
	for _, a := range l.cursors(t) {
		got[a] = true
	}
	if !got[waitingAck{kind: protocol.TypePushAck, Cursor: cursorTo(2, 9)}] || !got[waitingAck{kind: protocol.TypeRead, Cursor: cursorTo(2, 5)}] {
		t.Errorf("logic got %v", got)
	}
	if n := st.stat("acks.lost"); n != 0 {
		t.Errorf("%d are counted as lost", n)
	}
}

// While logic does not come back acks are given up after a while, and counted.
func TestAcksOfBatchesThatFailForLong(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	calls, works := failing(l, func() {})
	p.send(cursorTo(2, 8).AppendPushAck(nil, 0))
	for n := 1; st.stat("acks.lost") == 0; n++ {
		if n > 2*int(failingTicks/maxBusyTicks) {
			t.Fatalf("after %d calls nothing is given up", n)
		}
		st.eventually("it is decided", func() bool { return st.stat("acks.lost")+st.stat("acks.postponed") == uint64(n) })
		if st.stat("acks.lost") > 0 {
			break
		}
		p.send(ping(uint32(n))) // a client that lives
		p.answered(uint32(n), protocol.TypePong)
		st.turn(maxBusyTicks*tick + 2*tick)
	}
	p.refused(0, protocol.CodeUnavailable)
	before := calls()
	if before < 10 {
		t.Errorf("it was given up after %d calls", before)
	}
	works()
	st.turn(10 * maxBusyTicks * tick)
	p.alive()
	if n := len(l.requests()); calls() != before || n != 0 || st.stat("acks.lost") != 1 {
		t.Errorf("%d calls, %d after them, %d lost", calls(), n, st.stat("acks.lost"))
	}
	p.send(cursorTo(2, 9).AppendPushAck(nil, 0))
	st.eventually("a later one is carried", func() bool { return len(l.requests()) == 1 })
}

// What makes logic panic is not tried again: it would fail everybody in the next batch.
func TestAcksOfABatchThatPanicked(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	calls, _ := failing(l, func() { panic("a bug") })
	p.send(cursorTo(2, 8).AppendPushAck(nil, 0))
	p.refused(0, protocol.CodeUnavailable)
	if n := st.stat("acks.lost"); n != 1 {
		t.Errorf("%d are counted", n)
	}
	st.turn(2 * maxBusyTicks * tick)
	p.alive()
	if n := calls(); n != 1 {
		t.Errorf("logic was called %d times", n)
	}
}
