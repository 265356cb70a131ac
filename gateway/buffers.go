package gateway

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundBuffers bounds what the kernel holds for the readers behind a listener: its
// connections inherit the size of the buffer, which the kernel then leaves alone.
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
