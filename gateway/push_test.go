package gateway

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"gannet/protocol"
)

func TestPushGoesToItsConnectionsInOrder(t *testing.T) {
	st := newStage(t, newLogic(), Config{Writers: 2})
	a, b := st.login(2), st.login(3)
	const gone = 999
	for seq := uint64(1); seq <= 500; seq++ {
		absent := st.push([]delivery{
			{Frame: pushFrame(1, 2, 2*seq-1, 50), Conns: []uint64{a.conn, gone, b.conn}},
			{Frame: pushFrame(1, 2, 2*seq, 50), Conns: []uint64{a.conn, b.conn}},
		})
		if len(absent) != 1 || absent[0] != gone {
			t.Fatalf("absent: %v", absent)
		}
	}
	for _, p := range []*peer{a, b} {
		for seq := uint64(1); seq <= 1000; seq++ {
			f := p.next()
			var m protocol.Message
			if err := m.Decode(f.Payload); err != nil || m.Seq != seq {
				t.Fatalf("got seq %d, want %d: %v", m.Seq, seq, err)
			}
		}
	}
	if n := st.stat("push.absent"); n != 500 {
		t.Errorf("%d absent counted", n)
	}
}

// buffer sets how much the peer's kernel takes that the peer does not read.
func (p *peer) buffer(bytes int) {
	p.t.Helper()
	below := p.Conn
	if secure, ok := below.(*tls.Conn); ok {
		below = secure.NetConn()
	}
	if err := below.(*net.TCPConn).SetReadBuffer(bytes); err != nil {
		p.t.Fatal(err)
	}
}

// flood pushes until the connection's outbox has overflowed and its socket takes
// no more, and gives the last seq. A socket that says so once may have room
// again while the kernel is still moving what it holds: it waits 200 ms before it
// sends less than a full segment. So the socket is tried for 300 ms after the last
// byte, in which the clock of the wheel moves on by half a second.
func flood(st *stage, p *peer) uint64 {
	p.buffer(128 << 10) // two of the largest segments, or the kernel waits to tell of room
	s := st.sessions.get(p.conn)
	full := false
	tried := func() bool { // nobody writes, nor is about to
		s.writing.Lock()
		defer s.writing.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		full = s.outbox.blocked && len(s.outbox.hints) > 0
		return !s.listed
	}
	last, written := uint64(0), uint64(0)
	for refusals := 0; refusals < 25; refusals++ {
		st.eventually("the socket is tried", tried)
		if n := st.stat("bytes_out"); n != written {
			refusals, written = 0, n
		}
		if full {
			time.Sleep(12 * time.Millisecond)
			st.wake(p.conn)
			st.turn(tick)
			continue
		}
		refusals = 0
		last++
		st.push([]delivery{{Frame: pushFrame(1, 2, last, 16<<10), Conns: []uint64{p.conn}}})
	}
	return last
}

func TestClientThatNeverReads(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	stuck, neighbour := st.login(2), st.login(3)
	last := flood(st, stuck)
	s := st.sessions.get(stuck.conn)
	s.mu.Lock()
	held := s.outbox.bytes()
	s.mu.Unlock()
	if held > blockedBytes+20<<10 { // and the frame that was cut
		t.Errorf("%d bytes held for a client that does not read", held)
	}
	// A neighbour on the same writer is served meanwhile.
	st.push([]delivery{{Frame: pushFrame(1, 3, 1, 100), Conns: []uint64{neighbour.conn}}})
	if f := neighbour.next(); f.Type != protocol.TypePush {
		t.Fatalf("the neighbour got %#x", f.Type)
	}
	// Once it reads, it hears of every message, by push, or by a hint that goes as
	// far; nobody turns the wheel for that.
	hints := 0
	for known := uint64(0); known < last; {
		switch f := stuck.next(); f.Type {
		case protocol.TypeHint:
			var hint protocol.Cursor
			if err := hint.Decode(f.Payload); err != nil || hint.Target != direct(1) || hint.Seq > last {
				t.Fatalf("hint %+v, %v; pushed up to %d", hint, err, last)
			}
			known = max(known, hint.Seq)
			hints++
		case protocol.TypePush:
			var m protocol.Message
			if err := m.Decode(f.Payload); err != nil || m.Seq > last {
				t.Fatalf("push %d: %v", m.Seq, err)
			}
			known = max(known, m.Seq)
		default:
			t.Fatalf("got %#x", f.Type)
		}
	}
	if hints == 0 {
		t.Error("no hint came for what did not fit")
	}
	stuck.alive()
}

