package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"gannet/protocol"
)

// pipes is a listener of connections in memory, so that a test can have time pass.
type pipes struct {
	conns chan net.Conn
	errs  chan error
	done  chan struct{}
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), errs: make(chan error), done: make(chan struct{})}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.errs:
		if err == nil {
			panic("a bug in the listener")
		}
		return nil, err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	close(l.done)
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipes) dial() net.Conn {
	theirs, ours := net.Pipe()
	l.conns <- ours
	return theirs
}

// withPipes runs f with a gateway on a listener of connections in memory, in a bubble
// of its own.
func withPipes(t *testing.T, c Config, f func(t *testing.T, g *Gateway, l *pipes)) {
	cert, _ := certificate(t)
	synctest.Test(t, func(t *testing.T) {
		if c.Logic == nil {
			c.Logic = newLogic()
		}
		c.Log = slog.New(slog.DiscardHandler)
		l := newPipes()
		var g *Gateway
		withoutFiles(t, func() { g = New(c) }) // an epoll to wait for would hold up the time of the bubble; TLS needs none
		if err := g.ServeTLS(l, &tls.Config{Certificates: []tls.Certificate{cert}}); err != nil {
			t.Fatal(err)
		}
		f(t, g, l)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := g.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// ended says whether the peer closed the connection.
func ended(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now())
	_, err := c.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err)
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// A TLS connection that says nothing takes a place from accept on, and loses it when
// the time for the handshake is over.
func TestSilenceOverTLS(t *testing.T) {
	withPipes(t, Config{MaxConnections: 4, MaxBeforeLogin: 3}, func(t *testing.T, g *Gateway, l *pipes) {
		mute := []net.Conn{l.dial(), l.dial(), l.dial()}
		synctest.Wait()
		if n := g.Stats()["places.before_login"]; n != 3 {
			t.Fatalf("%d places are taken", n)
		}
		time.Sleep(time.Second)
		mute = append(mute, l.dial())
		synctest.Wait()
		if s := g.Stats(); !ended(mute[0]) || s["connect.gave_way"] != 1 || s["places.taken"] != 3 || s["close.too_many_connections"] != 1 {
			t.Errorf("the oldest did not give way: %v", s)
		}
		mute = mute[1:]
		time.Sleep(handshakeTimeout - time.Second - time.Millisecond)
		synctest.Wait()
		for _, c := range mute {
			if ended(c) {
				t.Error("ended too early")
			}
		}
		time.Sleep(time.Second + 2*time.Millisecond)
		synctest.Wait()
		for _, c := range mute {
			if !ended(c) {
				t.Error("did not end")
			}
		}
		if s := g.Stats(); s["failed_handshakes"] != 3 || s["places.taken"] != 0 {
			t.Errorf("stats %v", s)
		}
	})
}

// A connection that says nothing after its handshake has the time of a login.
func TestSilenceAfterTheHandshake(t *testing.T) {
	st := newStage(t, newLogic(), Config{MaxConnections: 1})
	address, pool := st.listenTLS()
	p := dialTLS(t, address, pool)
	st.eventually("its handshake is over", func() bool { return st.stat("connections") == 1 })
	if code, _ := st.dial().turnedAway(); code != protocol.CodeTooManyConnections { // it counts for both listeners
		t.Errorf("closed with %v", code)
	}
	st.address = address
	if code, _ := st.dial().turnedAway(); code != protocol.CodeTooManyConnections {
		t.Errorf("closed with %v", code)
	}
	if n := st.stat("connect.full"); n != 2 {
		t.Errorf("%d refusals counted", n)
	}
	st.turn(protocol.LoginTimeout + tick)
	if code := p.closed(); code != protocol.CodeLoginTimeout {
		t.Errorf("closed with %v", code)
	}
	st.eventually("its place is free", func() bool { return st.stat("places.taken") == 0 })
}

// Failures of accept, and bugs in it, do not end the listener and do not spin.
func TestAcceptOfTLSFails(t *testing.T) {
	withPipes(t, Config{}, func(t *testing.T, g *Gateway, l *pipes) {
		begin := time.Now()
		for range 10 {
			l.errs <- errors.New("no memory")
		}
		if took := time.Since(begin); took < 9*acceptPause {
			t.Errorf("ten failures took %v", took)
		}
		for range 3 {
			l.errs <- nil // a panic
		}
		l.dial()
		synctest.Wait()
		if s := g.Stats(); s["connect.failed"] != 10 || s["panics"] != 3 || s["places.taken"] != 1 {
			t.Errorf("stats %v", s)
		}
	})
}

// brokenPipe is a connection that cannot be read, or not be written to, from some
// moment on.
type brokenPipe struct {
	net.Conn
	read, write chan struct{} // closed: it cannot
}

func (c *brokenPipe) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	check(c.read)
	return n, err
}

func (c *brokenPipe) Write(p []byte) (int, error) {
	check(c.write)
	return c.Conn.Write(p)
}

func check(broken chan struct{}) {
	select {
	case <-broken:
		panic("a bug in the connection")
	default:
	}
}

// A bug that a TLS connection meets, in its handshake, while it reads or while it
// writes, ends that connection and nothing else.
func TestPanicsOfTLSConnections(t *testing.T) {
	for name, breaks := range map[string]func(c *brokenPipe, handshake bool){
		"handshake": func(c *brokenPipe, handshake bool) {
			if handshake {
				close(c.read)
			}
		},
		"reading": func(c *brokenPipe, handshake bool) {
			if !handshake {
				close(c.read)
			}
		},
		"writing": func(c *brokenPipe, handshake bool) {
			if !handshake {
				close(c.write)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			withPipes(t, Config{}, func(t *testing.T, g *Gateway, l *pipes) {
				theirs, ours := net.Pipe()
				broken := &brokenPipe{Conn: ours, read: make(chan struct{}), write: make(chan struct{})}
				breaks(broken, true)
				l.conns <- broken
				c := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true})
				err := c.HandshakeContext(t.Context())
				if (name == "handshake") != (err != nil) {
					t.Fatalf("the handshake ended with %v", err)
				}
				if name != "handshake" {
					synctest.Wait()
					breaks(broken, false)
					_, _ = c.Write(hello(1))
				}
				synctest.Wait()
				theirs.Close()
				synctest.Wait()
				if s := g.Stats(); s["panics"] != 1 || s["places.taken"] != 0 || s["connections"] != 0 {
					t.Errorf("stats %v", s)
				}
				other := tls.Client(l.dial(), &tls.Config{InsecureSkipVerify: true})
				if err := other.HandshakeContext(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
