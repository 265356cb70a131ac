package gateway

import (
	"crypto/tls"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// Records of TLS that bring no frame count as frames do, for each may cost more: a
// connection that goes on with them ends, and its user stays out for a while.
func TestRecordsThatBringNothing(t *testing.T) {
	st := newStage(t, newLogic(), Config{Frames: limiter.Rate{PerSecond: 100, Burst: 400}})
	address, pool := st.listenTLS()
	p := st.loginTLS(1, address, &tls.Config{RootCAs: pool})
	frame := protocol.Send{Target: direct(2), ClientID: 1, Content: protocol.ContentText, Body: make([]byte, protocol.MaxBody)}.AppendFrame(nil, 1)
	sent := 0
	for ; sent < 4000; sent++ {
		if _, err := p.Write(frame[sent : sent+1]); err != nil {
			break
		}
	}
	if code := p.closed(); code != protocol.CodeOverLimits {
		t.Errorf("after %d records of a byte it is closed with %v", sent, code)
	}
	if sent < 2*400/recordTokens {
		t.Errorf("it was closed after %d records, before its tokens were used up", sent)
	}
	if st.offenders.left(1, st.wheel.now()) == 0 {
		t.Error("its user may come back at once")
	}
}

// A client that writes each frame in two pieces, and long ones in many, is none of them.
func TestFramesInPieces(t *testing.T) {
	st := newStage(t, newLogic(), Config{Frames: limiter.Rate{PerSecond: 100, Burst: 400}})
	address, pool := st.listenTLS()
	p := st.loginTLS(1, address, &tls.Config{RootCAs: pool})
	ping := protocol.AppendEmpty(nil, protocol.TypePing, 1)
	for range 50 {
		p.send(ping[:4])
		p.send(ping[4:])
		if f := p.next(); f.Type != protocol.TypePong {
			t.Fatalf("PING is answered with %v", f.Type)
		}
	}
	long := protocol.Send{Target: direct(2), ClientID: 1, Content: protocol.ContentText, Body: make([]byte, protocol.MaxBody)}.AppendFrame(nil, 1)
	for len(long) > 0 {
		n := min(1400, len(long))
		p.send(long[:n])
		long = long[n:]
	}
	p.alive()
}

// Before the login there are a few records for HELLO and no more.
func TestRecordsBeforeLogin(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	address, pool := st.listenTLS()
	p := dialTLS(t, address, pool)
	frame := protocol.Hello{Version: protocol.Version, Token: make([]byte, 900)}.AppendFrame(nil, 1)
	for i := range 10 * earlyRecords {
		if _, err := p.Write(frame[i : i+1]); err != nil {
			break
		}
	}
	if code := p.closed(); code != protocol.CodeOverLimits {
		t.Errorf("it is closed with %v", code)
	}
	slow := dialTLS(t, address, pool)
	piece := hello(3)
	for _, b := range [][]byte{piece[:4], piece[4:5], piece[5:6], piece[6:10], piece[10:]} {
		slow.send(b)
	}
	if f := slow.next(); f.Type != protocol.TypeWelcome {
		t.Errorf("HELLO in pieces is answered with %v", f.Type)
	}
}

// Handshakes compute in turns, and give theirs back, whatever becomes of them.
func TestHandshakesInTurns(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	address, pool := st.listenTLS()
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			config := &tls.Config{RootCAs: pool}
			stranger := i%4 == 0
			if stranger { // who does not know whose certificate that is leaves amid the handshake
				config = &tls.Config{}
			}
			conn, err := tls.Dial("tcp", address, config)
			if err == nil {
				conn.Close()
			}
			if stranger != (err != nil) {
				t.Errorf("stranger %v: %v", stranger, err)
			}
		})
	}
	all.Wait()
	st.eventually("all turns are given back", func() bool { return st.stat("places.taken") == 0 && len(st.shakes) == 0 })
}

// While somebody else has the turn a handshake waits for it, for as long as it has.
func TestHandshakeWaitsForItsTurn(t *testing.T) {
	withPipes(t, Config{}, func(t *testing.T, g *Gateway, l *pipes) {
		for range cap(g.shakes) {
			g.shakes <- struct{}{}
		}
		c := tls.Client(l.dial(), &tls.Config{InsecureSkipVerify: true})
		done := make(chan error, 1)
		go func() { done <- c.HandshakeContext(t.Context()) }()
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("it did not wait, and ended with %v", err)
		default:
		}
		<-g.shakes
		if err := <-done; err != nil {
			t.Error(err)
		}
		other := tls.Client(l.dial(), &tls.Config{InsecureSkipVerify: true})
		g.shakes <- struct{}{}
		if err := other.HandshakeContext(t.Context()); err == nil {
			t.Error("it computed beside those who have the turns")
		}
		for range cap(g.shakes) {
			<-g.shakes
		}
	})
}

// The last words over TLS have tlsGoodbye in all.
func TestGoodbyeOverTLS(t *testing.T) {
	withPipes(t, Config{}, func(t *testing.T, g *Gateway, l *pipes) {
		below := l.dial()
		p := &peer{Conn: tls.Client(below, &tls.Config{InsecureSkipVerify: true}), t: t}
		p.send(hello(1))
		if f := p.next(); f.Type != protocol.TypeWelcome {
			t.Fatalf("login: %v", f.Type)
		}
		_ = below.SetReadDeadline(time.Time{})
		began := time.Now()
		g.sessions.all()[0].close(protocol.CodeReplaced)
		if f := p.next(); f.Type != protocol.TypeClose {
			t.Fatalf("came %v", f.Type)
		}
		for g.Stats()["connections"] != 0 {
			time.Sleep(tick)
			synctest.Wait()
		}
		if took := time.Since(began); took > tlsGoodbye+goodbyeTimeout/2 {
			t.Errorf("a peer that takes its CLOSE and nothing more is gone after %v", took)
		}
	})
}
