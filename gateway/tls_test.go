package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// certificate makes one for 127.0.0.1, and the pool that trusts it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// listenTLS adds a listener with TLS.
func (st *stage) listenTLS() (address string, pool *x509.CertPool) {
	st.t.Helper()
	cert, pool := certificate(st.t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		st.t.Fatal(err)
	}
	if err := st.ServeTLS(ln, &tls.Config{Certificates: []tls.Certificate{cert}}); err != nil {
		st.t.Fatal(err)
	}
	return ln.Addr().String(), pool
}

func dialTLS(t testing.TB, address string, pool *x509.CertPool) *peer {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &peer{Conn: c, t: t}
}

// The same session above TLS: login, a send, a large push, a kick.
func TestSessionAboveTLS(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	st := newStage(t, l, Config{})
	address, pool := st.listenTLS()

	if _, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	st.eventually("the handshake is counted", func() bool { return st.stat("failed_handshakes") == 1 })

	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{Conn: conn, t: t}
	p.send(hello(5))
	if f := p.next(); f.Type != protocol.TypeWelcome {
		t.Fatalf("login: %#x", f.Type)
	}
	p.conn = (<-l.loggedIn).Conn
	p.send(sendFrame(6, 1, "secret"))
	if f := p.next(); f.Type != protocol.TypeSendAck {
		t.Fatalf("answered %#x", f.Type)
	}
	for seq := uint64(1); seq <= 3; seq++ {
		st.push([]delivery{{Frame: pushFrame(6, 5, seq, protocol.MaxBody), Conns: []uint64{p.conn}}})
	}
	for seq := uint64(1); seq <= 3; seq++ {
		var m protocol.Message
		if f := p.next(); m.Decode(f.Payload) != nil || m.Seq != seq || len(m.Body) != protocol.MaxBody {
			t.Fatalf("push %d: %#x, %d bytes", seq, f.Type, len(m.Body))
		}
	}
	st.Kick(p.conn, protocol.CodeReplaced)
	if code := p.closed(); code != protocol.CodeReplaced {
		t.Errorf("closed with %v", code)
	}
}

// A peer that reads nothing holds up the stop no longer than its goodbye takes, and
// one whose handshake is not over does not at all.
func TestStopWithTLSPeersThatHang(t *testing.T) {
	l := newLogic()
	l.silence = time.Hour
	st := newStage(t, l, Config{})
	address, pool := st.listenTLS()
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := &peer{Conn: conn, t: t}
	p.send(hello(2))
	if f := p.next(); f.Type != protocol.TypeWelcome {
		t.Fatalf("login: %#x", f.Type)
	}
	p.conn = (<-l.loggedIn).Conn
	flood(st, p)
	mute, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	st.ticking()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := st.Stop(ctx); err != nil {
		t.Error(err)
	}
	if n := st.stat("close.draining"); n != 1 {
		t.Errorf("%d connections were closed", n)
	}
}

// Whoever is refused before the handshake reads why, and when to come again, in a frame
// without TLS, which a TLS library reports as what is no TLS record.
func TestRefusedBeforeTheHandshake(t *testing.T) {
	l := newLimiter(time.Second)
	st := newStage(t, newLogic(), Config{Limiter: l})
	st.address, _ = st.listenTLS()
	l.give(limiter.Connects, 0)
	if code, retry := st.dial().turnedAway(); code != protocol.CodeAddressLimited || retry < time.Second || retry > time.Second+drainRetry {
		t.Errorf("closed with %v, to come after %v", code, retry)
	}
	_, err := tls.Dial("tcp", st.address, &tls.Config{})
	var plain tls.RecordHeaderError
	if !errors.As(err, &plain) {
		t.Fatalf("the handshake ended with %v", err)
	}
	if protocol.Type(plain.RecordHeader[4]) != protocol.TypeClose {
		t.Errorf("the handshake ended with %x", plain.RecordHeader)
	}
	if n := st.stat("close.address_limited"); n != 2 {
		t.Errorf("%d refusals are counted", n)
	}
}
