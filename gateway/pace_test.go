package gateway

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

func ping(request uint32) []byte { return protocol.AppendEmpty(nil, protocol.TypePing, request) }

func cursorTo(user, seq uint64) protocol.Cursor {
	return protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: user}, Seq: seq}
}

// spend uses up the frames that a connection may send at once.
func (p *peer) spend(burst int) {
	p.t.Helper()
	p.send(bytes.Repeat(ping(1), burst))
	for range burst {
		p.answered(1, protocol.TypePong)
	}
}

func TestFramesOverTheLimit(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	st := newLimitedStage(t, l, limiter.Rates{}, limiter.Rate{PerSecond: 100, Burst: 10})
	p := st.login(1)
	p.spend(10)
	p.send(ping(2))
	if wait := p.limitedBy(2, "frames per second of this connection"); wait != 10*time.Millisecond {
		t.Fatalf("a frame is said to be allowed after %v", wait)
	}
	p.send(protocol.Sync{}.AppendFrame(nil, 3))
	p.limitedBy(3, "frames")
	p.send(protocol.AppendEmpty(nil, 0x7f, 4))
	p.limitedBy(4, "frames")
	p.send(sendFrame(9, 5, ""))
	wait := p.limitedBy(5, "frames")
	st.pass(100 * time.Millisecond)
	p.spend(8)
	p.send(sendFrame(9, 6, "")) // there is a token; the hold goes on
	p.limitedBy(6, "frames")
	st.pass(wait)
	p.send(sendFrame(9, 5, ""))
	p.answered(5, protocol.TypeSendAck)
	st.pass(10 * time.Second)
	p.spend(10)
	p.send(ping(7))
	p.limitedBy(7, "frames")
	if n := st.stat("refused.frame_rate"); n != 5 {
		t.Fatalf("%d are counted", n)
	}
	other := st.login(2)
	other.spend(10)
}

// A long frame counts for its bytes, and one that counts for more than a connection may
// send at once passes when all of that is there.
func TestALongFrameCountsAsSeveral(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	st := newLimitedStage(t, l, limiter.Rates{}, limiter.Rate{PerSecond: 100, Burst: 10})
	p := st.login(1)
	long := append(ping(1), make([]byte, 9*longBytes-protocol.HeaderSize)...)
	binary.BigEndian.PutUint32(long, uint32(len(long)-4))
	p.send(long)
	p.answered(1, protocol.TypePong)
	p.send(ping(2))
	p.limitedBy(2, "frames")
	st.pass(time.Second)
	p.send(sendFrame(9, 3, string(make([]byte, protocol.MaxBody))))
	p.answered(3, protocol.TypeSendAck)
	p.send(ping(4))
	if wait := p.limitedBy(4, "frames"); wait != 10*time.Millisecond {
		t.Errorf("a frame is said to be allowed after %v", wait)
	}
}

// What follows the fields of an ack is not carried and fills no window.
func TestAcksAreCarriedWithoutTheirPadding(t *testing.T) {
	l := newLogic()
	l.answer = func(r request) []byte { return protocol.AppendEmpty(nil, protocol.TypeDone, r.Frame.Request) }
	l.gate, l.entered = make(chan struct{}, 10), make(chan int, 10)
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	want := [][]byte{
		cursorTo(2, 1).AppendPushAck(nil, 5), cursorTo(2, 2).AppendRead(nil, 6),
		cursorTo(2, 3).AppendRead(nil, 7), cursorTo(2, 4).AppendPushAck(nil, 8)[:protocol.HeaderSize+16], // too short
	}
	binary.BigEndian.PutUint32(want[3], uint32(len(want[3])-4))
	bytes := 0
	for i, frame := range want {
		bytes += len(frame)
		if i < 2 {
			frame = append(frame[:len(frame):len(frame)], make([]byte, protocol.MaxFrame+4-len(frame))...)
			binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
		}
		p.send(frame)
		if i == 0 {
			<-l.entered
		}
	}
	s := st.sessions.get(p.conn)
	st.eventually("all wait", func() bool { return st.waiting(0) == 3 })
	if frames, n := s.window.add(0, 0); frames != 4 || n != bytes {
		t.Errorf("%d frames and %d bytes are under way, want 4 and %d", frames, n, bytes)
	}
	l.gate <- struct{}{}
	l.gate <- struct{}{}
	for i := range want {
		p.answered(uint32(5+i), protocol.TypeDone)
	}
	for i, r := range l.requests() {
		if f, _, _ := protocol.Split(want[i], protocol.MaxFrame); r.Frame.Type != f.Type || r.Frame.Request != f.Request || string(r.Frame.Payload) != string(f.Payload) {
			t.Errorf("frame %d is %v %d with %d bytes, want those of %x", i, r.Frame.Type, r.Frame.Request, len(r.Frame.Payload), want[i])
		}
	}
}

