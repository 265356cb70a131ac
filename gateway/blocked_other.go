//go:build !linux

package gateway

import "errors"

// blocked waits for nothing where there is no epoll: the wheel tries blocked sockets
// each tick.
type blocked struct{}

func newBlocked(*Gateway) *blocked { return &blocked{} }

func (*blocked) run() {}

func (*blocked) close() {}

func (t *netpollTransport) await(*session) error { return errors.ErrUnsupported }
