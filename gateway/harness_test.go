package gateway

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"gannet/protocol"
)

// patience bounds every wait of a test; nothing here takes a fraction of it.
const patience = 20 * time.Second

// scriptedLogic stands where logic would and lets a test decide.
type scriptedLogic struct {
	mu        sync.Mutex
	batches   [][]protocol.Request // what Forward was given, payloads copied
	queries   []protocol.Request
	loggedOut []protocol.Identity
	loggedIn  chan protocol.Identity
	gate      chan struct{} // Forward waits for a token, unless nil
	entered   chan int      // Forward says how large its batch is, unless nil
	answer    func(protocol.Request) []byte
	query     func(protocol.Request) []byte
	silence   time.Duration // heartbeat; default 30 s
}

func newLogic() *scriptedLogic {
	return &scriptedLogic{loggedIn: make(chan protocol.Identity, 4096)}
}

// Login lets everybody in; the token's first byte is the user.
func (l *scriptedLogic) Login(_ context.Context, id protocol.Identity, request uint32, hello *protocol.Hello) (protocol.Login, protocol.Code) {
	if len(hello.Token) == 0 {
		return protocol.Login{}, protocol.CodeBadToken
	}
	heartbeat := l.silence
	if heartbeat == 0 {
		heartbeat = 30 * time.Second
	}
	id.User, id.Device = uint64(hello.Token[0]), hello.Device
	l.loggedIn <- id
	w := protocol.Welcome{Version: protocol.Version, User: id.User}
	return protocol.Login{User: id.User, Heartbeat: heartbeat, Welcome: w.AppendFrame(nil, request)}, 0
}

func (l *scriptedLogic) Logout(_ context.Context, id protocol.Identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loggedOut = append(l.loggedOut, id)
}

func (l *scriptedLogic) Forward(_ context.Context, _ int, batch []protocol.Request, replies []protocol.Reply) []protocol.Reply {
	if l.entered != nil {
		l.entered <- len(batch)
	}
	if l.gate != nil {
		<-l.gate
	}
	copied := make([]protocol.Request, len(batch))
	for i, r := range batch {
		copied[i] = r
		copied[i].Frame.Payload = append([]byte(nil), r.Frame.Payload...)
		if l.answer != nil {
			if b := l.answer(r); b != nil {
				replies = append(replies, protocol.Reply{Conn: r.Conn, Bytes: b})
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, copied)
	return replies
}

func (l *scriptedLogic) Query(_ context.Context, r protocol.Request) protocol.Reply {
	l.mu.Lock()
	l.queries = append(l.queries, r)
	l.mu.Unlock()
	reply := protocol.Reply{Conn: r.Conn}
	if l.query != nil {
		reply.Bytes = l.query(r)
	}
	return reply
}

func (l *scriptedLogic) requests() []protocol.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []protocol.Request
	for _, b := range l.batches {
		all = append(all, b...)
	}
	return all
}

func (l *scriptedLogic) redeliveries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, q := range l.queries {
		if q.Frame.Type == protocol.TypeRedeliver {
			n++
		}
	}
	return n
}

// ackSend answers SEND with a SENDACK of seq 1 and nothing else.
func ackSend(r protocol.Request) []byte {
	var m protocol.Send
	if r.Frame.Type != protocol.TypeSend || m.Decode(r.Frame.Payload) != nil {
		return nil
	}
	return protocol.SendAck{ClientID: m.ClientID, Seq: 1}.AppendFrame(nil, r.Frame.Request)
}

// stage is a gateway on a free port. Its wheel stands still until turn.
type stage struct {
	*Gateway
	t       *testing.T
	logic   *scriptedLogic
	address string
}

func newStage(t *testing.T, l *scriptedLogic, c Config) *stage {
	t.Helper()
	if c.Logic == nil {
		c.Logic = l
	}
	c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	g := build(c)
	listeners, err := Listen("127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Serve(listeners[0]); err != nil {
		t.Fatal(err)
	}
	st := &stage{Gateway: g, t: t, logic: l, address: listeners[0].Addr().String()}
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
	t    *testing.T
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
