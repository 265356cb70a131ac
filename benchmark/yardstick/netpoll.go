// Package yardstick has what the machine gives without gannet: a bare netpoll echo, a
// bare server, bare commits of Pebble, and the pauses of the machine itself.
package yardstick

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/cloudwego/netpoll"

	"gannet/benchmark/process"
)

// connBuffer holds all that a connection of a yardstick has under way, so that
// one read takes it; netpoll's own default.
const connBuffer = 8 << 10

// configureNetpoll makes netpoll as quick as it gets where server and load share
// the cores: handlers run on the poller, without a goroutine of their own.
func configureNetpoll() error {
	netpoll.LinkBufferCap = connBuffer
	return netpoll.Configure(netpoll.Config{
		PollerNum:  max(1, runtime.GOMAXPROCS(0)/2),
		BufferSize: connBuffer,
		Runner:     func(_ context.Context, f func()) { f() },
	})
}

// Serve is a server of its own process: it listens, says so in the ready file (and
// where it takes calls, if it does), and serves until ctx is done, or failed tells why it cannot go on. Its
// connections end with the process.
func Serve(ctx context.Context, address, calls, readyFile string, failed <-chan error, handler netpoll.OnRequest, opts ...netpoll.Option) error {
	if err := configureNetpoll(); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	loop, err := netpoll.NewEventLoop(handler, opts...)
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- loop.Serve(listener) }()
	if err := process.WriteReady(readyFile, process.Ready{Listen: listener.Addr().String(), Debug: calls, PID: os.Getpid()}); err != nil {
		return err
	}
	select {
	case err := <-served:
		return fmt.Errorf("benchmark: the listener ended: %w", err)
	case err := <-failed:
		return fmt.Errorf("benchmark: %w", err)
	case <-ctx.Done():
		return nil
	}
}
