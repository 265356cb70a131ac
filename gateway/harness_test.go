package gateway

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// patience bounds every wait of a test; nothing here takes a fraction of it.
const patience = 20 * time.Second

// delivery is one pushed frame and its receivers.
type delivery struct {
	Frame []byte
	Conns []uint64
}

// pushOf puts deliveries together.
func pushOf(list []delivery) *hop.Push {
	p := &hop.Push{}
	span := func(start, end int) hop.Span { return hop.Span{Start: uint32(start), End: uint32(end)} }
	for _, d := range list {
		p.Frames = append(p.Frames, span(len(p.Blob), len(p.Blob)+len(d.Frame)))
		p.Receivers = append(p.Receivers, span(len(p.Conns), len(p.Conns)+len(d.Conns)))
		p.Blob = append(p.Blob, d.Frame...)
		p.Conns = append(p.Conns, d.Conns...)
	}
	return p
}

func (st *stage) push(list []delivery) (absent []uint64) {
	return st.Push(context.Background(), pushOf(list))
}

// lines counts what was logged, by message.
type lines struct {
	mu    sync.Mutex
	count map[string]int
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *lines) WithGroup(string) slog.Handler                    { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count[r.Message]++
	return nil
}

// most gives how often the message that was logged most often was.
func (l *lines) most() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, count := range l.count {
		n = max(n, count)
	}
	return n
}

// stage is a gateway on a free port. Its wheel stands still until turn.
type stage struct {
	*Gateway
	t       testing.TB
	logic   *scriptedLogic
	address string
	lines   *lines
}

func newStage(t testing.TB, l *scriptedLogic, c Config) *stage {
	t.Helper()
	if c.Logic == nil {
		c.Logic = l
	}
	if c.MaxPerAddress == 0 { // all peers of a test come from one address
		c.MaxPerAddress = DefaultMaxConnections
	}
	said := &lines{count: map[string]int{}}
	c.Log = slog.New(said)
	g := build(c)
	listeners, err := Listen("127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Serve(listeners[0]); err != nil {
		t.Fatal(err)
	}
	st := &stage{Gateway: g, t: t, logic: l, address: listeners[0].Addr().String(), lines: said}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := g.Stop(ctx); err != nil && err != ErrStopped {
			t.Errorf("stop: %v", err)
		}
	})
	return st
}

// turn moves the clock on, a tick at a time.
func (st *stage) turn(d time.Duration) {
	for range d / tick {
		for _, s := range st.wheel.advance(nil) {
			st.fire(s)
		}
	}
}

// ticking turns the wheel from now on to the end of the test.
func (st *stage) ticking() {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				st.turn(tick)
			}
		}
	}()
	st.t.Cleanup(func() {
		close(stop)
		<-done
	})
}

// eventually waits until the condition holds.
func (st *stage) eventually(what string, condition func() bool) {
	st.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			st.t.Fatalf("never: %s; stats %v", what, st.Stats())
		}
	}
}

func (st *stage) stat(name string) uint64 {
	v, ok := st.Stats()[name]
	if !ok {
		st.t.Fatalf("no statistic %q", name)
	}
	return v
}

// peer is a client of bytes.
type peer struct {
	net.Conn
	t    testing.TB
	conn uint64 // its id at the gateway, after login
	in   []byte
}

func (st *stage) dial() *peer {
	st.t.Helper()
	c, err := net.Dial("tcp", st.address)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { c.Close() })
	return &peer{Conn: c, t: st.t}
}

// login dials and logs in; the device is the user.
func (st *stage) login(user uint64) *peer {
	st.t.Helper()
	p := st.dial()
	p.send(hello(user))
	if f := p.next(); f.Type != protocol.TypeWelcome {
		st.t.Fatalf("login of %d: %#x", user, f.Type)
	}
	p.conn = (<-st.logic.loggedIn).Conn
	return p
}

func hello(user uint64) []byte {
	return protocol.Hello{Version: protocol.Version, Token: []byte{byte(user)}, Device: user}.AppendFrame(nil, 1)
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// next reads one frame; its payload is the caller's.
func (p *peer) next() protocol.Frame {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatalf("reading a frame: %v", err)
	}
	return f
}

func (p *peer) read() (protocol.Frame, error) {
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
		n, err = p.Read(buf)
		if err != nil {
			return f, err
		}
		p.in = append(p.in, buf[:n]...)
	}
}

// closed reads until the CLOSE frame and the end of the stream and gives the
// code.
func (p *peer) closed() protocol.Code {
	p.t.Helper()
	for {
		f := p.next()
		if f.Type != protocol.TypeClose {
			continue
		}
		var m protocol.Failure
		if err := m.Decode(f.Payload); err != nil {
			p.t.Fatal(err)
		}
		if f, err := p.read(); err == nil {
			p.t.Fatalf("frame %#x after CLOSE", f.Type)
		}
		return m.Code
	}
}

// refused reads an ERROR with this code that answers the request.
func (p *peer) refused(request uint32, code protocol.Code) {
	p.t.Helper()
	f := p.next()
	var m protocol.Failure
	if err := m.Decode(f.Payload); err != nil || f.Type != protocol.TypeError || f.Request != request || m.Code != code {
		p.t.Fatalf("answered %#x %v to %d (%v), want %v to %d", f.Type, m.Code, f.Request, err, code, request)
	}
	if code.Action() == protocol.ActionRetry && m.RetryAfter == 0 {
		p.t.Fatalf("%v does not say when to try again", code)
	}
}

// alive says that the gateway serves the peer: a PING is answered.
func (p *peer) alive() {
	p.t.Helper()
	p.send(protocol.AppendEmpty(nil, protocol.TypePing, 77))
	for {
		if f := p.next(); f.Type == protocol.TypePong && f.Request == 77 {
			return
		}
	}
}

func sendFrame(to, clientID uint64, body string) []byte {
	return protocol.Send{
		Target:   protocol.Target{Kind: protocol.KindDirect, ID: to},
		ClientID: clientID,
		Content:  protocol.ContentText,
		Body:     []byte(body),
	}.AppendFrame(nil, uint32(clientID))
}

func pushFrame(from, to, seq uint64, size int) []byte {
	return protocol.Message{
		Target: protocol.Target{Kind: protocol.KindDirect, ID: to}, Seq: seq, Sender: from, Device: from,
		ClientID: seq, Content: protocol.ContentText, Body: make([]byte, size),
	}.AppendFrame(nil)
}

// open begins a session above a transport that no listener knows.
func (g *Gateway) open(t transport) *session {
	s := &session{gateway: g, transport: t, place: &place{}}
	g.begin(s)
	return s
}
