package cluster

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Proxy stands before one address. While it is cut, nothing goes through it in either
// direction, and nobody is told: what is connected stays so, what connects waits.
type Proxy struct {
	listener net.Listener
	to       string
	from     func() int // the process whose connections a cut concerns; nil: everybody's

	mu      sync.Mutex
	open    *sync.Cond
	cut     bool
	closed  bool
	conns   map[net.Conn]bool
	running sync.WaitGroup
}

// NewProxy stands before an address, on one of its own. from gives the process whose
// connections a cut concerns; nil: everybody's.
func NewProxy(to string, from func() int) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	p := &Proxy{listener: l, to: to, from: from, conns: make(map[net.Conn]bool)}
	p.open = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	return p, nil
}

// Address is where it listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut lets nothing through until Heal.
func (p *Proxy) Cut() { p.set(true) }

// Heal lets everything through, first what came meanwhile.
func (p *Proxy) Heal() { p.set(false) }

func (p *Proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	p.open.Broadcast()
}

// pass waits until the proxy is not cut, for those whom that concerns. It says whether
// the proxy is still there.
func (p *Proxy) pass(concerned bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.cut && concerned && !p.closed {
		p.open.Wait()
	}
	return !p.closed
}

// keep has Close close a connection too.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) end(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.keep(c) {
			p.running.Go(func() { p.serve(c) })
		}
	}
}

// serve copies both ways until either end closes.
func (p *Proxy) serve(near net.Conn) {
	defer p.end(near)
	concerned := p.from == nil || dialed(p.from(), near)
	if !p.pass(concerned) {
		return
	}
	far, err := net.Dial("tcp", p.to)
	if err != nil || !p.keep(far) {
		return
	}
	defer p.end(far)
	var both sync.WaitGroup
	both.Go(func() { p.copy(far, near, concerned) })
	both.Go(func() { p.copy(near, far, concerned) })
	both.Wait()
}

func (p *Proxy) copy(to, from net.Conn, concerned bool) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		// The end of a connection does not get through either.
		if !p.pass(concerned) {
			return
		}
		if n > 0 {
			if _, werr := to.Write(b[:n]); werr != nil {
				from.Close()
				return
			}
		}
		if err == nil {
			continue
		}
		if half, ok := to.(*net.TCPConn); ok && err == io.EOF {
			_ = half.CloseWrite()
			return
		}
		to.Close()
		return
	}
}

// Close ends it and all connections through it.
func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.open.Broadcast()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// dialed says whether a process of this machine is at the other end of a connection.
func dialed(pid int, c net.Conn) bool {
	table, err := os.Open("/proc/net/tcp")
	if err != nil {
		return false
	}
	defer table.Close()
	// The kernel's table has a line for each socket: number, local and remote address, …,
	// in the tenth column its inode.
	local, remote := hexPort(c.RemoteAddr()), hexPort(c.LocalAddr())
	for lines := bufio.NewScanner(table); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || !strings.HasSuffix(f[1], local) || !strings.HasSuffix(f[2], remote) {
			continue
		}
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			if what, err := os.Readlink(fd); err == nil && what == "socket:["+f[9]+"]" {
				return true
			}
		}
	}
	return false
}

// hexPort gives a port as the kernel's table has it.
func hexPort(a net.Addr) string { return fmt.Sprintf(":%04X", a.(*net.TCPAddr).Port) }