func TestSocketThatTakesNothingIsClosedAtLast(t *testing.T) {
	l := newLogic()
	l.silence = time.Hour
	st := newStage(t, l, Config{})
	stuck := st.login(2)
	last := flood(st, stuck)
	st.turn(writeTimeout - time.Second)
	if n := st.stat("close.write_timeout"); n != 0 {
		t.Fatal("closed too early")
	}
	s := st.sessions.get(stuck.conn)
	st.eventually("closed", func() bool {
		s.mu.Lock()
		idle, took := !s.listed, !s.outbox.blocked // the clock waits for the writer
		s.mu.Unlock()
		switch {
		case idle && took: // the kernel has made room after all for the little that waited
			last++
			st.push([]delivery{{Frame: pushFrame(1, 2, last, 16<<10), Conns: []uint64{stuck.conn}}})
		case idle:
			st.turn(time.Second)
		}
		return st.stat("close.write_timeout") == 1
	})
}

func TestClientThatAsksAndDoesNotRead(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(1)
	st.ticking()
	pings := []byte{}
	for range 4000 {
		pings = protocol.AppendEmpty(pings, protocol.TypePing, 1)
	}
	go func() {
		for { // until the gateway hangs up
			if _, err := p.Write(pings); err != nil {
				return
			}
		}
	}()
	st.eventually("closed", func() bool { return st.stat("close.not_reading") == 1 })
}

// Pushes, replies, kicks and peers that vanish, all at once: nothing panics,
// nothing is written to a socket that is not ours any more.
func TestClosingWhileWriting(t *testing.T) {
	st := newStage(t, newLogic(), Config{Writers: 2})
	var wg sync.WaitGroup
	for round := range 60 {
		p := st.login(uint64(round + 1))
		var pushing sync.WaitGroup
		for range 2 {
			pushing.Go(func() {
				for seq := uint64(1); seq < 200; seq++ {
					st.push([]delivery{{Frame: pushFrame(1, 2, seq, 500), Conns: []uint64{p.conn}}})
				}
			})
		}
		wg.Go(func() {
			switch round % 3 {
			case 0:
				p.Close()
			case 1:
				st.Kick(p.conn, protocol.CodeReplaced)
			default:
				p.Write([]byte{0, 0, 0, 0})
			}
		})
		pushing.Wait()
	}
	wg.Wait()
	st.eventually("all are gone", func() bool {
		st.turn(tick) // nobody reads, so some take their CLOSE no more
		return st.stat("connections") == 0
	})
	var ended uint64
	for name, n := range st.Stats() {
		if len(name) > 6 && name[:6] == "close." {
			ended += n
		}
	}
	if ended != 60 {
		t.Errorf("%d ends counted: %v", ended, st.Stats())
	}
}

func TestKickedConnectionIsToldWhy(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(1)
	st.Kick(p.conn, protocol.CodeReplaced)
	if code := p.closed(); code != protocol.CodeReplaced {
		t.Errorf("closed with %v", code)
	}
	st.Kick(p.conn, protocol.CodeReplaced) // gone already
	st.Kick(12345, protocol.CodeReplaced)  // never there
}

func TestEveryCloseReasonHasACounter(t *testing.T) {
	var c counters
	for _, code := range closeReasons {
		c.close(code)
	}
	for i, code := range closeReasons {
		if n := c.closed[i].Load(); n != 1 {
			t.Errorf("%v counted %d times", code, n)
		}
	}
	c.close(protocol.CodeUnavailable) // none of these; logic may be newer
	if n := c.closedOther.Load(); n != 1 {
		t.Errorf("a code that is not in the list was counted %d times", n)
	}
}

