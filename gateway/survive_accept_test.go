package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/cloudwego/netpoll"
)

// A bug that accept meets ends that connection alone.
func TestPanicOfAcceptEndsOneConnection(t *testing.T) {
	l := newLimiter(time.Second)
	st := newStage(t, newLogic(), Config{Limiter: l})
	address, pool := st.listenTLS()
	neighbour := st.login(1)
	l.mu.Lock()
	l.broken = true
	l.mu.Unlock()
	for i, address := range []string{st.address, address, st.address, address} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{Conn: c, t: t}
		if f, err := p.read(); err == nil {
			t.Errorf("%d: came %v", i, f.Type)
		}
		c.Close()
	}
	if n := st.stat("panics"); n != 4 {
		t.Errorf("%d panics counted", n)
	}
	if n := st.stat("places.taken"); n != 1 {
		t.Errorf("%d places are taken", n)
	}
	neighbour.alive()
	l.mu.Lock()
	l.broken = false
	l.mu.Unlock()
	st.login(2).alive()
	dialTLS(t, address, pool).greet(3)
}

// brokenConn is a connection of netpoll's in which something is amiss.
type brokenConn struct {
	netpoll.Connection
	newcomer *newcomer
	closed   int
	callback netpoll.CloseCallback
	reader   netpoll.Reader
}

func (c *brokenConn) RemoteAddr() net.Addr { return c.newcomer }
func (c *brokenConn) AddCloseCallback(f netpoll.CloseCallback) error {
	c.callback = f
	return nil
}
func (c *brokenConn) Close() error           { c.closed++; return c.callback(c) }
func (c *brokenConn) Reader() netpoll.Reader { return c.reader }

// brokenReader cannot be read.
type brokenReader struct{ netpoll.Reader }

func (r *brokenReader) Next(int) ([]byte, error) { panic("a bug in the reader") }

// brokenLog cannot be asked whether it wants debug lines, as the end of a session does.
type brokenLog struct{}

func (brokenLog) Enabled(_ context.Context, level slog.Level) bool {
	if level < slog.LevelInfo {
		panic("a bug in the log")
	}
	return false
}
func (l brokenLog) WithAttrs([]slog.Attr) slog.Handler      { return l }
func (l brokenLog) WithGroup(string) slog.Handler           { return l }
func (brokenLog) Handle(context.Context, slog.Record) error { return nil }

func brokenNewcomer(t *testing.T, g *Gateway, fd int) *brokenConn {
	t.Helper()
	c := &brokenConn{newcomer: &newcomer{fd: fd}}
	if r, _ := g.places.take(&c.newcomer.place, false); r != admitted {
		t.Fatalf("refused as %s", refusalNames[r])
	}
	return c
}

// A bug at the end of a connection leaves nothing of it behind, so Stop does not wait
// for it.
func TestPanicAtTheEndOfAConnection(t *testing.T) {
	g := build(Config{Logic: newLogic(), Log: slog.New(brokenLog{})})
	c := brokenNewcomer(t, g, sockets(t, 1)[0])
	g.prepare(c)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if stats := g.Stats(); stats["panics"] != 1 || stats["connections"] != 0 || stats["places.taken"] != 0 {
		t.Errorf("stats %v", stats)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// A bug that a connection meets in netpoll's poller, while its session begins or while
// it is read, ends nothing else, and it is forgotten.
func TestPanicsInThePoller(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	neighbour := st.login(1)
	fd := sockets(t, 1)[0]
	admit := func() *brokenConn { return brokenNewcomer(t, st.Gateway, fd) }

	begins := admit()
	st.sessions.mu.Lock()
	byID := st.sessions.byID
	st.sessions.byID = nil // writing to it panics
	st.sessions.mu.Unlock()
	ctx := st.prepare(begins)
	st.sessions.mu.Lock()
	st.sessions.byID = byID
	st.sessions.mu.Unlock()
	if ctx != nil || begins.closed != 1 {
		t.Errorf("gave %v, closed %d times", ctx, begins.closed)
	}

	reads := admit()
	ctx = st.prepare(reads)
	r := &brokenReader{Reader: netpoll.NewReader(bytes.NewReader(hello(3)))}
	if _, err := r.Peek(10); err != nil { // so that something is there
		t.Fatal(err)
	}
	reads.reader = r
	if err := onRequest(ctx, reads); err != nil {
		t.Error(err)
	}
	if n := r.Len(); n != 0 {
		t.Errorf("%d bytes are left, with which netpoll calls again", n)
	}
	if err := reads.Close(); err != nil {
		t.Error(err)
	}

	if n := st.stat("panics"); n != 2 {
		t.Errorf("%d panics counted", n)
	}
	if n := st.stat("places.taken"); n != 1 {
		t.Errorf("%d places are taken", n)
	}
	if n := st.stat("connections"); n != 1 {
		t.Errorf("%d connections", n)
	}
	neighbour.alive()
}