func TestAcksOverTheLimitAreMergedAndNeverRefused(t *testing.T) {
	l := newLogic()
	l.answer = func(r request) []byte {
		if r.Frame.Request == 0 {
			return nil
		}
		return protocol.AppendEmpty(nil, protocol.TypeDone, r.Frame.Request)
	}
	st := newLimitedStage(t, l, limiter.Rates{}, limiter.Rate{PerSecond: 50, Burst: 10})
	p := st.login(1)
	p.spend(10)
	for seq := uint64(1); seq <= 100; seq++ {
		p.send(cursorTo(2, seq).AppendPushAck(nil, 0))
	}
	p.send(cursorTo(2, 60).AppendPushAck(nil, 0))
	p.send(cursorTo(2, 70).AppendRead(nil, 0))
	p.send(cursorTo(3, 80).AppendPushAck(nil, 0))
	p.send(cursorTo(2, 71).AppendRead(nil, 21))
	p.send(cursorTo(2, 72).AppendRead(nil, 22))
	p.send(cursorTo(2, 73).AppendPushAck(nil, 23))
	p.send(cursorTo(2, 79).AppendRead(nil, 0))
	p.send(ping(24))
	p.limitedBy(24, "frames")
	if n := len(l.requests()); n != 0 {
		t.Fatalf("logic got %d frames before there was a token", n)
	}
	st.pass(tick)
	st.eventually("a turn carries as many as it allows", func() bool { return len(l.requests()) == 1 })
	st.pass(5 * tick)
	for _, request := range []uint32{21, 22, 23} {
		p.answered(request, protocol.TypeDone)
	}
	want := [][]byte{
		cursorTo(2, 100).AppendPushAck(nil, 0), cursorTo(2, 79).AppendRead(nil, 0), cursorTo(3, 80).AppendPushAck(nil, 0),
		cursorTo(2, 71).AppendRead(nil, 21), cursorTo(2, 72).AppendRead(nil, 22), cursorTo(2, 73).AppendPushAck(nil, 23),
	}
	got := l.requests()
	if len(got) != len(want) {
		t.Fatalf("logic got %d frames, want %d", len(got), len(want))
	}
	for i, r := range got {
		f, _, _ := protocol.Split(want[i], protocol.MaxFrame)
		if r.Frame.Type != f.Type || r.Frame.Request != f.Request || !bytes.Equal(r.Frame.Payload, f.Payload) {
			t.Fatalf("frame %d is %#x %d %x, want %x", i, r.Frame.Type, r.Frame.Request, r.Frame.Payload, want[i])
		}
	}
	if n := st.stat("acks.merged"); n != 101 {
		t.Fatalf("%d acks are counted as merged", n)
	}
	// They had their tokens: what passed meanwhile is used up.
	p.send(ping(25))
	p.limitedBy(25, "frames")
	st.pass(tick)
	p.send(ping(26))
	p.answered(26, protocol.TypePong)
}

func TestAPushAckThatWaitsEndsTheWaitForIt(t *testing.T) {
	l := newLogic()
	st := newLimitedStage(t, l, limiter.Rates{}, limiter.Rate{PerSecond: 1, Burst: 3})
	p := st.login(1)
	st.push([]delivery{{pushFrame(2, 1, 1, 1), []uint64{p.conn}}})
	p.next()
	p.spend(3)
	p.send(cursorTo(2, 1).AppendPushAck(nil, 0))
	p.send(ping(4))
	p.limitedBy(4, "frames")
	st.pass(protocol.PushAckTimeout + tick)
	st.eventually("the ack is carried", func() bool { return len(l.requests()) == 1 })
	if n := st.stat("push.again"); n != 0 {
		t.Fatalf("%d pushes went again", n)
	}
}

