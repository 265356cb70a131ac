package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"gannet/benchmark/process"
)

// App is a process that hosts clients of some users. Each writes to its partner and
// receives from it, and keeps a diary. It is killed and started again on the same folder;
// SIGTERM ends it in order. Its fields are flags.
type App struct {
	Address   string        `required:"" help:"Address of the server."`
	Keys      string        `required:"" help:"Folder of the keys with which tokens are signed."`
	Dir       string        `required:"" help:"Folder of stores and diaries."`
	User      []uint64      `required:"" help:"Users who have their client here."`
	Pause     time.Duration `default:"500ms" help:"Mean pause between the messages of a client."`
	Handle    time.Duration `default:"5ms" help:"Mean time that handling a message takes."`
	Size      int           `default:"128" help:"Bytes of a message's body."`
	Silent    bool          `help:"Send nothing."`
	ReadyFile string        `required:"" help:"Written once all clients have begun."`

	// Signer gives the function that signs tokens with the keys in a folder.
	Signer func(keys string) (token func(user uint64) (string, error), err error) `kong:"-"`
}

// closeTimeout is how long clients may take to end in order.
const closeTimeout = 10 * time.Second

// Drain is the line on stdin after which an app sends nothing more.
const Drain = "drain"

// Run is the app, until ctx ends. It ends at once when its stdin does: nobody would end it
// then.
func (a *App) Run(ctx context.Context, _, _ io.Writer) error {
	sign, err := a.Signer(a.Keys)
	if err != nil {
		return fmt.Errorf("benchmark: keys: %w", err)
	}
	sending, drain := context.WithCancel(ctx)
	defer drain()
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			if in.Text() == Drain {
				drain()
			}
		}
		os.Exit(1)
	}()
	if a.Silent {
		drain()
	}
	var clients []*client
	for _, user := range a.User {
		token, err := sign(user)
		if err != nil {
			return fmt.Errorf("benchmark: %w", err)
		}
		c, err := a.begin(user, token)
		if err != nil {
			return fmt.Errorf("benchmark: user %d: %w", user, err)
		}
		clients = append(clients, c)
	}
	if err := process.WriteReady(a.ReadyFile, process.Ready{PID: os.Getpid()}); err != nil {
		return err
	}
	errs := make([]error, len(clients))
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() { errs[i] = c.run(ctx, sending) })
	}
	all.Wait()
	return errors.Join(errs...)
}
