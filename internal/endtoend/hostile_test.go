package main

import (
	"io"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"gannet/protocol"
	"gannet/protocol/vectors"
)

// startServer composes a whole server in this process.
func startServer(t testing.TB) (*server, *serveCmd) {
	t.Helper()
	c := &serveCmd{Listen: "127.0.0.1:0", Data: t.TempDir(), Sockets: 1}
	s, err := c.start(slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s, c
}

// rawClient speaks bytes with a server.
type rawClient struct {
	net.Conn
	t  testing.TB
	in []byte
}

func dialRaw(t testing.TB, s *server) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawClient{Conn: conn, t: t}
}

// loginRaw logs in; the device is the user.
func loginRaw(t testing.TB, s *server, c *serveCmd, user uint64) *rawClient {
	t.Helper()
	token, err := sign(c.Data, user, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, s)
	p.send(protocol.Hello{Version: protocol.Version, Token: []byte(token), Device: user}.AppendFrame(nil, 1))
	if f := p.next(); f.Type != protocol.TypeWelcome {
		t.Fatalf("login of %d: %#x", user, f.Type)
	}
	return p
}

func (p *rawClient) send(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

func (p *rawClient) read() (protocol.Frame, error) {
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return protocol.Frame{}, err
	}
	for {
		f, n, err := protocol.Split(p.in, protocol.MaxFrame)
		if err != nil {
			return f, err
		}
		if n > 0 {
			f.Payload = append([]byte(nil), f.Payload...)
			p.in = p.in[n:]
			return f, nil
		}
		buf := make([]byte, 64<<10)
		if n, err = p.Read(buf); err != nil {
			return f, err
		}
		p.in = append(p.in, buf[:n]...)
	}
}

func (p *rawClient) next() protocol.Frame {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatalf("reading a frame: %v", err)
	}
	return f
}

// failure decodes an ERROR or CLOSE.
func (p *rawClient) failure(f protocol.Frame) protocol.Code {
	p.t.Helper()
	var m protocol.Failure
	if err := m.Decode(f.Payload); err != nil {
		p.t.Fatal(err)
	}
	return m.Code
}

// alive says that the server still serves the connection, and gives the frames
// that came before the PONG.
func (p *rawClient) alive() (before []protocol.Frame) {
	p.t.Helper()
	p.send(protocol.AppendEmpty(nil, protocol.TypePing, 4711))
	for {
		f := p.next()
		if f.Type == protocol.TypePong && f.Request == 4711 {
			return before
		}
		before = append(before, f)
	}
}

