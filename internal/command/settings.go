package command

import (
	"fmt"
	"net"

	"gannet/protocol"
)

// check refuses settings that cannot be meant, before anything is begun.
func (c *serveCmd) check() error {
	switch {
	case c.Lanes < 0 || c.Lanes > protocol.Partitions:
		return fmt.Errorf("--lanes %d: there are 1 to %d, or 0 for the default", c.Lanes, protocol.Partitions)
	case c.MinFree < 0:
		return fmt.Errorf("--min-free %d: it is a number of MiB, or 0 to take messages until the disk is full", c.MinFree)
	case c.LimitDevices < 0:
		return fmt.Errorf("--limit-devices %d: it is a number of devices, or 0 for no limit", c.LimitDevices)
	case c.LimitConversationDevices < 0:
		return fmt.Errorf("--limit-conversation-devices %d: it is a number of devices, or 0 for no limit", c.LimitConversationDevices)
	}
	if err := c.checkFront(); err != nil {
		return err
	}
	return c.checkDebug()
}

// isLoopback says whether an address to listen on can be reached from this machine
// alone. One without a host listens everywhere; of a name everything counts that it
// stands for.
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
