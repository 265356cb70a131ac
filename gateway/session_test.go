package gateway

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"

	"gannet/protocol"
)

func TestFramesArriveInWhateverPieces(t *testing.T) {
	var stream []byte
	var want []string
	for i := range 40 {
		body := string(bytes.Repeat([]byte{byte('a' + i%26)}, i*i*3))
		stream = append(stream, sendFrame(2, uint64(i+1), body)...)
		want = append(want, body)
	}
	for name, cut := range map[string]func() int{
		"a byte at a time": func() int { return 1 },
		"random":           func() int { return 1 + rand.IntN(700) },
		"at once":          func() int { return len(stream) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLogic()
			l.answer = ackSend
			st := newStage(t, l, Config{Lanes: 1})
			p := st.login(1)
			for rest := stream; len(rest) > 0; {
				n := min(cut(), len(rest))
				p.send(rest[:n])
				rest = rest[n:]
			}
			for i := range want {
				if f := p.next(); f.Type != protocol.TypeSendAck || f.Request != uint32(i+1) {
					t.Fatalf("answer %d: %#x to request %d", i, f.Type, f.Request)
				}
			}
			for i, r := range l.requests() {
				var m protocol.Send
				if err := m.Decode(r.Frame.Payload); err != nil || string(m.Body) != want[i] {
					t.Fatalf("frame %d arrived as %d bytes, %v", i, len(m.Body), err)
				}
				if r.User != 1 || r.Device != 1 || r.Conn != p.conn || r.Gateway != st.Epoch() {
					t.Fatalf("frame %d arrived in the name of %+v", i, r.Identity)
				}
			}
		})
	}
}

// Netpoll calls a handler again for as long as it leaves bytes unread.
func TestPartialFrameDoesNotKeepThePollerBusy(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	slow, neighbour := st.login(1), st.login(2)
	frame := sendFrame(2, 1, "hello")
	slow.send(frame[:len(frame)-1])
	st.eventually("the part arrived", func() bool { return st.stat("reads") == 3 })
	const rounds = 200
	for range rounds {
		neighbour.alive()
	}
	// Each PING is one read, or two where the kernel cut it.
	if reads := st.stat("reads"); reads > 3+2*rounds {
		t.Errorf("%d reads for %d frames and a part of one", reads, rounds)
	}
	slow.send(frame[len(frame)-1:])
	st.eventually("the frame arrived", func() bool { return len(st.logic.requests()) == 1 })
}

func TestBrokenStreamsAreClosedWithTheirReason(t *testing.T) {
	header := func(length uint32) []byte {
		return []byte{byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}
	}
	cases := []struct {
		name  string
		login bool
		bytes []byte
		code  protocol.Code
	}{
		{"length below the header", true, header(5), protocol.CodeBadFrame},
		{"length over the limit", true, header(protocol.MaxFrame + 1), protocol.CodeFrameTooLarge},
		{"length of everything", true, header(1<<32 - 1), protocol.CodeFrameTooLarge},
		{"long first frame", false, header(protocol.MaxHello + 1), protocol.CodeFrameTooLarge},
		{"not gannet at all", false, []byte("GET / HTTP/1.1\r\n\r\n"), protocol.CodeFrameTooLarge},
		{"frame before HELLO", false, sendFrame(2, 1, "x"), protocol.CodeHelloExpected},
		{"frame behind HELLO", false, append(hello(1), sendFrame(2, 1, "x")...), protocol.CodeHelloExpected},
		{"HELLO that ends early", false, protocol.Frame{Type: protocol.TypeHello, Payload: []byte{0, 1}}.Append(nil), protocol.CodeBadFrame},
		{"refused token", false, protocol.Hello{Version: 1, Device: 1}.AppendFrame(nil, 1), protocol.CodeBadToken},
	}
	st := newStage(t, newLogic(), Config{})
	neighbour := st.login(9)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := st.stat("close." + c.code.String())
			connect := st.dial
			if c.login {
				connect = func() *peer { return st.login(1) }
			}
			p := connect()
			p.t = t
			p.send(c.bytes)
			if code := p.closed(); code != c.code {
				t.Errorf("closed with %v, want %v", code, c.code)
			}
			st.eventually("the reason is counted", func() bool {
				return st.stat("close."+c.code.String()) == before+1
			})
			neighbour.alive()
		})
	}
	st.eventually("only the neighbour is left", func() bool { return st.stat("connections") == 1 })
}

