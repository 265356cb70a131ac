package gateway

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// loopback is what proxies are in these tests, 127.0.0.2 is none of them.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

func TestClientOfAProxyIsWhoItSays(t *testing.T) {
	l := newLimiter(time.Second)
	st := newStage(t, newLogic(), Config{Limiter: l, Proxies: loopback, MaxPerAddress: 2})
	for i, header := range [][]byte{
		headerV2(client4, "10.0.0.1:80"),
		headerV2("203.0.113.7:4712", "10.0.0.1:80", make([]byte, 1500)...), // more than is read at once
		[]byte("PROXY TCP4 203.0.113.8 10.0.0.1 4711 80\r\n"),
		headerV2(client6, "[::1]:80"),
	} {
		p := st.dial()
		p.send(append(header, hello(uint64(i+1))...)) // together, as it often comes
		if f := p.next(); f.Type != protocol.TypeWelcome {
			t.Fatalf("came %v", f.Type)
		}
		<-st.logic.loggedIn
		p.alive()
	}
	for address, n := range map[string]int{"203.0.113.7": 2, "203.0.113.8": 1, "2001:db8::7": 1, "127.0.0.1": 0} {
		if got := l.by(limiter.Connects, address); got != n {
			t.Errorf("%d connects of %s", got, address)
		}
	}
	seen := map[string]bool{}
	for _, s := range st.sessions.all() {
		seen[s.transport.remote()] = true
	}
	for _, from := range []string{client4, "203.0.113.7:4712", "203.0.113.8:4711", client6} {
		if !seen[from] {
			t.Errorf("nobody is from %s among %v", from, seen)
		}
	}

	p := st.dial() // a third one of the first address
	p.send(append(headerV2(client4, "10.0.0.1:80"), hello(9)...))
	if code, retry := p.turnedAway(); code != protocol.CodeAddressLimited || retry > drainRetry {
		t.Errorf("closed with %v, to come after %v", code, retry)
	}
	st.eventually("its place is free", func() bool { return st.stat("places.taken") == 4 })
	st.dialFrom("127.0.0.2").greet(10) // comes without a proxy
}

// A header may arrive in any pieces, and so may what is behind it.
func TestProxyHeaderInPieces(t *testing.T) {
	st := newStage(t, newLogic(), Config{Proxies: loopback})
	for _, header := range [][]byte{headerV2(client6, "[::1]:80", 1, 2, 3), []byte("PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n")} {
		p := st.dial()
		reads := st.stat("reads")
		for _, b := range append(header, hello(1)...) {
			p.send([]byte{b})
		}
		if f := p.next(); f.Type != protocol.TypeWelcome {
			t.Fatalf("came %v", f.Type)
		}
		p.alive()
		if n := st.stat("reads") - reads; n == 0 {
			t.Error("nothing was read by the session")
		}
	}
}

// The proxy itself, as in a health check, is under no limit of an address.
func TestHealthChecksOfAProxy(t *testing.T) {
	l := newLimiter(time.Second)
	l.give(limiter.Connects, 0)
	l.give(limiter.FailedLogins, 0)
	st := newStage(t, newLogic(), Config{Limiter: l, Proxies: loopback, MaxPerAddress: 1})
	for user := range uint64(3) {
		p := st.dial()
		p.send(rawHeaderV2(0x20, 0, nil))
		p.greet(user + 1)
	}
	for range 3 {
		p := st.dial()
		p.send(append(rawHeaderV2(0x20, 0, nil), protocol.AppendEmpty(nil, protocol.TypePing, 1)...))
		if code := p.closed(); code != protocol.CodeHelloExpected {
			t.Errorf("closed with %v", code)
		}
	}
	if n := st.stat("connect.failed_logins") + st.stat("close.address_limited"); n != 0 {
		t.Errorf("%d refusals of a proxy", n)
	}
}

