package endtoend

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"gannet/internal/command"
	"gannet/protocol"
	"gannet/protocol/vectors"
)

// Every vector of the wire, valid and malformed, against the whole server: it
// answers as the vector says, and a neighbour is served all the while.
func TestServerKeepsToTheVectors(t *testing.T) {
	all, err := vectors.Load()
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "--limits", "off") // of broken logins above all
	neighbour := s.login(t, 1000)
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
				p = s.login(t, 7)
				p.send(v.Bytes)
			case "new":
				p = dialRaw(t, s.Address())
				p.send(v.Bytes)
			case "waiting":
				p = dialRaw(t, s.Address())
				hello := protocol.Hello{Version: protocol.Version, Token: []byte(sign(t, s.data, 7)), Device: 7}
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
				frames := p.alive()
				asked, _, _ := protocol.Split(v.Bytes, protocol.MaxFrame)
				answers := func(f protocol.Frame) bool { return f.Request == asked.Request }
				for asked.Request != 0 && !slices.ContainsFunc(frames, answers) { // a PONG overtakes other answers
					frames = append(frames, p.next())
				}
				for _, f := range frames {
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
	s := startServer(t, "--limit-connects", "1000/1000") // all come from one address
	neighbour := s.login(t, 1000)
	before := heap()
	part := protocol.Frame{Type: protocol.TypeSend, Payload: make([]byte, protocol.MaxFrame-6)}.Append(nil)
	part = part[:len(part)-1]
	const connections = 100
	held := make([]*rawClient, connections)
	for i := range held {
		held[i] = s.login(t, uint64(i+1))
		held[i].send(part)
	}
	for counter(t, s.DebugAddress(), "gateway", "bytes_in") < uint64(connections*len(part)) {
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
	s := startServer(t, command.RaisedLimits()...)
	sender, stuck := s.login(t, 1), s.login(t, 2)
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
	if hinted(t, s.DebugAddress()) == 0 {
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
