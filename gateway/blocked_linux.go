package gateway

import (
	"cmp"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// blocked waits for sockets that did not take all bytes, until they take bytes again. netpoll has
// no way to wait for that. blocked is one epoll instance that has only such sockets, each armed
// for one event at a time. One goroutine serves all of them. It is parked in the runtime's own
// poller, because an epoll instance can itself be polled.
type blocked struct {
	gateway *Gateway
	file    *os.File // nil: there is none, and the wheel tries blocked sockets
	epoll   syscall.RawConn
}

func newBlocked(g *Gateway) *blocked {
	b := &blocked{gateway: g}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true)
		b.file = os.NewFile(uintptr(fd), "epoll")
	}
	if err == nil {
		b.epoll, err = b.file.SyscallConn()
	}
	if err != nil {
		g.log.Error("gateway: blocked sockets cannot be waited for and are tried all the time", "error", err)
		b.close()
		b.file = nil
	}
	return b
}

// close ends run.
func (b *blocked) close() {
	if b.file != nil {
		b.file.Close()
	}
}

var errNoEpoll = errors.New("gateway: no epoll instance")

// wait waits for one event of a socket; id is that of its session. The epoll instance may know
// the socket from an earlier wait: the kernel forgets it only when it is closed.
func (b *blocked) wait(fd int, id uint64) error {
	if b.file == nil {
		return errNoEpoll
	}
	event := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(id), Pad: int32(id >> 32)}
	var failed error
	err := b.epoll.Control(func(epoll uintptr) {
		failed = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_MOD, fd, &event)
		if failed == unix.ENOENT {
			failed = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, fd, &event)
		}
	})
	return cmp.Or(err, failed)
}

// run has writable sockets written to until close.
func (b *blocked) run() {
	if b.file == nil {
		return
	}
	events, ids := make([]unix.EpollEvent, 256), make([]uint64, 0, 256)
	for {
		n := 0
		err := b.epoll.Read(func(epoll uintptr) bool {
			var werr error
			n, werr = unix.EpollWait(int(epoll), events, 0)
			return n > 0 || werr != nil // EINTR
		})
		if err != nil {
			return
		}
		ids = ids[:0]
		for _, e := range events[:max(0, n)] {
			ids = append(ids, uint64(uint32(e.Pad))<<32|uint64(uint32(e.Fd)))
		}
		b.gateway.wake(ids...)
	}
}

func (t *netpollTransport) await(s *session) error {
	return s.gateway.blocked.wait(t.fd, s.id)
}