func TestHeaderOfAProxyThatIsBrokenOrMissing(t *testing.T) {
	for name, b := range map[string][]byte{
		"missing":    hello(1),
		"broken":     append([]byte(proxyV2), 0x31, 0x11, 0, 12),
		"of 64 KiB":  rawHeaderV2(0x21, 0x11, make([]byte, 1<<16-1)),
		"v1, broken": []byte("PROXY TCP4 nobody 10.0.0.1 4711 80\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(time.Second)
			st := newStage(t, newLogic(), Config{Limiter: l, Proxies: loopback})
			p := st.dial()
			_, _ = p.Write(b) // the end may come first
			if code := p.closed(); code != protocol.CodeBadProxy {
				t.Errorf("closed with %v", code)
			}
			st.eventually("it is counted", func() bool { return st.stat("close.bad_proxy") == 1 && st.stat("places.taken") == 0 })
			if n := l.by(limiter.FailedLogins, "127.0.0.1"); n != 0 {
				t.Errorf("the proxy is charged with %d failed logins", n)
			}
		})
	}
}

// Half a header is not waited for longer than a HELLO.
func TestHalfAProxyHeader(t *testing.T) {
	st := newStage(t, newLogic(), Config{Proxies: loopback})
	p := st.dial()
	p.send(headerV2(client4, "10.0.0.1:80")[:20])
	st.eventually("it is there", func() bool { return st.stat("connections") == 1 })
	st.turn(protocol.LoginTimeout / 2)
	p.send(headerV2(client4, "10.0.0.1:80")[20:])
	st.turn(protocol.LoginTimeout/2 + tick)
	if code := p.closed(); code != protocol.CodeLoginTimeout {
		t.Errorf("closed with %v", code)
	}
}

// A header from anybody else says nothing but that something is set up wrongly.
func TestProxyHeaderFromAnybodyElse(t *testing.T) {
	for _, proxies := range [][]netip.Prefix{nil, {netip.MustParsePrefix("10.0.0.0/8")}} {
		st := newStage(t, newLogic(), Config{Proxies: proxies})
		for _, b := range [][]byte{headerV2(client4, "10.0.0.1:80"), []byte("PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n"), []byte("PROXY UNKNOWN\r\n")} {
			for _, first := range []int{1, 4, len(b)} { // also in pieces
				p, before := st.dial(), st.stat("bytes_in")
				p.send(b[:first])
				if first < len(b) {
					st.eventually("the part is read", func() bool { return st.stat("bytes_in") > before })
					_, _ = p.Write(b[first:])
				}
				if code := p.closed(); code != protocol.CodeBadProxy {
					t.Errorf("closed with %v", code)
				}
			}
		}
		p := st.dial()
		p.send([]byte("GET / HTTP/1.1\r\n\r\n"))
		if code := p.closed(); code != protocol.CodeFrameTooLarge {
			t.Errorf("closed with %v", code)
		}
	}
}

// The header comes before the TLS handshake, in one piece with it or not.
func TestTLSBehindAProxy(t *testing.T) {
	l := newLimiter(time.Second)
	st := newStage(t, newLogic(), Config{Limiter: l, Proxies: loopback, MaxPerAddress: 1})
	address, pool := st.listenTLS()
	st.address = address
	raw := st.dial()
	p := &peer{Conn: tls.Client(&withFirst{raw, headerV2(client6, "[::1]:80")}, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}), t: t}
	p.greet(1)
	if s := st.sessions.all()[0]; s.transport.remote() != client6 {
		t.Errorf("the client is %s", s.transport.remote())
	}
	raw = st.dial()
	for _, b := range []byte("PROXY TCP4 203.0.113.8 10.0.0.1 4711 443\r\n") {
		raw.send([]byte{b})
	}
	p = &peer{Conn: tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}), t: t}
	p.greet(2)
	if n := l.by(limiter.Connects, "203.0.113.8") + l.by(limiter.Connects, "2001:db8::7"); n != 2 {
		t.Errorf("%d connects are counted", n)
	}

	refused := st.dial() // the address has its one connection; no handshake is made to say so
	refused.send(headerV2(client6, "[::1]:80"))
	if code, retry := refused.turnedAway(); code != protocol.CodeAddressLimited || retry > drainRetry {
		t.Errorf("closed with %v, to come after %v", code, retry)
	}
	if n := st.stat("close.address_limited"); n != 1 {
		t.Errorf("%d refusals are counted", n)
	}
	st.eventually("its place is free", func() bool { return st.stat("places.taken") == 2 })
}

