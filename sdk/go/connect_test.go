package gannet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/protocol"
)

// tokens is a source that gives the tokens one after the other, the last for ever.
type tokens struct {
	mu    sync.Mutex
	list  []string
	asked int
}

// count gives how often it was asked.
func (s *tokens) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *tokens) source() Option {
	return WithTokenSource(func(context.Context) (string, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		return s.list[min(s.asked, len(s.list))-1], nil
	})
}

func TestABadTokenIsAskedForOnceMoreAfterAReconnect(t *testing.T) {
	s := newServer(t)
	source := &tokens{list: []string{"user 1", "stale", "user 1", "stale", "stale"}}
	d := newDiary()
	c := join(t, s, 1, source.source(), WithHandler(d.handler()))
	s.cut()
	d.until(t, "online again", func() bool { return d.count(EventConnected) == 2 })
	if source.count() != 3 || !errors.Is(d.last(EventFailed).Err, CodeBadToken) {
		t.Errorf("the source was asked %d times, %v", source.count(), d.last(EventFailed).Err)
	}
	s.cut()
	<-c.Done()
	if !errors.Is(c.Err(), CodeBadToken) || source.count() != 5 {
		t.Errorf("%v after %d questions; a second bad token in a row is final", c.Err(), source.count())
	}
	first := &tokens{list: []string{"stale", "user 1"}}
	if _, err := Dial(testContext(t), s.addr(), "", first.source()); !errors.Is(err, CodeBadToken) || first.count() != 1 {
		t.Errorf("the first login: %v after %d questions", err, first.count())
	}
}

