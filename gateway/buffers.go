package gateway

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundBuffers bounds what the kernel holds for clients that do not read. It sets the size of the
// send buffer on a listener. Connections inherit it, and the kernel then does not change it.
func boundBuffers(ln net.Listener) error {
	socket, ok := ln.(syscall.Conn)
	if !ok {
		return nil // no socket of the kernel
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, kernelBytes)
	})
	if cerr != nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("gateway: the send buffer of a socket cannot be bounded: %w", err)
	}
	return nil
}