// withFirst sends something before, and in one piece with, what is written first.
type withFirst struct {
	*peer
	first []byte
}

func (c *withFirst) Write(p []byte) (int, error) {
	if _, err := c.peer.Write(append(c.first, p...)); err != nil {
		return 0, err
	}
	c.first = nil
	return len(p), nil
}

// A health check is no failed handshake, with a header or without.
func TestTLSHealthChecks(t *testing.T) {
	st := newStage(t, newLogic(), Config{Proxies: loopback})
	st.address, _ = st.listenTLS()
	for _, b := range [][]byte{nil, rawHeaderV2(0x20, 0, nil), []byte("PROXY UNKNOWN\r\n")} {
		p := st.dial()
		p.send(b)
		p.Close()
	}
	st.eventually("they are gone", func() bool { return st.stat("close.peer") == 3 && st.stat("places.taken") == 0 })
	if n := st.stat("failed_handshakes"); n != 0 {
		t.Errorf("%d handshakes failed", n)
	}
}

// On the listener with TLS a header that is wrong is answered in the clear.
func TestTLSWithAWrongProxyHeader(t *testing.T) {
	for name, c := range map[string]struct {
		proxies []netip.Prefix
		send    []byte
	}{
		"missing":               {loopback, hello(1)},
		"broken":                {loopback, append([]byte(proxyV2), 0x31, 0x11, 0, 12)},
		"of 64 KiB":             {loopback, rawHeaderV2(0x21, 0x11, make([]byte, 1<<16-1))},
		"from anybody else":     {nil, headerV2(client4, "10.0.0.1:80")},
		"v1, from anybody else": {nil, []byte("PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, newLogic(), Config{Proxies: c.proxies})
			st.address, _ = st.listenTLS()
			p := st.dial()
			_, _ = p.Write(c.send) // the end may come first
			if code := p.closed(); code != protocol.CodeBadProxy {
				t.Errorf("closed with %v", code)
			}
			st.eventually("it is counted", func() bool { return st.stat("close.bad_proxy") == 1 && st.stat("places.taken") == 0 })
			if n := st.stat("failed_handshakes"); n != 0 {
				t.Errorf("%d handshakes failed", n)
			}
		})
	}
}

// TestGivingWayBesideTheHeader: a connection may have to give way in the moment in which
// its header says whose it is; the race detector watches.
func TestGivingWayBesideTheHeader(t *testing.T) {
	st := newStage(t, newLogic(), Config{Proxies: loopback})
	from := netip.MustParseAddrPort(client4)
	for _, whose := range []string{"a session", "a TLS handshake"} {
		p := st.dial()
		st.eventually("it is there", func() bool { return len(st.sessions.all()) == 1 })
		s := st.sessions.all()[0]
		held, place := holder(s), s.place
		if whose != "a session" {
			near, far := net.Pipe()
			defer far.Close()
			c := &tlsConn{Conn: near, gateway: st.Gateway}
			held, place = c, &c.place
		}
		var both sync.WaitGroup
		both.Go(func() {
			if r, _ := st.places.identify(place, from); r != admitted {
				t.Errorf("%s: it is refused: %d", whose, r)
			}
		})
		both.Go(held.giveWay)
		both.Wait()
		if got := st.places.whose(place); got != from {
			t.Errorf("%s: it is from %v", whose, got)
		}
		st.places.leave(place)
		p.Close()
		st.eventually("it is gone", func() bool { return len(st.sessions.all()) == 0 })
	}
	if n := st.stat("connect.gave_way"); n != 2 {
		t.Errorf("%d gave way", n)
	}
}
