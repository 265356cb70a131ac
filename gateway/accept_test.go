package gateway

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// dialFrom dials from another address of this machine.
func (st *stage) dialFrom(address string) *peer {
	st.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c, err := d.Dial("tcp", st.address)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { c.Close() })
	return &peer{Conn: c, t: st.t}
}

// greet logs in and checks that the connection is served.
func (p *peer) greet(user uint64) {
	p.t.Helper()
	p.send(hello(user))
	if f := p.next(); f.Type != protocol.TypeWelcome {
		p.t.Fatalf("login of %d: %v", user, f.Type)
	}
	p.alive()
}

// sockets makes sockets that can be connected when no descriptor is free.
func sockets(t *testing.T, n int) []int {
	t.Helper()
	list := make([]int, n)
	for i := range list {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		list[i] = fd
	}
	return list
}

func connectTo(t *testing.T, fd int, address string) {
	t.Helper()
	a := netip.MustParseAddrPort(address)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
}

// withoutFiles runs f while this process can open no file.
func withoutFiles(t *testing.T, f func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

// At the limit on open files accept fails again and again. Who is connected is served,
// nothing spins, little is logged; and when there are files again, those who waited are
// accepted. The second time is as the first.
func TestNoFileIsFreeForAConnection(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	tlsAddress, _ := st.listenTLS()
	neighbour := st.login(200)
	for round := range uint64(3) {
		waiting := append(sockets(t, 5), sockets(t, 1)...)
		before, begin := st.stat("connect.failed"), time.Now()
		accepted := st.stat("accepted")
		withoutFiles(t, func() {
			for _, fd := range waiting[:5] {
				connectTo(t, fd, st.address)
			}
			connectTo(t, waiting[5], tlsAddress)
			st.eventually("both listeners have tried more than once", func() bool { return st.stat("connect.failed") >= before+6 })
			neighbour.alive()
			// Each listener fails once a pause; here it may be late, never early.
			if n, most := st.stat("connect.failed")-before, 2*(2+uint64(time.Since(begin)/acceptPause)); n > most {
				t.Errorf("accept failed %d times in %v", n, time.Since(begin))
			}
		})
		st.eventually("those who waited are accepted", func() bool { return st.stat("accepted") == accepted+6 })
		for i, fd := range waiting[:5] {
			if _, err := unix.Write(fd, hello(1+5*round+uint64(i))); err != nil {
				t.Fatal(err)
			}
			<-st.logic.loggedIn
		}
	}
	if n := st.lines.most(); n > 10 {
		t.Errorf("one line was logged %d times", n)
	}
}

// Refusing is cheap: it makes no session, no goroutine and leaves no memory behind.
func TestFloodOfConnectsThatAreRefused(t *testing.T) {
	l := newLimiter(time.Second)
	st := newStage(t, newLogic(), Config{Limiter: l})
	neighbour := st.login(1)
	l.give(limiter.Connects, 0)
	ids, goroutines, before := st.sessions.lastID, runtime.NumGoroutine(), inUse()
	const flood = 2000
	for i := range flood {
		c, err := net.Dial("tcp", st.address)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if _, err := c.Write(hello(2)); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Fatal(err)
			}
		}
		c.Close()
		if i%500 == 0 {
			neighbour.alive()
		}
	}
	st.eventually("all are refused", func() bool { return st.stat("connect.address_rate") == flood })
	if st.sessions.lastID != ids {
		t.Errorf("%d sessions were made", st.sessions.lastID-ids)
	}
	if n := runtime.NumGoroutine(); n > goroutines+5 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if after := inUse(); after > before+1<<20 {
		t.Errorf("%d bytes in use, %d before", after, before)
	}
	if n := st.stat("places.taken"); n != 1 {
		t.Errorf("%d places are taken", n)
	}
	neighbour.alive()
}

// A client that has sent its HELLO by the time it is refused reads the CLOSE, and the
// end of the stream after it, no reset.
func TestRefusalIsHeard(t *testing.T) {
	st := newStage(t, newLogic(), Config{MaxConnections: 1})
	st.login(1)
	st.listeners[0].(*netpollListener).gate.pause(acceptPause)
	var early []*peer
	for range 50 {
		p := st.dial()
		p.send(hello(2))
		early = append(early, p)
	}
	for _, p := range early {
		var m protocol.Failure
		if f := p.next(); f.Type != protocol.TypeClose || m.Decode(f.Payload) != nil || m.Code != protocol.CodeTooManyConnections {
			t.Fatalf("came %v", f.Type)
		}
		if _, err := p.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("after the CLOSE: %v", err)
		}
	}
}