// Every vector of the wire, valid and malformed, against the whole server: it
// answers as the vector says, and a neighbour is served all the while.
func TestServerKeepsToTheVectors(t *testing.T) {
	all, err := vectors.Load()
	if err != nil {
		t.Fatal(err)
	}
	s, c := startServer(t)
	neighbour := loginRaw(t, s, c, 1000)
	tried := 0
	for _, v := range all {
		if v.From != "client" {
			continue
		}
		tried++
		t.Run(v.Name, func(t *testing.T) {
			var p *rawClient
			switch v.State {
			case "":
				p = loginRaw(t, s, c, 7)
				p.send(v.Bytes)
			case "new":
				p = dialRaw(t, s)
				p.send(v.Bytes)
			case "waiting":
				token, err := sign(c.Data, 7, time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				p = dialRaw(t, s)
				hello := protocol.Hello{Version: protocol.Version, Token: []byte(token), Device: 7}
				p.send(append(hello.AppendFrame(nil, 1), v.Bytes...))
			}
			verdict, code, _ := strings.Cut(v.Verdict, ":")
			switch {
			case verdict == "incomplete" || v.Rest > 0:
				p.Close() // in the middle of a frame: it harms nobody
			case verdict == "close":
				f := p.next()
				if v.State == "waiting" && f.Type == protocol.TypeWelcome {
					f = p.next() // the login was quicker than what came behind it
				}
				if got := p.failure(f); f.Type != protocol.TypeClose || got.String() != code {
					t.Errorf("%#x %v, want CLOSE %s", f.Type, got, code)
				}
				if f, err := p.read(); err == nil {
					t.Errorf("frame %#x after CLOSE", f.Type)
				}
			case verdict == "error":
				f := p.next()
				asked, _, _ := protocol.Split(v.Bytes, protocol.MaxFrame)
				if got := p.failure(f); f.Type != protocol.TypeError || got.String() != code || f.Request != asked.Request {
					t.Errorf("%#x %v to %d, want ERROR %s to %d", f.Type, got, f.Request, code, asked.Request)
				}
				p.alive()
			case verdict == "ok" && v.State == "new":
				// The bytes are a HELLO, but its token is nobody's.
				if f := p.next(); f.Type != protocol.TypeClose {
					t.Errorf("let in by %#x", f.Type)
				}
			case verdict == "ok":
				for _, f := range p.alive() {
					if f.Type == protocol.TypeError && (p.failure(f) == protocol.CodeBadPayload || p.failure(f) == protocol.CodeUnknownType) {
						t.Errorf("refused: %v", p.failure(f))
					}
				}
			}
			neighbour.alive()
		})
	}
	if tried < 60 {
		t.Errorf("only %d vectors were tried", tried)
	}
}

// A hundred connections that each begin the largest frame and never end it take
// what they sent and little more.
func TestUnfinishedFramesAreBounded(t *testing.T) {
	s, c := startServer(t)
	neighbour := loginRaw(t, s, c, 1000)
	before := heap()
	part := protocol.Frame{Type: protocol.TypeSend, Payload: make([]byte, protocol.MaxFrame-6)}.Append(nil)
	part = part[:len(part)-1]
	const connections = 100
	held := make([]*rawClient, connections)
	for i := range held {
		held[i] = loginRaw(t, s, c, uint64(i+1))
		held[i].send(part)
	}
	for s.gateway.Stats()["bytes_in"] < uint64(connections*len(part)) {
		neighbour.alive()
	}
	// Each may hold its part twice over, for a slice grows by doubling, and what
	// netpoll read it into, the same again.
	if grown := heap() - before; grown > 4*connections*protocol.MaxFrame {
		t.Errorf("%d bytes for %d parts of a frame", grown, connections)
	}
	for _, p := range held {
		p.Close()
	}
	neighbour.alive()
}

func heap() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// A receiver that never reads costs its sender and its neighbours nothing, and
// finds everything in the store.
func TestReceiverThatNeverReads(t *testing.T) {
	s, c := startServer(t)
	sender, stuck := loginRaw(t, s, c, 1), loginRaw(t, s, c, 2)
	body := make([]byte, 60<<10)
	const messages = 200 // 12 MB, far more than socket and outbox hold
	for i := range uint64(messages) {
		sender.send(protocol.Send{
			Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, ClientID: i + 1, Content: protocol.ContentFile, Body: body,
		}.AppendFrame(nil, uint32(i+1)))
		var ack protocol.SendAck
		if f := sender.next(); f.Type != protocol.TypeSendAck || ack.Decode(f.Payload) != nil || ack.Seq != i+1 {
			t.Fatalf("message %d: %#x, seq %d", i+1, f.Type, ack.Seq)
		}
	}
	if s.gateway.Stats()["push.outbox_full"] == 0 {
		t.Fatal("everything fitted: nothing was tested")
	}
	// It reads at last: what was pushed comes in order, then the hint.
	var known, pushed uint64
	for known < messages {
		switch f := stuck.next(); f.Type {
		case protocol.TypePush:
			var m protocol.Message
			if err := m.Decode(f.Payload); err != nil {
				t.Fatal(err)
			}
			pushed = max(pushed, m.Seq)
			known = max(known, m.Seq)
		case protocol.TypeHint:
			var hint protocol.Cursor
			if err := hint.Decode(f.Payload); err != nil {
				t.Fatal(err)
			}
			known = max(known, hint.Seq)
		}
	}
	for next, request := uint64(1), uint32(1); next <= messages; request++ {
		stuck.send(protocol.History{Target: protocol.Target{Kind: protocol.KindDirect, ID: 1}, Seq: next}.AppendFrame(nil, request))
		f := stuck.next()
		for f.Type != protocol.TypeMessages {
			f = stuck.next()
		}
		var page protocol.Messages
		if err := page.Decode(f.Payload); err != nil || page.First != next || page.Last < next {
			t.Fatalf("page from %d: %d to %d, %v", next, page.First, page.Last, err)
		}
		next = page.Last + 1
	}
}
