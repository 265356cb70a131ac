package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"gannet/gateway"
	"gannet/logic"
	logicstore "gannet/logic/embedded"
	"gannet/protocol"
	"gannet/transfer"
	"gannet/transfer/embedded"
)

// stopTimeout is how long a graceful stop may take before connections are cut
// off: what is acked is durable either way.
const stopTimeout = 10 * time.Second

// exitTimeout bounds a stop that hangs, as one on a failed disk may.
const exitTimeout = stopTimeout + 5*time.Second

// serveCmd is gannet alone: every role in this process.
type serveCmd struct {
	Listen         string `default:"127.0.0.1:7420" placeholder:"ADDR" help:"Address for clients. There is no TLS on it: keep it on loopback or behind something that ends TLS."`
	TLSListen      string `name:"tls-listen" placeholder:"ADDR" help:"Further address for clients, with TLS 1.3; off by default. Needs --tls-cert and --tls-key."`
	TLSCert        string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain for --tls-listen, PEM."`
	TLSKey         string `name:"tls-key" placeholder:"FILE" help:"Private key for --tls-listen, PEM."`
	Data           string `default:"./gannet-data" placeholder:"DIR" help:"Folder for messages and signing keys; created where there is none."`
	Debug          string `placeholder:"ADDR" help:"Address of the debug endpoint (profiles, counters, memory); off by default. Keep it on loopback."`
	ReadyFile      string `placeholder:"FILE" help:"Write the addresses and the process id to this file, as JSON, once clients can connect."`
	Lanes          int    `placeholder:"N" help:"Write lanes; by default one for every two cores."`
	Sockets        int    `default:"2" placeholder:"N" help:"Listening sockets; more of them accept a storm of connects faster."`
	MaxConnections int    `placeholder:"N" help:"Connections at most; by default what the limit on open files allows."`
	LogLevel       string `default:"info" enum:"debug,info,warn,error" help:"Least severe log line to print: debug, info, warn or error."`
}

// Help is printed by gannet serve --help.
func (serveCmd) Help() string {
	return "Starts a complete server in this process; it needs nothing else. Stop it with Ctrl-C or SIGTERM: it finishes what it has, tells its clients to come back, and ends."
}

// Run starts the server and stops it when ctx ends.
func (c *serveCmd) Run(ctx context.Context) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(log)
	s, err := c.start(log)
	if err != nil {
		return err
	}
	fmt.Printf("gannet %s listens on %s, data in %s\n", version(), s.address, c.Data)
	if s.tlsAddress != "" {
		fmt.Printf("and with TLS on %s\n", s.tlsAddress)
	}
	fmt.Printf("Chat from two other terminals:\n  %s\n  %s\n", s.chatLine(c, 1, 2), s.chatLine(c, 2, 1))
	select {
	case <-ctx.Done():
		fmt.Println("stopping: clients are told to come back")
	case <-s.store.Failed():
		// Everything acked is on disk; whoever keeps this process running starts it
		// again, which is all that helps.
		fmt.Println("stopping: the store cannot be written to any more")
	}
	if c.ReadyFile != "" {
		_ = os.Remove(c.ReadyFile) // nobody shall take this server for one that is ready
	}
	time.AfterFunc(exitTimeout, func() { fail(errors.New("stopping took too long, what was under way is cut off")) })
	return s.stop()
}

// server is every role in one process, composed.
type server struct {
	address    string
	tlsAddress string // "" without TLS
	store      *logicstore.Store
	queue      *embedded.Queue
	transfer   *transfer.Server
	gateway    *gateway.Gateway
	debug      *debugServer
}

