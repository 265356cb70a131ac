package command

import (
	"fmt"
	"net"
	"strconv"
)

// checkAddress says what is wrong with an address to connect to.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is no address: it is HOST:PORT", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is no address: %q is no port", address, port)
	}
	if host == "" {
		return fmt.Errorf("%q is no address: it names no host", address)
	}
	return nil
}
