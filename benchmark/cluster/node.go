package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"gannet/benchmark/process"
)

// The roles, as the program has them.
const (
	Gateway  = "gateway"
	Logic    = "logic"
	Transfer = "transfer"
)

// Node is a process of a cluster, and the one after it.
type Node struct {
	Role, Name string
	Address    string // for clients, of a gateway

	// Flags are beside those that every start has.
	Flags []string

	dir     string           // of its cluster
	command process.Command  // how every start of it begins
	process *process.Process // nil: it does not run
	log     *os.File
	rpc     string // its own address for other nodes
}

// takePorts gives the node addresses that stay the same when it is started again.
func (n *Node) takePorts() (err error) {
	if n.rpc, err = process.FreeAddress(); err != nil {
		return err
	}
	n.command = n.command.With("--rpc-listen", n.rpc)
	if n.Role == Gateway {
		if n.Address, err = process.FreeAddress(); err != nil {
			return err
		}
		n.command = n.command.With("--listen", n.Address)
	}
	return nil
}

// Start starts the process and returns when it is ready.
func (n *Node) Start(ctx context.Context) error {
	ready := filepath.Join(n.dir, n.Name+".ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("benchmark: %w", err)
	}
	p, err := process.Start(ctx, n.command.With("--ready-file", ready).With(n.Flags...), ready)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	n.process = p
	return nil
}

// Kill ends the process at once.
func (n *Node) Kill() {
	n.process.Kill()
	n.process = nil
}

// Stop ends the process in order. It says how it ended, unless well.
func (n *Node) Stop() error {
	if n.process == nil {
		return nil
	}
	defer func() { n.process = nil }()
	if err := n.process.Stop(); err != nil {
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	return nil
}

// Freeze stops the process as it stands, until Thaw.
func (n *Node) Freeze() error { return n.signal(syscall.SIGSTOP) }

// Thaw lets the process go on.
func (n *Node) Thaw() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(s syscall.Signal) error {
	if err := syscall.Kill(n.process.PID, s); err != nil {
		return fmt.Errorf("benchmark: %s: %w", n.Name, err)
	}
	return nil
}

// PID gives the process, 0 when it does not run.
func (n *Node) PID() int {
	if n.process == nil {
		return 0
	}
	return n.process.PID
}

// Debug gives the address of its counters, "" when it does not run.
func (n *Node) Debug() string {
	if n.process == nil {
		return ""
	}
	return n.process.Debug
}

// Proxy stands before the node's address for other nodes. They go through it once the node
// is started with the flags.
func (n *Node) Proxy(from func() int) (p *Proxy, flags []string, err error) {
	if p, err = NewProxy(n.rpc, from); err != nil {
		return nil, nil, err
	}
	return p, []string{"--rpc-advertise", p.Address()}, nil
}

// Ended says how the process ended, if nobody had ended it.
func (n *Node) Ended() error {
	if n.process == nil {
		return nil
	}
	select {
	case <-n.process.Ended():
		return fmt.Errorf("%s: %w", n.Name, n.process.Explain())
	default:
		return nil
	}
}