// A socket that listens for both families gives IPv4 addresses in the form of IPv6;
// whoever comes is one and the same on any socket.
func TestAddressOnASocketOfBothFamilies(t *testing.T) {
	l := newLimiter(time.Second)
	st := newStage(t, newLogic(), Config{Limiter: l, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}})
	listeners, err := Listen(":0", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Serve(listeners[0]); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	st.address = net.JoinHostPort("127.0.0.1", port)
	p := st.dial()
	p.greet(1)
	st.socketOf(p) // finds it by its address
	if n := l.by(limiter.Connects, "127.0.0.1"); n != 1 {
		t.Errorf("%d connects of it are counted", n)
	}
	proxied := st.dialFrom("127.0.0.3")
	proxied.send(headerV2(client6, "[::1]:80"))
	proxied.greet(2)
}

func TestRoomForEveryClose(t *testing.T) {
	for code := protocol.Code(1000); code < 4000; code++ {
		b := protocol.Failure{Code: code, Text: []byte(code.Meaning())}.AppendClose(nil)
		if len(b) > closeBytes {
			t.Errorf("CLOSE %v takes %d bytes", code, len(b))
		}
	}
}

// A poller that is late takes no connection from a listener that has got the descriptor of one
// that is closed.
func TestAClosedListenerAcceptsNothing(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	l := st.listeners[0].(*netpollListener)
	was := l.fd
	if err := st.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	file, err := other.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if int(file.Fd()) != was {
		if err := unix.Dup3(int(file.Fd()), was, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(was)
	}
	if err := unix.SetNonblock(was, true); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", other.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := l.Accept(); got != nil || err != nil {
		t.Errorf("it accepts %v, %v", got, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection of another listener ends: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if _, err := unix.FcntlInt(uintptr(was), unix.F_GETFD, 0); err != nil {
		t.Errorf("closed again it closes somebody else's: %v", err)
	}
}

// What the kernel does for an accepted socket, plain or TLS.
func TestAcceptedSocketsAreKeptAlive(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(1)
	address, pool := st.listenTLS()
	q := dialTLS(t, address, pool)
	q.greet(2)
	for kind, fd := range map[string]int{"plain": st.socketOf(p), "TLS": st.socketOf(q)} {
		for name, o := range map[string]struct{ level, option, want int }{
			"TCP_NODELAY":   {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			"SO_KEEPALIVE":  {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			"TCP_KEEPIDLE":  {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 120},
			"TCP_KEEPINTVL": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 30},
			"TCP_KEEPCNT":   {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
		} {
			if got, err := unix.GetsockoptInt(fd, o.level, o.option); err != nil || got != o.want {
				t.Errorf("%s: %s is %d, %v", kind, name, got, err)
			}
		}
	}
}

// socketOf gives the descriptor of the gateway's end.
func (st *stage) socketOf(p *peer) int {
	st.t.Helper()
	for _, s := range st.sessions.all() {
		if s.transport.remote() != p.LocalAddr().String() {
			continue
		}
		switch t := s.transport.(type) {
		case *netpollTransport:
			return t.fd
		case *tlsTransport:
			raw, err := t.conn.NetConn().(*tlsConn).Conn.(*net.TCPConn).SyscallConn()
			if err != nil {
				st.t.Fatal(err)
			}
			fd := -1
			if err := raw.Control(func(d uintptr) { fd = int(d) }); err != nil {
				st.t.Fatal(err)
			}
			return fd
		}
	}
	st.t.Fatalf("no session of %s", p.LocalAddr())
	return -1
}

func TestBacklog(t *testing.T) {
	listeners, err := Listen("127.0.0.1:0", 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		defer l.Close()
		if n := backlogOf(t, l); n != most {
			t.Errorf("begins with a backlog of %d, the system allows %d", n, most)
		}
		if err := SetBacklog(l, 7); err != nil {
			t.Fatal(err)
		}
		if n := backlogOf(t, l); n != 7 {
			t.Errorf("the backlog is %d", n)
		}
		if err := SetBacklog(l, most+1); err == nil || !strings.Contains(err.Error(), "net.core.somaxconn") {
			t.Errorf("a backlog over the limit: %v", err)
		}
	}
}

// backlogOf asks the kernel, which tells it of a listening socket in the place of
// another number.
func backlogOf(t *testing.T, l net.Listener) (n int) {
	t.Helper()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := control(raw, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			n = int(info.Sacked)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// Whoever names a newcomer, as netpoll does in its log, reads the address that its PROXY
// header may change meanwhile.
func TestNameOfANewcomer(t *testing.T) {
	g := build(Config{Logic: newLogic()})
	defer g.Stop(t.Context())
	first, second := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
	c := &newcomer{place: place{from: first}, places: &g.places}
	identified := make(chan struct{})
	go func() {
		defer close(identified)
		g.places.identify(&c.place, second)
	}()
	if name := c.String(); name != first.String() && name != second.String() {
		t.Errorf("it is called %s", name)
	}
	<-identified
	if name := c.String(); name != second.String() {
		t.Errorf("it is called %s", name)
	}
	g.places.leave(&c.place)
}
