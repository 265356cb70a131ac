//go:build !linux

package gateway

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// accept takes a connection off the queue of a listening socket that does not block.
func accept(socket int) (int, netip.AddrPort, error) {
	fd, address, err := unix.Accept(socket)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	unix.CloseOnExec(fd)
	return fd, peerOf(address), unix.SetNonblock(fd, true)
}

// gate, where there is no epoll, is the listening socket itself, and a pause holds up
// the poller.
type gate struct{ socket int }

func newGate(socket int) (*gate, error) { return &gate{socket}, nil }

func (t *gate) watched() int { return t.socket }

func (*gate) pause(d time.Duration) { time.Sleep(d) }

func (*gate) close() {}

// inherit sets what connections inherit from the listening socket.
func inherit(socket int) error {
	if err := unix.SetsockoptInt(socket, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	return unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
}

// boundUnsent does nothing here: kernelBytes bounds what a socket takes.
func boundUnsent(int) {}
