package command

import (
	"errors"
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
	case c.OutboxMemory < 0:
		return fmt.Errorf("--outbox-memory %d: it is a number of MiB, or 0 to let nothing wait", c.OutboxMemory)
	case c.BegunMemory < 1:
		return fmt.Errorf("--begun-memory %d: it is a number of MiB, and without any nobody could send a frame in two parts", c.BegunMemory)
	case c.LimitDevices < 0:
		return fmt.Errorf("--limit-devices %d: it is a number of devices, or 0 for no limit", c.LimitDevices)
	case c.LimitConversationDevices < 0:
		return fmt.Errorf("--limit-conversation-devices %d: it is a number of devices, or 0 for no limit", c.LimitConversationDevices)
	case c.TLSListen == "" && (c.TLSCert != "" || c.TLSKey != ""):
		return errors.New("--tls-cert and --tls-key say nothing without --tls-listen, the address for clients with TLS")
	case c.TLSListen != "" && (c.TLSCert == "" || c.TLSKey == ""):
		return errors.New("--tls-listen needs a certificate: name it with --tls-cert and --tls-key")
	case c.Debug == "":
		return nil
	}
	loopback, err := isLoopback(c.Debug)
	if err != nil {
		return fmt.Errorf("--debug %s: %w", c.Debug, err)
	}
	if !loopback && !c.DebugPublic {
		return fmt.Errorf("--debug %s can be reached from other machines, and whoever reaches it sees the memory of the server: put it on loopback (127.0.0.1), or add --debug-public if something else keeps strangers off", c.Debug)
	}
	return nil
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
