package command

import (
	"encoding/json"
	"fmt"
	"net"
	"os"

	"gannet/internal/operate"
)

// ready is what the ready file says.
type ready struct {
	Listen string `json:"listen,omitempty"` // for clients
	TLS    string `json:"tls,omitempty"`    // likewise, with TLS
	RPC    string `json:"rpc,omitempty"`    // for other nodes of a cluster
	PID    int    `json:"pid"`
	Debug  string `json:"debug,omitempty"`
}

// write writes the ready file whole or not at all.
func (r ready) write(file string, debug *operate.Server) error {
	r.PID = os.Getpid()
	if debug != nil {
		r.Debug = debug.Address()
	}
	b, err := json.Marshal(r)
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
