package gateway

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/protocol/vectors"
)

// fuzzSocket is a transport that looks at what it takes: whole frames that
// a server may send, and none after CLOSE.
type fuzzSocket struct {
	mu     sync.Mutex
	rest   []byte
	closed bool
	down   bool
	tight  bool // takes half of what it is given
	wrong  error
}

func (f *fuzzSocket) write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tight {
		p = p[:len(p)/2]
	}
	b := p
	if len(f.rest) > 0 {
		f.rest = append(f.rest, p...)
		b = f.rest
	}
	for f.wrong == nil {
		frame, n, err := protocol.Split(b, protocol.MaxFrame)
		switch {
		case err != nil:
			f.wrong = fmt.Errorf("%w in %x", err, b)
		case n == 0:
			f.rest = append(f.rest[:0], b...)
			return len(p), nil
		case frame.Type < 0x80:
			f.wrong = fmt.Errorf("a frame that is a client's: %x", b[:n])
		case f.closed || f.down:
			f.wrong = fmt.Errorf("%v after the end", frame.Type)
		}
		f.closed = f.closed || frame.Type == protocol.TypeClose
		b = b[n:]
	}
	return len(p), nil
}

// await is never told that the socket takes bytes again.
func (f *fuzzSocket) await(*session) error { return nil }

func (f *fuzzSocket) reset() { f.shutdown() }

func (f *fuzzSocket) shutdown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = true
}

func (f *fuzzSocket) remote() string { return "the fuzzer" }

// fuzzGateway is a gateway whose logic answers everything and keeps nothing.
func fuzzGateway() *Gateway {
	l := newLogic()
	welcome := func(request uint32) []byte { return protocol.Welcome{User: 1}.AppendFrame(nil, request) }
	l.misdeed = misdeed{
		login: func(in *hop.Login) (hop.Welcome, error) {
			if len(in.Hello.Token) == 0 {
				return hop.Welcome{Code: protocol.CodeBadToken}, nil
			}
			return hop.Welcome{User: 1, Number: 1, Heartbeat: 30, Frame: welcome(in.Request)}, nil
		},
		logout: func([]hop.Binding) error { return nil },
		forward: func(batch *hop.Forward) (a hop.Answers, err error) {
			for i := range batch.Len() {
				f, ok := batch.Frame(i)
				if !ok {
					panic("the gateway sent what is no frame")
				}
				switch {
				case f.Type == protocol.TypeSend:
					a.Frames = protocol.SendAck{Seq: 1}.AppendFrame(a.Frames, f.Request)
				case f.Request != 0:
					a.Frames = protocol.AppendEmpty(a.Frames, protocol.TypeDone, f.Request)
				default:
					continue
				}
				a.Close(i)
			}
			return a, nil
		},
		query: func(q *hop.Query) ([]byte, error) {
			f, n, err := protocol.Split(q.Frame, protocol.MaxFrame)
			if err != nil || n != len(q.Frame) {
				panic("the gateway asked what is no frame")
			}
			return protocol.Failure{Code: protocol.CodeUnavailable}.AppendError(nil, f.Request), nil
		},
	}
	return build(Config{Logic: l, Lanes: 1, QueryWorkers: 1, Writers: 1, Log: slog.New(slog.DiscardHandler)})
}

// FuzzSession feeds a connection with bytes in pieces, whose sizes cuts gives, before
// its login or after it: nothing panics or hangs, and what goes out are frames, with
// nothing behind CLOSE.
func FuzzSession(f *testing.F) {
	all, err := vectors.Load()
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range all {
		f.Add(v.Bytes, []byte{1}, false)
		f.Add(bytes.Repeat(v.Bytes[:min(len(v.Bytes), 1000)], 3), []byte{0, 3, 1, 7, 200}, true)
	}
	g := fuzzGateway()
	f.Cleanup(func() {
		if err := g.Stop(context.Background()); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, data, cuts []byte, online bool) { feed(t, g, data, cuts, online) })
}

// TestMutations does as FuzzSession, with very many inputs made from the vectors.
func TestMutations(t *testing.T) {
	m, err := vectors.NewMutations(*mutationsSeed)
	if err != nil {
		t.Fatal(err)
	}
	g := fuzzGateway()
	for range *mutations {
		data, cuts := m.Next()
		feed(t, g, data, cuts, m.Bool())
	}
	if err := g.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	in, broken := g.counters.framesIn.Load(), g.Stats()["close.bad_frame"]+g.Stats()["close.frame_too_large"]
	t.Logf("%d sessions got %d frames; %d were closed for bytes that are no frames", *mutations, in, broken)
	if in < uint64(*mutations)/2 || broken < uint64(*mutations)/20 || broken > uint64(*mutations)*9/10 {
		t.Error("they try too little")
	}
}

var (
	mutations     = flag.Int("mutations", 50_000, "how many sessions TestMutations opens")
	mutationsSeed = flag.Uint64("mutations.seed", 1, "seed of TestMutations")
)

// feed gives a new session the data in pieces and ends it.
func feed(t *testing.T, g *Gateway, data, cuts []byte, online bool) {
	socket := &fuzzSocket{tight: len(cuts) == 3}
	s := g.open(socket)
	if online && !s.welcome(&hop.Welcome{User: 1, Number: 1, Heartbeat: 30, Frame: protocol.Welcome{User: 1}.AppendFrame(nil, 1)}, &hop.Login{Hello: protocol.Hello{Device: 1}}) {
		t.Fatal("not welcome")
	}
	for i := 0; len(data) > 0; i++ {
		n := len(data)
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		s.input(data[:n])
		data = data[n:]
	}
	if len(s.partial) > protocol.MaxFrame+4 {
		t.Fatalf("%d bytes are kept of a frame that has not come whole", len(s.partial))
	}
	s.ended()
	socket.mu.Lock()
	defer socket.mu.Unlock()
	if socket.wrong != nil {
		t.Fatal(socket.wrong)
	}
	if n := g.counters.panics.Load(); n != 0 {
		t.Fatalf("%d panics", n)
	}
}
