package command

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"gannet/gateway"
)

// reservedFiles is how many open files are kept from the connections of clients. The store keeps up
// to 1,000 tables open (Pebble's MaxOpenFiles). The other 200 are for its log, its manifest, and
// what flushes and compactions read and write; for listeners and pollers; for the debug endpoint;
// and for the log of the process. A store that cannot open a file cannot go on, while a refused
// client comes again. A gateway of a cluster has no store. It needs the files for connections to
// Redis, up to ten for each core and master, and to other nodes.
const reservedFiles = 1200

// socketFlags are the settings of the listening sockets and of who may connect.
type socketFlags struct {
	Sockets        int      `default:"2" placeholder:"N" help:"Listening sockets; more of them accept a storm of connects faster."`
	Backlog        int      `placeholder:"N" help:"Connections that may wait to be accepted, of each listening socket; by default, and at most, what the system allows (net.core.somaxconn)."`
	MaxConnections int      `placeholder:"N" help:"Connections at most, TLS included; by default, and at most, what the limit on open files allows, less 1200 that the process itself needs."`
	MaxBeforeLogin int      `placeholder:"N" help:"Connections that have not logged in yet, of those; by default a tenth of them."`
	MaxPerAddress  int      `name:"max-connections-per-address" default:"200" placeholder:"N" help:"Connections of one address at once (IPv6: of one /64). To switch this off, give as many as --max-connections."`
	Proxies        []string `placeholder:"CIDR,..." help:"Load balancers whose connections begin with a PROXY header (version 2 or 1), which says who the client is; none by default."`
}

// Validate refuses settings that cannot be meant. Whether there may be so many open files is
// for apply to say: it depends on the process.
func (c *socketFlags) Validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"sockets", c.Sockets}, {"backlog", c.Backlog}, {"max-connections", c.MaxConnections},
		{"max-before-login", c.MaxBeforeLogin}, {"max-connections-per-address", c.MaxPerAddress},
	} {
		if f.value < 0 {
			return fmt.Errorf("--%s cannot be %d", f.name, f.value)
		}
	}
	for _, text := range c.Proxies {
		if _, err := parseProxy(text); err != nil {
			return fmt.Errorf("--proxies: %w", err)
		}
	}
	return nil
}

// apply puts the settings into the configuration of the gateway, or says what is wrong
// with them in this process.
func (c *socketFlags) apply(g *gateway.Config) error {
	connections, err := c.connections(openFiles())
	if err != nil {
		return err
	}
	if c.MaxBeforeLogin > connections {
		return fmt.Errorf("--max-before-login %d is more than the %d connections that there may be", c.MaxBeforeLogin, connections)
	}
	for _, text := range c.Proxies {
		p, err := parseProxy(text)
		if err != nil {
			return fmt.Errorf("--proxies: %w", err)
		}
		g.Proxies = append(g.Proxies, p)
	}
	g.MaxConnections, g.MaxBeforeLogin, g.MaxPerAddress = connections, c.MaxBeforeLogin, c.MaxPerAddress
	return nil
}

// connections gives how many there may be in a process that may open so many files;
// 0 files: unknown.
func (c *socketFlags) connections(files int) (int, error) {
	if files == 0 {
		return c.MaxConnections, nil // or the gateway's default
	}
	room := files - reservedFiles
	if room <= 0 {
		return 0, fmt.Errorf("this process may open %d files, and %d are kept for what it needs itself: raise the limit (ulimit -n, or LimitNOFILE of systemd)", files, reservedFiles)
	}
	if c.MaxConnections > room {
		return 0, fmt.Errorf("--max-connections %d is too many: this process may open %d files, less %d for what it needs itself that is %d connections; raise the limit (ulimit -n, or LimitNOFILE of systemd)", c.MaxConnections, files, reservedFiles, room)
	}
	if c.MaxConnections > 0 {
		return c.MaxConnections, nil
	}
	return room, nil
}

// parseProxy reads a range of addresses, or a single one.
func parseProxy(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a range like 10.0.0.0/8", text)
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 { // connections are known by their IPv4 address
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p, nil
}

// setBacklog applies --backlog to a listener.
func (c *socketFlags) setBacklog(ln net.Listener) error {
	if c.Backlog == 0 {
		return nil
	}
	if err := gateway.SetBacklog(ln, c.Backlog); err != nil {
		return fmt.Errorf("--backlog: %w", err)
	}
	return nil
}

// openFiles gives how many files this process may have open, 0 if unknown.
func openFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}
