package command

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"gannet/gateway"
)

// frontFlags say where clients connect, and what may wait for them.
type frontFlags struct {
	Listen       string `default:"127.0.0.1:7420" placeholder:"ADDR" help:"Address for clients. There is no TLS on it: keep it on loopback or behind something that ends TLS."`
	TLSListen    string `name:"tls-listen" placeholder:"ADDR" help:"Further address for clients, with TLS 1.3; off by default. Needs --tls-cert and --tls-key."`
	TLSCert      string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain for --tls-listen, PEM."`
	TLSKey       string `name:"tls-key" placeholder:"FILE" help:"Private key for --tls-listen, PEM."`
	OutboxMemory int    `default:"512" placeholder:"MIB" help:"MiB that may wait in all for clients that do not read, in the kernel's buffers too. Beyond it they get hints in place of pushes and are given up sooner. 0: nothing waits."`
	BegunMemory  int    `default:"64" placeholder:"MIB" help:"MiB that frames may hold in all that were begun and are not whole, records of TLS among them. Beyond it the ones that were begun longest ago end with busy."`

	socketFlags `embed:""`
}

// Validate refuses settings that cannot be meant.
func (c *frontFlags) Validate() error {
	switch {
	case c.OutboxMemory < 0:
		return fmt.Errorf("--outbox-memory %d: it is a number of MiB, or 0 to let nothing wait", c.OutboxMemory)
	case c.BegunMemory < 1:
		return fmt.Errorf("--begun-memory %d: it is a number of MiB, and without any nobody could send a frame in two parts", c.BegunMemory)
	case c.TLSListen == "" && (c.TLSCert != "" || c.TLSKey != ""):
		return errors.New("--tls-cert and --tls-key say nothing without --tls-listen, the address for clients with TLS")
	case c.TLSListen != "" && (c.TLSCert == "" || c.TLSKey == ""):
		return errors.New("--tls-listen needs a certificate: name it with --tls-cert and --tls-key")
	}
	return cmp.Or(checkListen("listen", c.Listen), checkListen("tls-listen", c.TLSListen), c.socketFlags.Validate())
}

// front is where a process meets its clients.
type front struct {
	address    string
	tlsAddress string // "" without TLS
	listeners  []net.Listener
	serving    atomic.Bool // every listener accepts
}

// listen opens the sockets without TLS. Clients wait in them until serve.
func (f *front) listen(c *frontFlags) (err error) {
	if f.listeners, err = gateway.Listen(c.Listen, c.Sockets); err != nil {
		return fmt.Errorf("cannot listen for clients: %w (choose another address with --listen)", err)
	}
	for _, l := range f.listeners {
		if err := c.setBacklog(l); err != nil {
			return err
		}
	}
	f.address = f.listeners[0].Addr().String()
	return nil
}

// serve gives the sockets to the gateway, and opens the one with TLS.
func (f *front) serve(c *frontFlags, g *gateway.Gateway) error {
	for _, l := range f.listeners {
		if err := g.Serve(l); err != nil {
			return err
		}
	}
	if c.TLSListen != "" {
		if err := f.serveTLS(c, g); err != nil {
			return err
		}
	}
	f.serving.Store(true)
	return nil
}

// serveTLS adds the listener with TLS.
func (f *front) serveTLS(c *frontFlags, g *gateway.Gateway) error {
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return fmt.Errorf("cannot read the certificate for --tls-listen: %w (name it with --tls-cert and --tls-key)", err)
	}
	ln, err := net.Listen("tcp", c.TLSListen)
	if err != nil {
		return fmt.Errorf("cannot listen for clients with TLS: %w", err)
	}
	if err := c.setBacklog(ln); err != nil {
		return err
	}
	f.tlsAddress = ln.Addr().String()
	return g.ServeTLS(ln, &tls.Config{Certificates: []tls.Certificate{cert}})
}

// setMemory sets the memory budgets of the gateway. They are in bytes there, and 0 stands for the
// default, so --outbox-memory 0 becomes -1.
func (c *frontFlags) setMemory(g *gateway.Config) {
	g.OutboxMemory, g.BegunMemory = int64(c.OutboxMemory)<<20, int64(c.BegunMemory)<<20
	if c.OutboxMemory == 0 {
		g.OutboxMemory = -1
	}
}
