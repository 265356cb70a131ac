package command

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
)

// writeReady writes the ready file whole or not at all.
func (s *server) writeReady(file string) error {
	ready := struct {
		Listen string `json:"listen"`
		TLS    string `json:"tls,omitempty"`
		PID    int    `json:"pid"`
		Debug  string `json:"debug,omitempty"`
	}{Listen: s.address, TLS: s.tlsAddress, PID: os.Getpid()}
	if s.debug != nil {
		ready.Debug = s.debug.Address()
	}
	b, err := json.Marshal(ready)
	if err != nil {
		return err
	}
	part := file + ".part"
	if err := os.WriteFile(part, b, 0o644); err != nil {
		return fmt.Errorf("cannot write the ready file: %w", err)
	}
	return os.Rename(part, file)
}

// chatLine is a command that chats as one user with another.
func (s *server) chatLine(c *serveCmd, user, to uint64) string {
	line := fmt.Sprintf("%s chat --user %d --to %d", commandName(), user, to)
	if c.Data != "./gannet-data" {
		line += " --data " + c.Data
	}
	if s.address != "127.0.0.1:7420" {
		line += " --address " + dialable(s.address)
	}
	return line
}

// dialable turns an address that listens on every interface into one to connect
// to from here.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}
