package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// stopTimeout is how long a graceful stop may take before connections are cut
// off: what is acked is durable either way.
const stopTimeout = 6 * time.Second

// storeTimeout is when the store is closed at the latest, counted from the beginning of the stop.
// Transfer may need 2 s after stopTimeout, and the process needs a moment at its end.
const storeTimeout = 9 * time.Second

// exitTimeout bounds a stop that hangs, as one on a failed disk may.
const exitTimeout = 10 * time.Second

// startPatience is how long a start may go on after a signal, until it can be stopped in order.
// Opening a large store cannot be interrupted, but the process may be ended at any moment.
const startPatience = 5 * time.Second

// serveCmd is gannet alone: every role in this process.
type serveCmd struct {
	Data  string `default:"./gannet-data" placeholder:"DIR" help:"Folder for messages and signing keys; created where there is none."`
	Lanes int    `placeholder:"N" help:"Write lanes; by default one for each core."`

	GiveUp  string `name:"give-up-lost-messages" placeholder:"CODE" help:"Start although messages that were acked are missing from the store, and give them up for good; conversations go on above every seq that was given out. CODE comes from the start that was refused, and stands for that loss alone. Empty: such a start is refused."`
	MinFree int    `default:"1024" placeholder:"MIB" help:"Room on the disk, in MiB, below which messages are refused (storage_full), and below a quarter of it acks and reads too; 0: never, so that a disk that fills up ends the server. A start on a full disk is refused whatever this says."`

	frontFlags   `embed:""`
	processFlags `embed:""`
	limitFlags   `embed:""`
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
		// Everything acked is on disk. Only a restart helps, which is the task of the service
		// manager.
		fmt.Println("stopping: the store cannot be written to any more")
	}
	if c.ReadyFile != "" {
		_ = os.Remove(c.ReadyFile) // nobody shall take this server for one that is ready
	}
	time.AfterFunc(exitTimeout, func() { fail(errors.New("stopping took too long, what was under way is cut off")) })
	return s.stop()
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