func TestTooManyAcksThatWaitGoAtOnce(t *testing.T) {
	l := newLogic()
	st := newLimitedStage(t, l, limiter.Rates{}, limiter.Rate{PerSecond: 50, Burst: 1})
	p := st.login(1)
	p.spend(1)
	const more = 10
	for user := uint64(1); user <= maxWaitingAcks+more; user++ {
		p.send(cursorTo(user, user).AppendPushAck(nil, 0))
	}
	st.eventually("the oldest go", func() bool { return len(l.requests()) == more })
	st.eventually("they are counted as forced", func() bool { return st.stat("acks.forced") == more })
	st.pass((maxWaitingAcks + 1) * tick)
	st.eventually("all have gone", func() bool { return len(l.requests()) == maxWaitingAcks+more })
	for i, r := range l.requests() {
		var c protocol.Cursor
		if c.Decode(r.Frame.Payload) != nil || c.Seq != uint64(i+1) {
			t.Fatalf("ack %d is %+v", i, c)
		}
	}
	p.send(ping(4))
	p.answered(4, protocol.TypePong)
}

func TestAcksThatWaitGoWhenTheirConnectionEnds(t *testing.T) {
	l := newLogic()
	st := newLimitedStage(t, l, limiter.Rates{}, limiter.Rate{PerSecond: 50, Burst: 1})
	p := st.login(1)
	p.spend(1)
	for user := uint64(2); user <= 6; user++ {
		p.send(cursorTo(user, 1).AppendRead(nil, 0))
	}
	p.Close()
	st.eventually("logic gets them", func() bool { return len(l.requests()) == 5 })
}

func TestWhoGoesOnOverTheLimitsIsClosed(t *testing.T) {
	for name, c := range map[string]struct {
		frame []byte
		most  int // of them until then
	}{
		"small frames":                 {ping(2), maxDefied + 100},
		"messages on hold":             {sendFrame(9, 1, "hi"), maxDefied + 100},
		"large frames":                 {sendFrame(9, 1, string(make([]byte, protocol.MaxBody))), maxDefied/16 + 100},
		"queries":                      {protocol.Sync{}.AppendFrame(nil, 2), maxDefied/defiedQuery + 100},
		"acks that are merged":         {cursorTo(9, 1).AppendPushAck(nil, 0), maxDefied + 100},
		"acks of ever other strangers": {nil, maxDefied + maxWaitingAcks + 100},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLogic()
			st := newLimitedStage(t, l, limiter.Rates{}, limiter.Rate{PerSecond: 1, Burst: 1})
			p := st.login(1)
			p.spend(1)
			gone := make(chan protocol.Failure, 1)
			var marks atomic.Int64
			var over atomic.Bool
			go func() {
				for {
					f, err := p.read()
					if err != nil {
						over.Store(true)
						close(gone)
						return
					}
					if f.Request == 99 {
						marks.Add(1)
					}
					var m protocol.Failure
					if f.Type == protocol.TypeClose && m.Decode(f.Payload) == nil {
						over.Store(true)
						gone <- m
						p.Close() // else a write may wait for room that the other side no longer tells of
						return
					}
				}
			}()
			for i := range c.most {
				frame := c.frame
				if frame == nil {
					frame = cursorTo(uint64(i+10), 1).AppendPushAck(nil, 0)
				}
				if i%256 == 255 { // it reads, and is not closed for anything else
					if _, err := p.Write(ping(99)); err != nil {
						break
					}
					want := int64(i / 256)
					st.eventually("its refusals are read", func() bool { return marks.Load() > want || over.Load() })
				}
				if _, err := p.Write(frame); err != nil {
					break // the connection has ended
				}
			}
			m, said := <-gone
			if said && (m.Code != protocol.CodeOverLimits || m.RetryAfter < uint32(overLimitsRetry.Milliseconds()/2) || len(m.Text) == 0) {
				t.Fatalf("closed with %v, %d ms, %q", m.Code, m.RetryAfter, m.Text)
			}
			st.eventually("it is counted", func() bool { return st.stat("close.over_limits") == 1 })
			st.login(2).spend(1)

			// A new connection would begin with fresh tokens.
			again := st.dial()
			again.send(hello(1))
			if code := again.closed(); code != protocol.CodeOverLimits {
				t.Fatalf("the next connection of the user is closed with %v", code)
			}
			st.turn(overLimitsRetry)
			st.login(1).spend(1)
		})
	}
}

// TestRefusalsOfLongAgoDoNotCount: a client that is over its limits now and then is
// never closed.
func TestRefusalsOfLongAgoDoNotCount(t *testing.T) {
	st := newLimitedStage(t, newLogic(), limiter.Rates{}, limiter.Rate{PerSecond: 1, Burst: 1})
	p := st.login(1)
	const part = maxDefied / 4
	for range 6 {
		p.send(bytes.Repeat(ping(2), part))
		for range part {
			p.next()
		}
		st.pass(4 * time.Second)
	}
	p.alive()
	if st.stat("refused.frame_rate") < 5*part {
		t.Fatal("too little was refused for this to say anything")
	}
}
