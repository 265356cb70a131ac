package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"gannet/protocol"
	gannet "gannet/sdk/go"
)

// drainTimeout is how long chat waits at its end for lines that are not acked.
const drainTimeout = 10 * time.Second

// loginTimeout is how long chat tries to log in at its start; later it tries for
// ever.
const loginTimeout = 5 * time.Second

type chatCmd struct {
	User    uint64 `required:"" placeholder:"ID" help:"Who you are."`
	To      uint64 `required:"" placeholder:"ID" help:"Whom to chat with."`
	Address string `default:"127.0.0.1:7420" placeholder:"ADDR" help:"Address of the server."`
	Token   string `placeholder:"TOKEN" help:"Token from gannet token; by default one is made with the key in the data folder."`
	Data    string `default:"./gannet-data" placeholder:"DIR" help:"Data folder of a server on this machine, for the default token."`
	Store   string `placeholder:"DIR" help:"Folder that remembers, from one start to the next, what was sent and received."`
}

// Help is printed by gannet chat --help.
func (*chatCmd) Help() string {
	return "Each line that you type is a message; what arrives is printed. It works through pipes too: at the end of the input it waits until everything is acked and ends. When the connection breaks it comes back by itself and sends what was not acked."
}

// Run chats until the input or ctx ends.
func (c *chatCmd) Run(ctx context.Context) (err error) {
	token := c.Token
	if token == "" {
		if token, err = sign(c.Data, c.User, defaultTTL); err != nil {
			return fmt.Errorf("%w; or pass --token", err)
		}
	}
	failed := make(chan error, 1)
	opts := []gannet.Option{
		gannet.WithName("gannet chat " + release),
		gannet.WithPlatform(gannet.PlatformDesktop),
		gannet.WithHandler(gannet.Handler{Event: c.announce, Outcome: tell}),
	}
	if c.Store != "" {
		store, serr := gannet.NewFileStore(c.Store)
		if serr != nil {
			return serr
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		opts = append(opts, gannet.WithStore(store))
	}
	client, err := c.login(ctx, token, opts)
	if err != nil {
		return err
	}
	receiving, stopReceiving := context.WithCancel(ctx)
	received := make(chan struct{})
	go func() {
		defer close(received)
		c.receive(receiving, client)
		if err := client.Err(); err != nil {
			failed <- err
		}
	}()
	lines := make(chan error, 1)
	go func() { lines <- c.send(ctx, client, os.Stdin) }() // a read of a terminal cannot be interrupted

	select {
	case err = <-lines:
	case err = <-failed:
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if cerr := client.Close(drain); cerr != nil && err == nil {
		err = fmt.Errorf("not every line was acked: %w", cerr)
	}
	stopReceiving()
	<-received
	return err
}

// login waits a little for a server that is just starting.
func (c *chatCmd) login(ctx context.Context, token string, opts []gannet.Option) (*gannet.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	client, err := gannet.Dial(ctx, c.Address, token, opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot log in at %s: %w (is the server running there? --address names another)", c.Address, err)
	}
	return client, nil
}

// send sends each line of the input, and waits for room, not for acks.
func (c *chatCmd) send(ctx context.Context, client *gannet.Client, input io.Reader) error {
	scanner := bufio.NewScanner(input)
	scanner.Buffer(nil, protocol.MaxBody)
	to := gannet.User(c.To)
	for scanner.Scan() {
		if scanner.Text() == "" {
			continue
		}
		if _, err := client.Post(ctx, to, gannet.Text(scanner.Text())); err != nil {
			return err
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("cannot read the input: %w", err)
	}
	return nil
}

// receive prints what arrives until the client or ctx ends.
func (c *chatCmd) receive(ctx context.Context, client *gannet.Client) {
	for m, err := range client.Messages(ctx) {
		if err != nil {
			return // client.Err says it too
		}
		from := fmt.Sprint(m.Sender)
		if m.Sender == c.User {
			from = "me, elsewhere"
		}
		if m.Conversation != gannet.User(c.To) {
			from += " (another chat)"
		}
		fmt.Printf("%s %s: %s\n", m.Time.Format(time.TimeOnly), from, m.Text())
		if m.Sender != c.User {
			if err := client.MarkRead(m.Conversation, m.Seq); err != nil && !errors.Is(err, gannet.ErrClosed) {
				fmt.Fprintln(os.Stderr, "! could not mark as read:", err)
			}
		}
	}
}

// tell says when a line was not sent.
func tell(_ context.Context, _ *gannet.Client, o gannet.Outcome) {
	if o.Err != nil {
		fmt.Fprintln(os.Stderr, "! a line was not sent:", o.Err)
	}
}

// announce says when the connection comes and goes, and when lines have to wait.
func (c *chatCmd) announce(_ context.Context, _ *gannet.Client, e gannet.Event) {
	switch e.Kind {
	case gannet.EventConnected:
		fmt.Fprintf(os.Stderr, "* connected as user %d, chatting with %d\n", c.User, c.To)
	case gannet.EventLost:
		fmt.Fprintf(os.Stderr, "* connection lost, trying again (%v)\n", e.Err)
	case gannet.EventHeld:
		fmt.Fprintf(os.Stderr, "* the server takes no lines for %v, they wait here (%v)\n", e.Wait, e.Err)
	}
}
