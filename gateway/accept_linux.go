package gateway

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// accept takes a connection off the queue of a listening socket that does not block.
func accept(socket int) (int, netip.AddrPort, error) {
	fd, address, err := unix.Accept4(socket, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return fd, peerOf(address), err
}

// gate tells when a listening socket has a connection to accept, and can be shut for a while. It
// is an epoll instance with just this socket. netpoll watches the epoll instance instead of the
// socket, so that a pause does not involve netpoll. A pause of netpoll's own would, at its end,
// come back to an epoll that it can leave only once, and netpoll would spin from then on.
type gate struct {
	epoll  int
	socket int

	mu     sync.Mutex
	closed bool
}

func newGate(socket int) (*gate, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot watch the listening socket: %w", err)
	}
	t := &gate{epoll: epoll, socket: socket}
	if err := t.open(); err != nil {
		t.close()
		return nil, fmt.Errorf("cannot watch the listening socket: %w", err)
	}
	return t, nil
}

func (t *gate) open() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	return unix.EpollCtl(t.epoll, unix.EPOLL_CTL_ADD, t.socket, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(t.socket)})
}

// pause shuts the gate for a while.
func (t *gate) pause(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || unix.EpollCtl(t.epoll, unix.EPOLL_CTL_DEL, t.socket, nil) != nil {
		return
	}
	time.AfterFunc(d, t.reopen)
}

// reopen opens the gate again. If there is no memory for that, it tries again later.
func (t *gate) reopen() {
	if t.open() != nil {
		time.AfterFunc(acceptPause, t.reopen)
	}
}

func (t *gate) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		_ = unix.Close(t.epoll)
	}
}

// watched is what becomes readable when somebody is to be accepted.
func (t *gate) watched() int { return t.epoll }

// inherit sets on a listening socket what its connections inherit from it, which
// spares four system calls a connection.
func inherit(socket int) error {
	for _, o := range [...]struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(keepAliveIdle)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(keepAliveInterval)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveProbes},
	} {
		if err := unix.SetsockoptInt(socket, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("cannot set options of the listening socket: %w", err)
		}
	}
	return nil
}

// boundUnsent bounds the bytes that the socket of a connection takes beyond what its peer has
// room for. Connections do not inherit this option from the listening socket. A kernel without
// the option holds up to kernelBytes.
func boundUnsent(socket int) {
	_ = unix.SetsockoptInt(socket, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
}