func TestWhatTheGatewayAnswersItself(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(1)
	for _, c := range []struct {
		typ  protocol.Type
		code protocol.Code
	}{
		{0x55, protocol.CodeUnknownType},
		{protocol.TypePush, protocol.CodeUnknownType},
		{0x7F, protocol.CodeUnknownType},
		{protocol.TypeHello, protocol.CodeAlreadyLoggedIn},
	} {
		p.send(protocol.Frame{Type: c.typ, Request: 5}.Append(nil))
		f := p.next()
		var m protocol.Failure
		if err := m.Decode(f.Payload); err != nil || f.Type != protocol.TypeError || f.Request != 5 || m.Code != c.code {
			t.Errorf("type %#x: answered %#x %v %v", c.typ, f.Type, m.Code, err)
		}
	}
	p.alive() // and the connection stays
	if n := st.stat("refused.bad_type"); n != 4 {
		t.Errorf("%d refused frames counted, want 4", n)
	}
}

func TestPartOfAFrameIsBounded(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(1)
	frame := protocol.Frame{Type: protocol.TypeSend, Payload: make([]byte, protocol.MaxFrame-6)}.Append(nil)
	p.send(frame[:len(frame)-1])
	s := st.sessions.get(p.conn)
	st.eventually("the part arrived", func() bool { return s.begunBytes.Load() >= int64(len(frame)-1) })
	if kept := s.begunBytes.Load(); kept > 2*(protocol.MaxFrame+4) {
		t.Errorf("%d bytes kept for a frame of %d", kept, protocol.MaxFrame)
	}
	p.send(append(frame[len(frame)-1:], frame[:100]...))
	st.eventually("the frame is with logic", func() bool { return len(st.logic.requests()) == 1 })
	p.send(frame[100:])
	p.alive()
	st.eventually("nothing of it is kept", func() bool { return s.begunBytes.Load() == 0 })
}

// A connection that brings a lot at once is not read in small pieces.
func TestBusyConnectionIsReadInLargePieces(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	const rounds, each = 20, 100
	var frames []byte
	for i := range uint64(each) {
		frames = append(frames, sendFrame(2, i+1, "some words that a message may have")...)
	}
	before := st.stat("reads")
	for range rounds {
		p.send(frames)
		for range each {
			p.next()
		}
	}
	if reads := st.stat("reads") - before; reads > rounds*uint64(len(frames)/readBuffer)/2 {
		t.Errorf("%d reads for %d times %d bytes", reads, rounds, len(frames))
	}
}

func TestConnectionsOverTheLimitAreToldSo(t *testing.T) {
	st := newStage(t, newLogic(), Config{MaxConnections: 3})
	var in []*peer
	for i := range 3 {
		in = append(in, st.login(uint64(i+1)))
	}
	for range 5 {
		if code := st.dial().closed(); code != protocol.CodeTooManyConnections {
			t.Fatalf("closed with %v", code)
		}
	}
	for _, p := range in {
		p.alive()
	}
	in[0].Close()
	st.eventually("there is room again", func() bool { return st.stat("connections") == 2 })
	st.login(4).alive()
	if n := st.stat("close.too_many_connections"); n != 5 {
		t.Errorf("%d refusals counted", n)
	}
}

func TestEndOfAConnectionIsALogout(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	st.dial().Close() // never logged in
	p := st.login(7)
	p.Close()
	st.eventually("logout", func() bool { return len(st.logic.over()) == 1 })
	if id := st.logic.over()[0]; id.User != 7 || id.Conn != p.conn {
		t.Errorf("logged out: %+v", id)
	}
	st.eventually("both are counted", func() bool { return st.stat("close.peer") == 2 })
}

func TestManyConnectionsNeedNoGoroutines(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	before := runtime.NumGoroutine()
	var peers []*peer
	for i := range 200 {
		peers = append(peers, st.login(uint64(i%250+1)))
	}
	if after := runtime.NumGoroutine(); after > before+5 {
		t.Errorf("%d goroutines without connections, %d with %d", before, after, len(peers))
	}
}

// A connection that lives through 2^32 reads is not taken for one that logs in.
func TestVeryManyInputs(t *testing.T) {
	st := newStage(t, newLogic(), Config{Lanes: 1})
	s := st.open(&heldSocket{down: make(chan struct{}, 1)})
	defer s.ended()
	s.input(hello(1))
	st.eventually("it is online", func() bool { return s.phase.Load() == phaseOnline })
	s.inputs += 1<<32 - 1 // as many more, the next one as that of HELLO
	s.input(ping(77))
	if n := s.phase.Load(); n != phaseOnline {
		t.Errorf("it is in phase %d", n)
	}
}
