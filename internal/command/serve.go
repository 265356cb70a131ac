package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// stopTimeout is how long a graceful stop may take before connections are cut
// off: what is acked is durable either way.
const stopTimeout = 6 * time.Second

// storeTimeout is when the store ends at the latest, counted from the beginning of the
// stop: transfer may need 2 s after stopTimeout, and the process a moment at its end.
const storeTimeout = 9 * time.Second

// exitTimeout bounds a stop that hangs, as one on a failed disk may.
const exitTimeout = 10 * time.Second

// startPatience is how long a start that is to be stopped may take to come to where it
// can be: opening a large store cannot be interrupted, but left at any moment.
const startPatience = 5 * time.Second

// serveCmd is gannet alone: every role in this process.
type serveCmd struct {
	Listen       string `default:"127.0.0.1:7420" placeholder:"ADDR" help:"Address for clients. There is no TLS on it: keep it on loopback or behind something that ends TLS."`
	TLSListen    string `name:"tls-listen" placeholder:"ADDR" help:"Further address for clients, with TLS 1.3; off by default. Needs --tls-cert and --tls-key."`
	TLSCert      string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain for --tls-listen, PEM."`
	TLSKey       string `name:"tls-key" placeholder:"FILE" help:"Private key for --tls-listen, PEM."`
	Data         string `default:"./gannet-data" placeholder:"DIR" help:"Folder for messages and signing keys; created where there is none."`
	Debug        string `placeholder:"ADDR" help:"Address of the debug endpoint (profiles, counters, memory); off by default. Keep it on loopback."`
	DebugPublic  bool   `name:"debug-public" help:"Let --debug be an address that other machines reach. It has no authentication and shows the memory of the server."`
	ReadyFile    string `placeholder:"FILE" help:"Write the addresses and the process id to this file, as JSON, once clients can connect."`
	Lanes        int    `placeholder:"N" help:"Write lanes; by default one for each core."`
	OutboxMemory int    `default:"256" placeholder:"MIB" help:"MiB that may wait in all for clients that do not read. Beyond it they get hints in place of pushes and are given up sooner. 0: nothing waits."`
	BegunMemory  int    `default:"64" placeholder:"MIB" help:"MiB that frames may hold in all that were begun and are not whole, records of TLS among them. Beyond it the ones that were begun longest ago end with busy."`
	LogLevel     string `default:"info" enum:"debug,info,warn,error" help:"Least severe log line to print: debug, info, warn or error."`
	LogFormat    string `default:"text" enum:"text,json" help:"How log lines are written: text (key=value) or json."`

	GiveUp  string `name:"give-up-lost-messages" placeholder:"CODE" help:"Start although messages that were acked are missing from the store, and give them up for good; conversations go on above every seq that was given out. CODE comes from the start that was refused, and stands for that loss alone. Empty: such a start is refused."`
	MinFree int    `default:"1024" placeholder:"MIB" help:"Room on the disk, in MiB, below which messages are refused (storage_full), and below a quarter of it acks and reads too; 0: never, so that a disk that fills up ends the server. A start on a full disk is refused whatever this says."`

	socketFlags `embed:""`
	limitFlags  `embed:""`
}

// Help is printed by gannet serve --help.
func (serveCmd) Help() string {
	return "Starts a complete server in this process; it needs nothing else. Stop it with Ctrl-C or SIGTERM: it finishes what it has, tells its clients to come back, and ends."
}

// Run starts the server and stops it when ctx ends.
func (c *serveCmd) Run(ctx context.Context) error {
	log, err := c.logger(os.Stderr)
	if err != nil {
		return err
	}
	slog.SetDefault(log)
	s, err := c.startUntil(ctx, log)
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

// logger gives the log, as the flags say.
func (c *serveCmd) logger(to io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(to, options)), nil
	}
	return slog.New(slog.NewTextHandler(to, options)), nil
}

// startUntil starts the server, or ends with ctx.
func (c *serveCmd) startUntil(ctx context.Context, log *slog.Logger) (s *server, err error) {
	started := make(chan struct{})
	go func() {
		defer close(started)
		s, err = c.start(log)
	}()
	select {
	case <-started:
		return s, err
	case <-ctx.Done():
	}
	fmt.Println("stopping: the start is not complete")
	select {
	case <-started:
		return s, err // it is stopped in order, for ctx has ended
	case <-time.After(startPatience):
		return nil, errors.New("the start was cut off; everything acked is on disk")
	}
}
