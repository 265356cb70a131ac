package gateway

import (
	"context"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// While a batch is under way the next one fills: nothing waits for a timer, and
// a busy lane sends large batches.
func TestLaneFillsABatchWhileOneIsUnderWay(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	l.gate, l.entered = make(chan struct{}, 10), make(chan int, 10)
	st := newStage(t, l, Config{Lanes: 1})
	a, b := st.login(1), st.login(2)
	a.send(sendFrame(2, 1, "first"))
	if n := <-l.entered; n != 1 {
		t.Fatalf("an idle lane sent %d frames", n)
	}
	const each = 50
	for i := range uint64(each) {
		a.send(sendFrame(2, i+2, "a"))
		b.send(sendFrame(1, i+1, "b"))
	}
	st.eventually("all have arrived", func() bool { return st.waiting(0) == 2*each })
	l.gate <- struct{}{}
	if n := <-l.entered; n != 2*each {
		t.Errorf("the second batch has %d frames, want %d", n, 2*each)
	}
	l.gate <- struct{}{}
	for i := range each + 1 {
		if f := a.next(); f.Request != uint32(i+1) {
			t.Fatalf("a: answer %d is to request %d", i, f.Request)
		}
	}
	for i := range each {
		if f := b.next(); f.Request != uint32(i+1) {
			t.Fatalf("b: answer %d is to request %d", i, f.Request)
		}
	}
}

func TestConversationStaysInItsLane(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	st := newStage(t, l, Config{Lanes: 3})
	p := st.login(1)
	for i := range uint64(100) {
		p.send(sendFrame(2+i%10, i+1, "x"))
		p.next()
	}
	for _, batch := range l.batches {
		lane := -1
		for _, r := range batch {
			target, _ := protocol.PeekTarget(r.Frame.Payload)
			got := target.Conversation(1).Partition() % 3
			if lane >= 0 && got != lane {
				t.Fatal("one batch holds two lanes")
			}
			lane = got
		}
	}
}

// Bytes of a connection that are not answered are bounded, whatever room there is. A
// SEND beyond that holds those behind it, PUSHACKs and neighbours go on.
func TestWindowOfBytes(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	l.gate, l.entered = make(chan struct{}), make(chan int, 100)
	st := newStage(t, l, Config{Lanes: 1})
	p, neighbour := st.login(1), st.login(3)
	body := string(make([]byte, 32<<10))
	fits := uint64(windowBytes / len(sendFrame(2, 1, body)))
	for i := range fits + 1 {
		p.send(sendFrame(2, i+1, body))
		if i == 0 {
			<-l.entered
		}
	}
	p.refused(uint32(fits+1), protocol.CodeTooManyRequests)
	p.send(sendFrame(9, 1000, "it would fit"))
	p.refused(1000, protocol.CodeTooManyRequests)
	p.send(protocol.Cursor{Target: direct(2), Seq: 1}.AppendPushAck(nil, 0))
	neighbour.send(sendFrame(2, 1, body))
	st.eventually("both are taken", func() bool { return st.waiting(0) == int(fits)-1+2 })
	if many, window, held := st.stat("refused.too_many"), st.stat("refused.window"), st.stat("refused.held"); many != 1 || window != 1 || held != 1 {
		t.Errorf("counted %d, %d and %d", many, window, held)
	}
	close(l.gate)
	for i := range fits {
		if f := p.next(); f.Type != protocol.TypeSendAck || f.Request != uint32(i+1) {
			t.Fatalf("answer %d: %#x to %d", i, f.Type, f.Request)
		}
	}
	if f := neighbour.next(); f.Type != protocol.TypeSendAck {
		t.Errorf("the neighbour was answered with %#x", f.Type)
	}
	p.send(sendFrame(2, 1001, "too early"))
	p.refused(1001, protocol.CodeTooManyRequests)
	st.turn(maxBusyTicks * tick)
	p.send(sendFrame(2, 1002, body))
	if f := p.next(); f.Type != protocol.TypeSendAck || f.Request != 1002 {
		t.Fatalf("answered %#x to %d", f.Type, f.Request)
	}
}

func TestTooManyRequestsOfOneConnection(t *testing.T) {
	l := newLogic()
	l.gate, l.entered = make(chan struct{}), make(chan int, 100)
	st := newStage(t, l, Config{Lanes: 1})
	greedy, neighbour := st.login(1), st.login(2)
	var frames []byte
	for i := range uint64(maxWritesInFlight + 1) {
		frames = append(frames, sendFrame(2, i+1, "")...)
	}
	greedy.send(frames)
	f := greedy.next()
	var m protocol.Failure
	if err := m.Decode(f.Payload); err != nil || m.Code != protocol.CodeTooManyRequests || f.Request != maxWritesInFlight+1 {
		t.Errorf("answered %v to %d, %v", m.Code, f.Request, err)
	}
	neighbour.alive()
	close(l.gate)
}

func TestPanicInLogicEndsNothing(t *testing.T) {
	l := newLogic()
	l.answer = func(r request) []byte {
		if r.User == 1 {
			panic("a bug")
		}
		return ackSend(r)
	}
	st := newStage(t, l, Config{Lanes: 1})
	a, b := st.login(1), st.login(2)
	a.send(sendFrame(2, 1, "x"))
	a.refused(1, protocol.CodeUnavailable)
	a.alive()
	b.send(sendFrame(1, 1, "x"))
	if f := b.next(); f.Type != protocol.TypeSendAck {
		t.Errorf("answered %#x", f.Type)
	}
	if n := st.stat("panics"); n != 1 {
		t.Errorf("%d panics counted", n)
	}
}

// What goes to one connection because of a batch goes out in one write: the answer
// to its own message, and the pushes that came while logic worked on the batch.
func TestAnswersAndPushesOfABatchShareAWrite(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	st := newStage(t, l, Config{Lanes: 1, Writers: 1})
	p := st.login(1)
	l.within(func(ctx context.Context) {
		st.Push(ctx, pushOf([]delivery{{Frame: pushFrame(2, 1, 1, 10), Conns: []uint64{p.conn}}}))
	})
	const rounds = 50
	st.eventually("the write of WELCOME is counted", func() bool { return st.stat("bytes_out") > 0 })
	welcome := st.stat("bytes_out")
	st.settled() // a writer that is not done yet would write a part of the next batch
	for i := range uint64(rounds) {
		p.send(sendFrame(2, i+1, "x"))
		p.next()
		p.next()
		st.settled()
	}
	each := uint64(len(pushFrame(2, 1, 1, 10)) + len(ackSend(request{Frame: protocol.Frame{Type: protocol.TypeSend, Payload: sendFrame(2, 1, "x")[protocol.HeaderSize:]}})))
	st.eventually("all is counted", func() bool { return st.stat("bytes_out") == welcome+rounds*each })
	if n := st.stat("writes") - 1; n != rounds {
		t.Errorf("%d writes for %d batches", n, rounds)
	}
}

// Of a batch of hundreds of connections everybody is answered, by whichever writer.
func TestEveryoneOfABigBatchIsAnswered(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	l.gate, l.entered = make(chan struct{}), make(chan int, 100)
	st := newStage(t, l, Config{Lanes: 1, Writers: 3})
	peers := make([]*peer, 300)
	for i := range peers {
		peers[i] = st.login(uint64(1 + i%200))
	}
	peers[0].send(sendFrame(9, 1, "the gate closes behind this one"))
	<-l.entered
	for _, p := range peers[1:] {
		p.send(sendFrame(9, 1, "all of these are one batch"))
	}
	st.eventually("all have arrived", func() bool { return st.waiting(0) == len(peers)-1 })
	close(l.gate)
	for _, p := range peers {
		if f := p.next(); f.Type != protocol.TypeSendAck || f.Request != 1 {
			t.Fatalf("answered %#x to %d", f.Type, f.Request)
		}
		p.nothing()
	}
	if n := <-l.entered; n != len(peers)-1 {
		t.Errorf("a batch of %d, want %d", n, len(peers)-1)
	}
}

// What a connection has in a lane when it ends, in the queue and in its surplus, is
// not carried.
func TestFramesOfAConnectionThatIsGone(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	l.gate, l.entered = make(chan struct{}, 10), make(chan int, 10)
	st := newStage(t, l, Config{Lanes: 1})
	p, neighbour := st.login(1), st.login(2)
	neighbour.send(sendFrame(3, 1, "the gate closes behind this one"))
	<-l.entered
	const n = 150 // of more than a batch's bytes
	body := string(make([]byte, 4<<10))
	for i := range uint64(n) {
		if i == 1 {
			p.send(protocol.Cursor{Target: direct(3), Seq: 1}.AppendPushAck(nil, 0))
		}
		p.send(sendFrame(3, i+1, body))
	}
	st.eventually("all wait", func() bool { return st.waiting(0) == n+1 })
	neighbour.send(sendFrame(3, 2, "x"))
	st.eventually("all wait", func() bool { return st.waiting(0) == n+2 })
	p.Close()
	st.eventually("it is gone", func() bool { return st.stat("connections") == 1 })
	l.gate <- struct{}{}
	if n := <-l.entered; n != 2 {
		t.Errorf("%d frames are carried, want the neighbour's and the ack, which wants no answer", n)
	}
	if n := st.waiting(0); n != 0 {
		t.Errorf("%d frames still wait", n)
	}
	l.gate <- struct{}{}
	for request := range uint32(2) {
		if f := neighbour.next(); f.Type != protocol.TypeSendAck || f.Request != request+1 {
			t.Fatalf("answered %#x to %d", f.Type, f.Request)
		}
	}
	if dropped, left := st.stat("drop.frames"), st.waiting(0); dropped != n || left != 0 {
		t.Errorf("%d counted, %d wait", dropped, left)
	}
}

// While logic hangs over one lane, the others go on, and so do PING, queries and
// pushes, for everybody.
func TestLaneThatHangsHoldsUpNoOther(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{Lanes: 2})
	lane := func(other uint64) int { return direct(other).Conversation(1).Partition() % 2 }
	hung, free := uint64(2), uint64(3)
	for lane(free) == lane(hung) {
		free++
	}
	hangs, goOn := make(chan struct{}, 10), make(chan struct{})
	l.does(misdeed{forward: func(b *hop.Forward) (hop.Answers, error) {
		if b.Queue == lane(hung) {
			hangs <- struct{}{}
			<-goOn
		}
		return well(b, nil), nil
	}})
	p := st.login(1)
	p.send(sendFrame(hung, 1, "x"))
	<-hangs
	p.send(sendFrame(hung, 2, "x"))
	for request := uint64(10); request < 20; request++ {
		p.send(sendFrame(free, request, "x"))
		if f := p.next(); f.Type != protocol.TypeSendAck || f.Request != uint32(request) {
			t.Fatalf("answered %#x to %d", f.Type, f.Request)
		}
		p.nothing()
		p.send(protocol.Sync{}.AppendFrame(nil, 5))
		if f := p.next(); f.Type != protocol.TypeSynced {
			t.Fatalf("answered %#x", f.Type)
		}
		st.push([]delivery{{pushFrame(hung, 1, request, 10), []uint64{p.conn}}})
		if f := p.next(); f.Type != protocol.TypePush {
			t.Fatalf("came %#x", f.Type)
		}
	}
	close(goOn)
	for request := range uint32(2) {
		if f := p.next(); f.Type != protocol.TypeSendAck || f.Request != request+1 {
			t.Fatalf("answered %#x to %d", f.Type, f.Request)
		}
	}
}

