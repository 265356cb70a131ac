package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen opens n TCP sockets on the address; if n > 1, with SO_REUSEPORT. netpoll accepts one
// connection for each wake of a socket, so many connects at once are served n times as fast. An
// address that somebody else uses is refused, even if they share it.
func Listen(address string, n int) ([]net.Listener, error) {
	first, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if n <= 1 {
		return []net.Listener{first}, nil
	}
	address = first.Addr().String()
	first.Close()
	reuse := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
	}}
	var list []net.Listener
	for range n {
		l, err := reuse.Listen(context.Background(), "tcp", address)
		if err != nil {
			for _, l := range list {
				l.Close()
			}
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

// SetBacklog sets how many connections may wait at a TCP listener to be accepted. A new listener
// has all that the system allows. A larger number is refused, because the system would cut it
// silently.
func SetBacklog(ln net.Listener, n int) error {
	if limit := maxBacklog(); n > limit {
		return fmt.Errorf("a backlog of %d is more than the %d that the system allows: raise net.core.somaxconn first", n, limit)
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return errors.New("not a TCP listener")
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error { return unix.Listen(fd, n) }) // on a listening socket it only changes the backlog
}

// maxBacklog gives net.core.somaxconn, or, if that cannot be read, the most that the kernel can
// count.
func maxBacklog() int {
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return 1 << 16
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 1 << 16
	}
	return n
}

// control runs f with the descriptor of a socket.
func control(c syscall.RawConn, f func(fd int) error) (err error) {
	if cerr := c.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}
