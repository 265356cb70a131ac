package command

import (
	"cmp"
	"fmt"
	"net"
	"strconv"

	"gannet/protocol"
)

// The Validate method of a struct says what its settings may be. That of a command calls those of
// the structs in it. kong calls the command's Validate after it has read the settings and before
// anything is started. gannet config check reads the settings in the same way.

// Validate refuses settings that cannot be meant.
func (c *serveCmd) Validate() error {
	switch {
	case c.Lanes < 0 || c.Lanes > protocol.Partitions:
		return fmt.Errorf("--lanes %d: there are 1 to %d, or 0 for the default", c.Lanes, protocol.Partitions)
	case c.MinFree < 0:
		return fmt.Errorf("--min-free %d: it is a number of MiB, or 0 to take messages until the disk is full", c.MinFree)
	}
	return cmp.Or(c.frontFlags.Validate(), c.limitFlags.Validate(), c.processFlags.Validate())
}

// checkListen says what is wrong with an address to listen on; "": there is none.
func checkListen(flag, address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--%s %q is no address: it is HOST:PORT", flag, address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("--%s %q is no address: %q is no port", flag, address, port)
	}
	return nil
}

// isLoopback says whether an address to listen on can be reached only from this machine. An address
// without a host listens everywhere. A host name is loopback only if all its addresses are.
func isLoopback(address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, err
	}
	if host == "" {
		return false, nil
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback(), nil
	}
	ips, err := net.LookupIP(host)
	if err != nil {
		return false, err
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return false, nil
		}
	}
	return len(ips) > 0, nil
}