// start brings everything up, the store first: it also keeps a second server off
// the same data.
func (c *serveCmd) start(log *slog.Logger) (s *server, err error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the data folder: %w", err)
	}
	s = &server{}
	defer func() {
		if err != nil {
			s.abort()
		}
	}()
	lanes := c.Lanes
	if lanes == 0 {
		lanes = gateway.DefaultLanes()
	}
	s.queue = embedded.NewQueue(lanes)
	s.store, err = logicstore.Open(filepath.Join(c.Data, "db"), logicstore.Options{
		Lanes: lanes, Publish: s.queue.Put,
	})
	if errors.Is(err, logicstore.ErrLocked) {
		return s, fmt.Errorf("another gannet is already running on %s: stop it, or give this one its own folder with --data", c.Data)
	} else if err != nil {
		return s, err
	}
	keys, err := logic.OpenKeys(filepath.Join(c.Data, "keys"))
	if err != nil {
		return s, err
	}
	listeners, err := gateway.Listen(c.Listen, c.Sockets)
	if err != nil {
		return s, fmt.Errorf("cannot listen for clients: %w (choose another address with --listen)", err)
	}
	s.address = listeners[0].Addr().String()

	directory := embedded.NewDirectory()
	local := &localGateway{}
	rules := logic.New(logic.Config{
		Log: s.store, History: s.store, Inbox: s.store, Cursors: s.store,
		Directory: directory, Gateways: local, Verifier: keys,
	})
	s.gateway = gateway.New(gateway.Config{
		Logic: rules, Lanes: lanes, MaxConnections: c.maxConnections(), Local: true, Log: log,
	})
	local.gateway = s.gateway
	s.transfer = transfer.Start(transfer.Config{
		Queue: s.queue, Directory: directory, Gateways: local, Lanes: numbers(lanes), Log: log,
	})
	if c.Debug != "" {
		if s.debug, err = startDebug(c.Debug, s); err != nil {
			return s, err
		}
	}
	for _, l := range listeners {
		if err := s.gateway.Serve(l); err != nil {
			return s, err
		}
	}
	if c.TLSListen != "" {
		if err := s.serveTLS(c); err != nil {
			return s, err
		}
	}
	if c.ReadyFile != "" {
		if err := s.writeReady(c.ReadyFile); err != nil {
			return s, err
		}
	}
	return s, nil
}

// serveTLS adds the listener with TLS.
func (s *server) serveTLS(c *serveCmd) error {
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return fmt.Errorf("cannot read the certificate for --tls-listen: %w (name it with --tls-cert and --tls-key)", err)
	}
	ln, err := net.Listen("tcp", c.TLSListen)
	if err != nil {
		return fmt.Errorf("cannot listen for clients with TLS: %w", err)
	}
	s.tlsAddress = ln.Addr().String()
	return s.gateway.ServeTLS(ln, &tls.Config{Certificates: []tls.Certificate{cert}})
}

// maxConnections leaves a tenth of the open files for the store.
func (c *serveCmd) maxConnections() int {
	if c.MaxConnections != 0 {
		return c.MaxConnections
	}
	if files := openFiles(); files > 0 {
		return files - files/10
	}
	return gateway.DefaultMaxConnections
}

// stop ends the server from the front to the back: nothing that was acked is
// without its push, or at least its place in the store.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err := s.gateway.Stop(ctx)
	s.transfer.Stop()
	s.queue.Close()
	if s.debug != nil {
		s.debug.stop()
	}
	return errors.Join(err, s.store.Close())
}

// abort gives back what a start that failed had taken.
func (s *server) abort() {
	if s.gateway != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		_ = s.gateway.Stop(ctx)
	}
	if s.transfer != nil {
		s.transfer.Stop()
	}
	if s.store != nil {
		_ = s.store.Close()
	}
}

// writeReady writes the ready file whole or not at all.
func (s *server) writeReady(file string) error {
	ready := struct {
		Listen string `json:"listen"`
		TLS    string `json:"tls,omitempty"`
		PID    int    `json:"pid"`
		Debug  string `json:"debug,omitempty"`
	}{Listen: s.address, TLS: s.tlsAddress, PID: os.Getpid()}
	if s.debug != nil {
		ready.Debug = s.debug.address
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

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// localGateway is the only gateway there is, as logic and transfer see it.
type localGateway struct{ gateway *gateway.Gateway }

func (l *localGateway) Kick(_ context.Context, at protocol.Address, code protocol.Code) error {
	if at.Gateway == l.gateway.ID() {
		l.gateway.Kick(at.Conn, code)
	}
	return nil
}

func (l *localGateway) Push(ctx context.Context, _ uint64, deliveries []protocol.Delivery) ([]uint64, error) {
	return l.gateway.Push(ctx, deliveries), nil
}
