package command

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"gannet/internal/registry"
)

const (
	// reachTime bounds the proof that a node can be reached at its address.
	reachTime = 3 * time.Second

	// lookUpTime bounds the look-up of the names that other nodes advertise.
	lookUpTime = time.Second
)

// proveAddress returns nil if a connection to the address that the node will advertise arrives at
// its own listener. The listener must not serve yet. A registered node is given queues, and if
// nobody can reach it, everything sent to these queues waits until the senders give up.
func proveAddress(ctx context.Context, listener *net.TCPListener, address string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address) // taken by the kernel, before anybody accepts
	if err != nil {
		return fmt.Errorf("nobody answers at %s, where other nodes would look for this one, which listens on %v: %w (--rpc-listen and --rpc-advertise say where)", address, listener.Addr(), err)
	}
	defer conn.Close()
	word := []byte(rand.Text())
	if _, err := conn.Write(word); err != nil {
		return fmt.Errorf("at %s, where other nodes would look for this one, the connection ends: %w (--rpc-listen and --rpc-advertise say where)", address, err)
	}
	deadline, _ := ctx.Deadline()
	_ = listener.SetDeadline(deadline)
	defer listener.SetDeadline(time.Time{})
	for {
		stop := context.AfterFunc(ctx, func() { _ = listener.SetDeadline(time.Unix(1, 0)) })
		accepted, err := listener.Accept()
		stop()
		if err != nil {
			return fmt.Errorf("what answers at %s, where other nodes would look for this one, is not this node, which listens on %v: another process has that address, or something on the way takes connections itself (--rpc-listen and --rpc-advertise say where)", address, listener.Addr())
		}
		if proves(accepted, word) {
			return nil
		}
	}
}

// proofTime is how long a connection from somebody else may stay silent. Such a connection may come
// from a client of a node that had the address before.
const proofTime = 300 * time.Millisecond

// proves says whether a connection brings the word, and closes it.
func proves(conn net.Conn, word []byte) bool {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(proofTime))
	got := make([]byte, len(word))
	_, err := io.ReadFull(conn, got)
	return err == nil && slices.Equal(got, word)
}

// checkOthers refuses an address that only this machine can reach if nodes on other machines are
// registered. If the own address is fine, it warns of nodes that advertise such an address.
func checkOthers(ctx context.Context, view *registry.View, own string, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	here, err := net.InterfaceAddrs()
	if err != nil {
		return nil // of which nothing follows
	}
	ownLoopback := slices.ContainsFunc(addressesOf(ctx, own), net.IP.IsLoopback)
	for _, n := range view.Nodes {
		ips := addressesOf(ctx, n.Addresses[registry.RPC])
		if len(ips) == 0 {
			continue
		}
		loopback := slices.ContainsFunc(ips, net.IP.IsLoopback)
		switch {
		case ownLoopback && !loopback && !slices.ContainsFunc(ips, func(ip net.IP) bool { return isOneOf(ip, here) }):
			return fmt.Errorf("other nodes would look for this one at %s, which is reached on this machine alone, and there is a %s on another one, at %s: say with --rpc-listen, or --rpc-advertise, at which address of this machine others reach it", own, n.Role, n.Addresses[registry.RPC])
		case !ownLoopback && loopback:
			log.Warn("a node advertises an address that is reached on its machine alone; start it again with --rpc-listen or --rpc-advertise", "other", n.Role, "address", n.Addresses[registry.RPC])
		}
	}
	return nil
}

// addressesOf gives the IP addresses of an address, none if nobody knows.
func addressesOf(ctx context.Context, address string) []net.IP {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil {
		return []net.IP{ip}
	}
	ips, _ := net.DefaultResolver.LookupIP(ctx, "ip", host)
	return ips
}

// isOneOf says whether an address is one of the interfaces'.
func isOneOf(ip net.IP, interfaces []net.Addr) bool {
	return slices.ContainsFunc(interfaces, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}