func TestNewDoesNotConnect(t *testing.T) {
	s := newServer(t)
	s.ln.Close() // nobody is there yet
	c, err := New(s.addr(), "user 1", WithBackoff(time.Millisecond, 10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	sent := post(t, c, User(2), "taken before anything")
	if c.State() != StateIdle || c.Waiting() != 1 {
		t.Errorf("%v, %d wait", c.State(), c.Waiting())
	}
	soon, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := c.Connect(soon); !errors.Is(err, context.DeadlineExceeded) || c.State() != StateConnecting {
		t.Errorf("Connect without a server: %v, %v", err, c.State())
	}
	var ln net.Listener
	for deadline := time.Now().Add(10 * time.Second); ; { // another test may have the port for a moment
		if ln, err = net.Listen("tcp", s.addr()); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	s.listen(ln)
	if err := c.Connect(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if ack, err := sent.Wait(testContext(t)); err != nil || ack.Seq != 1 {
		t.Errorf("%+v, %v", ack, err)
	}
	if err := errors.Join(c.Connect(testContext(t)), c.Close(testContext(t))); err != nil {
		t.Error(err)
	}
	if err := c.Connect(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("Connect after Close: %v", err)
	}
}

func TestCloseOfAClientThatNeverConnected(t *testing.T) {
	d := newDiary()
	c, err := New("127.0.0.1:1", "x", WithHandler(d.handler()))
	if err != nil {
		t.Fatal(err)
	}
	sent := post(t, c, User(2), "x")
	if err := c.Close(testContext(t)); err == nil {
		t.Error("Close says that all is acked")
	}
	if _, err := sent.Wait(testContext(t)); !errors.Is(err, ErrAbandoned) {
		t.Errorf("the message: %v", err)
	}
	if d.count(EventEnded) != 1 || len(d.outcomes) != 1 || c.State() != StateClosed {
		t.Errorf("events %v, outcomes %v, %v", d.events, d.outcomes, c.State())
	}
}

// All addresses are tried, in some order, until one of them answers.
func TestSeveralAddresses(t *testing.T) {
	s, other := newServer(t), newServer(t)
	d := newDiary()
	dials := make(chan string, 1000)
	all := []string{"127.0.0.1:1", s.addr(), "127.0.0.1:2", other.addr()}
	c := joinAt(t, strings.Join(all, ","), 1, WithHandler(d.handler()),
		WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials <- addr
			return new(net.Dialer).DialContext(ctx, network, addr)
		}))
	firsts := map[string]bool{}
	for n := 2; len(firsts) < 2 || n < 10; n++ { // random order: sooner or later both
		d.until(t, "connected", func() bool { return d.count(EventConnected) >= n-1 })
		firsts[d.last(EventConnected).Address] = true
		s.cut()
		other.cut()
	}
	crash(c)
	close(dials)
	tried := map[string]bool{}
	for addr := range dials {
		tried[addr] = true
	}
	if len(tried) != len(all) || !firsts[s.addr()] || !firsts[other.addr()] {
		t.Errorf("tried %v, connected to %v", tried, firsts)
	}
}

func TestAddressesAreChecked(t *testing.T) {
	for addr, says := range map[string]string{
		"": "an address is empty", "127.0.0.1:7420,": "an address is empty", "127.0.0.1:7420, ,127.0.0.1:7421": "an address is empty",
		"host": `"host"`, "host:0": `"host:0"`, ":7420": `":7420"`, "host:port": `"host:port"`, "127.0.0.1:7420, host": `"host"`,
	} {
		if _, err := New(addr, "x"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", addr, err, says)
		}
	}
	c, err := New(" 127.0.0.1:7420, [::1]:7420 ,\tlocalhost:7421\n", "x")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(c.addrs)
	if want := []string{"127.0.0.1:7420", "[::1]:7420", "localhost:7421"}; !slices.Equal(c.addrs, want) {
		t.Errorf("the addresses are %q, want %q", c.addrs, want)
	}
}

// A CLOSE may send the client to one of its own addresses, after the time that it names,
// and to no other.
func TestCloseNamesTheAddressToComeBackTo(t *testing.T) {
	s := newServer(t)
	const addresses = 5
	var all []string
	servers := map[string]*server{s.addr(): s}
	for all = append(all, s.addr()); len(all) < addresses; {
		next := newServer(t)
		servers[next.addr()] = next
		all = append(all, next.addr())
	}
	d := newDiary()
	joinAt(t, strings.Join(all, ","), 1, WithHandler(d.handler()))
	d.until(t, "connected", func() bool { return d.count(EventConnected) == 1 })
	at := d.last(EventConnected).Address
	for i, to := range []string{all[3], all[0], all[3], all[4], "127.0.0.1:9"} {
		began := time.Now()
		const wait = 50 * time.Millisecond
		servers[at].emit(protocol.Failure{Code: protocol.CodeDraining, RetryAfter: uint32(wait / time.Millisecond), Address: []byte(to)}.AppendClose(nil))
		d.until(t, "connected again", func() bool { return d.count(EventConnected) == i+2 })
		at = d.last(EventConnected).Address
		if at != to && to != "127.0.0.1:9" || time.Since(began) < wait {
			t.Errorf("sent to %s, it came back to %s after %v", to, at, time.Since(began))
		}
		if servers[at] == nil {
			t.Fatalf("it came back to %s, which is none of its addresses", at)
		}
	}
}

// listen serves another listener.
func (s *server) listen(ln net.Listener) {
	s.ln = ln
	s.wg.Add(1)
	go s.accept(ln)
	s.t.Cleanup(func() { ln.Close() })
}

// certificate makes one for 127.0.0.1 and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
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

func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	s := newServer(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	s.listen(ln)
	c := join(t, s, 1, WithTLS(&tls.Config{RootCAs: pool}))
	if _, err := c.Send(testContext(t), User(2), Text("x")); err != nil {
		t.Error(err)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := Dial(testContext(t), s.addr(), "user 1", WithTLS(nil)); !errors.As(err, &unknown) {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

func TestLogger(t *testing.T) {
	s := newServer(t)
	var mu sync.Mutex
	var out bytes.Buffer
	d := newDiary()
	c := join(t, s, 1, WithHandler(d.handler()), WithLogger(slog.New(slog.NewTextHandler(lockedWriter{&mu, &out}, nil))))
	post(t, c, User(2), "a secret")
	s.cut()
	d.until(t, "online again", func() bool { return d.count(EventConnected) == 2 })
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"level=INFO msg=\"gannet: connected\"", "level=WARN msg=\"gannet: lost\"", "gannet: ended", "address=" + s.addr(), fmt.Sprint("device=", c.Device())} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "secret") || strings.Contains(out.String(), "user 1") {
		t.Errorf("the log has what is nobody's business:\n%s", out.String())
	}
}

// lockedWriter is a buffer for several goroutines.
type lockedWriter struct {
	mu  *sync.Mutex
	out *bytes.Buffer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(b)
}
