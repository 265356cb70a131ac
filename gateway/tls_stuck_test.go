package gateway

import (
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"gannet/protocol"
)

// stuckPeer is a client over TLS that was pushed some messages and reads none of it by
// itself. below is its connection under TLS.
func stuckPeer(t *testing.T, g *Gateway, l *pipes) (below net.Conn, conn uint64) {
	t.Helper()
	below = l.dial()
	c := tls.Client(below, &tls.Config{InsecureSkipVerify: true})
	p := &peer{Conn: c, t: t}
	p.send(hello(1))
	if f := p.next(); f.Type != protocol.TypeWelcome {
		t.Fatalf("login: %v", f.Type)
	}
	_ = below.SetReadDeadline(time.Time{})
	conn = g.sessions.all()[0].id
	g.Push(t.Context(), pushOf([]delivery{{Frame: pushFrame(2, 1, 1, 20<<10), Conns: []uint64{conn}}}))
	synctest.Wait()
	if s := g.Stats(); s["blocked"] != 0 || s["blocked_bytes"] < 20<<10 {
		t.Fatalf("%d sockets are blocked and %d bytes held; want none, and what was pushed", s["blocked"], s["blocked_bytes"])
	}
	return below, conn
}

// A client over TLS that takes nothing of what is under way, which is too little to
// block its session, has the time of a blocked one, and less once the budget is used up.
func TestStuckOverTLS(t *testing.T) {
	for name, c := range map[string]struct {
		budget int64
		within time.Duration
	}{
		"enough memory": {0, writeTimeout},
		"pressed":       {20 << 10, pressedTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			withPipes(t, Config{OutboxMemory: c.budget}, func(t *testing.T, g *Gateway, l *pipes) {
				stuckPeer(t, g, l)
				time.Sleep(c.within - time.Second)
				if s := g.Stats(); s["connections"] != 1 {
					t.Fatalf("it is gone after %v: %v", c.within-time.Second, s)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				s := g.Stats()
				if s["connections"] != 0 || s["close.write_timeout"] != 1 || s["resets"] != 1 || s["blocked_bytes"] != 0 {
					t.Errorf("after %v: %v", c.within+time.Second, s)
				}
			})
		})
	}
}

// A client over TLS that takes a byte now and then stays, and is closed like any other.
func TestSlowOverTLS(t *testing.T) {
	logic := newLogic()
	logic.silence = 10 * time.Minute
	withPipes(t, Config{Logic: logic}, func(t *testing.T, g *Gateway, l *pipes) {
		below, conn := stuckPeer(t, g, l)
		for range 4 {
			time.Sleep(writeTimeout - time.Second)
			if _, err := below.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		g.sessions.get(conn).close(protocol.CodeReplaced)
		time.Sleep(tlsGoodbye + goodbyeTimeout)
		synctest.Wait()
		if s := g.Stats(); s["connections"] != 0 || s["close.replaced"] != 1 || s["close.write_timeout"] != 0 {
			t.Errorf("%v", s)
		}
	})
}
