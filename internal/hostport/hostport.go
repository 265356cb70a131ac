// Package hostport says what an address to connect to looks like: to commands, nodes and clients
// alike.
package hostport

import (
	"fmt"
	"net"
	"strconv"
)

// maxHost bounds the name of a host (RFC 1035).
const maxHost = 253

// Check says what is wrong with an address to connect to. It may come from a peer, so no error
// repeats more than the beginning of it.
func Check(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%.80q is no address: it is HOST:PORT", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%.80q is no address: %.80q is no port", address, port)
	}
	if host == "" {
		return fmt.Errorf("%.80q is no address: it names no host", address)
	}
	if len(host) > maxHost {
		return fmt.Errorf("%.80q is no address: its host has more than %d bytes", address, maxHost)
	}
	return nil
}