// A PUSHACK that waits for room in its lane ends no wait for it: logic has not heard of it.
func TestPushAckWithoutRoomEndsNoWait(t *testing.T) {
	l := newLogic()
	l.gate, l.entered = make(chan struct{}), make(chan int, 100)
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	st.push([]delivery{{pushFrame(2, 1, 1, 10), []uint64{p.conn}}})
	p.next()
	p.send(sendFrame(2, 1, "holds the lane"))
	<-l.entered
	free := st.stuffed(st.lanes[0])
	p.send(protocol.Cursor{Target: direct(2), Seq: 1}.AppendPushAck(nil, 0))
	p.alive()
	st.turn(protocol.PushAckTimeout + tick)
	st.eventually("logic is asked for the push", func() bool { return l.redeliveries() == 1 })
	free()
	close(l.gate)
	st.turn(2 * tick)
	st.eventually("logic gets it", func() bool { return len(l.requests()) == 2 })
	st.turn(2 * protocol.PushAckTimeout)
	if n := l.redeliveries(); n != 1 {
		t.Errorf("logic was asked for the push %d times", n)
	}
}

// A stop answers what is under way before it says CLOSE.
func TestStopLosesNothing(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	l.gate, l.entered = make(chan struct{}), make(chan int, 100)
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	p.send(sendFrame(2, 1, "x"))
	<-l.entered
	const more = 3 * shareFrames // beyond its share
	for i := range uint64(more) {
		p.send(sendFrame(2, i+2, "x"))
	}
	q := st.login(2)
	q.send(sendFrame(1, 1, string(make([]byte, shareBytes)))) // beyond the share by itself
	st.eventually("all wait", func() bool { return st.waiting(0) == more+1 })
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stopped <- st.Stop(ctx)
	}()
	st.eventually("new ones are refused", func() bool {
		q := st.dial()
		q.SetReadDeadline(time.Now().Add(time.Second))
		_, err := q.Read(make([]byte, 1))
		return err != nil && q.conn == 0
	})
	st.eventually("it waits for all of these and for what is under way", func() bool { return st.lanes[0].left() == more+2 })
	close(l.gate)
	if f := q.next(); f.Type != protocol.TypeSendAck {
		t.Fatalf("answered %#x", f.Type)
	}
	for i := range uint32(more + 1) {
		if f := p.next(); f.Type != protocol.TypeSendAck || f.Request != i+1 {
			t.Fatalf("answer %d: %#x to %d", i, f.Type, f.Request)
		}
	}
	if code := p.closed(); code != protocol.CodeDraining {
		t.Errorf("closed with %v", code)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := st.Stop(context.Background()); err != ErrStopped {
		t.Errorf("a second stop: %v", err)
	}
}

// Who is refused again and again is told to wait longer each time, and who was not
// for a while begins anew.
func TestRefusedAgainWaitsLonger(t *testing.T) {
	s := &session{}
	now, before := int64(1000), time.Duration(0)
	for range 12 {
		wait := s.busyFor(now)
		if again := s.busyFor(now + 1); again != wait-tick {
			t.Fatalf("a frame of the same time is told %v, the one before %v", again, wait)
		}
		if wait < before || wait > maxBusyTicks*tick {
			t.Fatalf("told to wait %v, and before that %v", wait, before)
		}
		before = wait / 2 // half of it is chance
		now = s.busyUntil
	}
	if before < maxBusyTicks*tick/4 {
		t.Errorf("at last told to wait %v", 2*before)
	}
	if wait := s.busyFor(s.busyUntil + s.busyTicks + 1); wait > minBusyTicks*tick {
		t.Errorf("after a pause told to wait %v", wait)
	}
}