func receiptFrame(user, delivered uint64) []byte {
	return protocol.Receipt{Target: direct(1), User: user, Delivered: delivered}.AppendFrame(nil)
}

// A receipt waits for a write that happens anyway, and after a moment goes alone.
func TestReceiptsGoWithOtherWrites(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(1)
	st.eventually("the write of WELCOME is counted", func() bool { return st.stat("bytes_out") > 0 })
	welcome := st.stat("bytes_out")
	st.settled()
	deliver := func(frame []byte) {
		st.push([]delivery{{frame, []uint64{p.conn}}})
		st.settled()
	}
	comes := func(want ...protocol.Type) {
		t.Helper()
		for _, typ := range want {
			if f := p.next(); f.Type != typ {
				t.Fatalf("came %#x, want %#x", f.Type, typ)
			}
		}
	}
	deliver(receiptFrame(2, 1))
	deliver(receiptFrame(2, 2))
	st.turn((receiptTicks - 1) * tick)
	deliver(pushFrame(2, 1, 3, 10))
	comes(protocol.TypeReceipt, protocol.TypeReceipt, protocol.TypePush)
	all := uint64(2*len(receiptFrame(2, 1)) + len(pushFrame(2, 1, 3, 10)))
	st.eventually("all is counted", func() bool { return st.stat("bytes_out") == welcome+all })
	if n := st.stat("writes"); n != 2 {
		t.Errorf("%d writes, want 2", n)
	}
	deliver(receiptFrame(2, 3))
	st.turn(receiptTicks * tick)
	comes(protocol.TypeReceipt)
}

// Of a receipt there is no second copy, so where it does not fit a hint says that
// anything may have changed.
func TestReceiptThatDoesNotFit(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(1)
	s := st.sessions.get(p.conn)
	s.mu.Lock()
	s.outbox.pushed += outboxBytes // as if it were full
	s.mu.Unlock()
	st.push([]delivery{{receiptFrame(2, 1), []uint64{p.conn}}})
	s.mu.Lock()
	s.outbox.pushed -= outboxBytes
	s.mu.Unlock()
	st.turn(receiptTicks * tick)
	var hint protocol.Cursor
	if f := p.next(); f.Type != protocol.TypeHint || hint.Decode(f.Payload) != nil || hint != (protocol.Cursor{}) {
		t.Fatalf("came %#x, %+v", f.Type, hint)
	}
	if n := st.stat("push.outbox_full"); n != 1 {
		t.Errorf("%d counted", n)
	}
}

// Frames to one connection go out in the order of the pushes, urgent ones before
// what waits, whichever goroutine brings them.
func TestUrgentPushesOvertake(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(2)
	notice := protocol.Message{Target: protocol.Target{Kind: protocol.KindSystem, ID: 2}, Seq: 1, Content: protocol.ContentText}.AppendFrame(nil)
	l.within(func(ctx context.Context) { // nothing is written until the batch is over
		for seq := uint64(1); seq <= 3; seq++ {
			st.Push(ctx, pushOf([]delivery{{pushFrame(1, 2, seq, 10), []uint64{p.conn}}}))
		}
		st.Push(ctx, pushOf([]delivery{{notice, []uint64{p.conn}}}))
	})
	st.login(1).send(sendFrame(2, 1, "x"))
	for _, want := range []protocol.Message{
		{Target: protocol.Target{Kind: protocol.KindSystem, ID: 2}, Seq: 1}, {Target: direct(2), Seq: 1}, {Target: direct(2), Seq: 2}, {Target: direct(2), Seq: 3},
	} {
		var m protocol.Message
		if f := p.next(); f.Type != protocol.TypePush || m.Decode(f.Payload) != nil || m.Target != want.Target || m.Seq != want.Seq {
			t.Fatalf("came %#x %+v %d, want %+v %d", f.Type, m.Target, m.Seq, want.Target, want.Seq)
		}
	}
}
