package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"gannet/internal/token"
	gannet "gannet/sdk/go"
)

// drainTimeout is how long chat waits at its end for lines that are not acked.
const drainTimeout = 10 * time.Second

// drainQuick is after how much of that time chat says that it waits.
const drainQuick = 300 * time.Millisecond

// loginTimeout is how long chat tries to log in at its start; later it tries for
// ever.
const loginTimeout = 5 * time.Second

// historyLines is how many lines of history chat shows at the start, at a terminal.
const historyLines = 10

type chatCmd struct {
	User    uint64 `placeholder:"ID" help:"Who you are; with --token by default whom that names."`
	To      uint64 `required:"" placeholder:"ID" help:"Whom to chat with."`
	Address string `default:"127.0.0.1:7420" placeholder:"ADDR" help:"Address of the server, or several of one server with commas between."`
	Token   string `placeholder:"TOKEN" help:"Token from gannet token; by default one is made with the key in the data folder."`
	Data    string `default:"./gannet-data" placeholder:"DIR" help:"Data folder of a server on this machine, for the default token."`
	Store   string `placeholder:"DIR" help:"Folder that remembers, from one start to the next, what was sent and received. It is one user's on one server; a new one gets everything that the user was ever sent."`
	History *int   `placeholder:"N" help:"Lines of history to show at the start; by default 10 at a terminal and none in a pipe."`
}

// Help is printed by gannet chat --help.
func (*chatCmd) Help() string {
	return "Each line that you type is a message; what arrives is printed, and what became of your lines: acked, when the server has them on disk, and read. It works through pipes too: messages go to stdout, everything else to stderr, and at the end of the input it waits until everything is acked and ends. When the connection breaks it comes back by itself and sends what was not acked. Ctrl-C ends it in order. The exit status is 1 when a line was not sent."
}

// Run chats until the input or ctx ends.
func (c *chatCmd) Run(ctx context.Context) error {
	if c.To == 0 {
		return errors.New("--to 0: users are numbers from 1")
	}
	return c.chat(ctx, os.Stdin, isTerminal(os.Stdin), os.Stdout, os.Stderr)
}

// isTerminal says whether somebody types. The null device, which a service has in place of a
// terminal, does not count.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// chat runs the chat on these files.
func (c *chatCmd) chat(ctx context.Context, input io.Reader, byHand bool, out, notes io.Writer) (err error) {
	// Check this before there is a store: the first login would make the store the other user's.
	if user := token.Claimed(c.Token); c.User != 0 && user != 0 && user != c.User {
		return c.otherUser(user)
	}
	s := newScreen(c.User, c.To, byHand, out, notes)
	if byHand {
		s.history = historyLines
	}
	if c.History != nil {
		s.history = *c.History
	}
	opts := []gannet.Option{
		gannet.WithName("gannet chat " + release), gannet.WithPlatform(gannet.PlatformDesktop),
		gannet.WithHandler(gannet.Handler{Message: s.message, Outcome: s.outcome, Receipt: s.receipt, Event: s.event}),
	}
	if c.Token == "" {
		source, err := c.source()
		if err != nil {
			return err
		}
		opts = append(opts, gannet.WithTokenSource(source))
	}
	if c.Store != "" {
		store, err := gannet.NewFileStore(c.Store)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		opts = append(opts, gannet.WithStore(store))
	}
	client, err := c.login(ctx, opts)
	if err != nil {
		return err
	}
	lines := make(chan error, 1)
	go func() { lines <- s.send(ctx, client, input) }() // a read of a terminal cannot be interrupted
	select {
	case err = <-lines:
	case <-client.Done():
		err = client.Err()
	case <-ctx.Done():
	}
	if left := c.leave(client, s); err == nil {
		err = left
	}
	return errors.Join(err, s.sum())
}

// leave waits for the acks of the last lines, and says so if that takes a while.
func (c *chatCmd) leave(client *gannet.Client, s *screen) error {
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	quick, stop := context.WithTimeout(drain, drainQuick)
	defer stop()
	if client.Flush(quick) != nil {
		if n := client.Waiting(); n > 0 {
			s.notef("* waiting up to %v for the server, which has not acked everything (%d)", drainTimeout, n)
		} else if client.State() != gannet.StateClosed {
			s.notef("* waiting up to %v for the server, which does not know yet what was read", drainTimeout)
		}
	}
	err := client.Close(drain)
	switch {
	case err == nil:
		return nil
	case c.Store != "":
		return fmt.Errorf("not every line was acked, and the next chat with this store sends the rest: %w", err)
	default:
		return fmt.Errorf("not every line was acked, and whether the rest arrived is unknown: %w", err)
	}
}

// source makes a token for each login with the key in the data folder.
func (c *chatCmd) source() (func(context.Context) (string, error), error) {
	if c.User == 0 {
		return nil, errors.New("--user says who you are; or pass --token")
	}
	if _, err := sign(c.Data, c.User, defaultTTL); err != nil {
		return nil, fmt.Errorf("%w; or pass --token", err)
	}
	return func(context.Context) (string, error) { return sign(c.Data, c.User, defaultTTL) }, nil
}

// login waits a little for a server that is just starting.
func (c *chatCmd) login(ctx context.Context, opts []gannet.Option) (*gannet.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	client, err := gannet.Dial(ctx, c.Address, c.Token, opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot log in at %s: %w%s", c.Address, err, advice(err))
	}
	if user := client.User(); c.User != 0 && user != c.User {
		_ = client.Close(ctx)
		return nil, c.otherUser(user)
	}
	return client, nil
}

// advice says what can be done about a login that failed.
func advice(err error) string {
	var owner *gannet.OwnerError
	var network net.Error
	switch {
	case errors.As(err, &owner):
		return " (--store names another folder)"
	case errors.Is(err, gannet.CodeBadToken), errors.Is(err, gannet.CodeTokenExpired):
		return " (gannet token makes one)"
	case errors.As(err, &network), errors.Is(err, io.EOF):
		return " (is the server running there? --address names another)"
	}
	return ""
}

// otherUser is the error that the token belongs to another user than --user says.
func (c *chatCmd) otherUser(user uint64) error {
	return fmt.Errorf("the token is user %d's, and --user says %d: leave out --user, or pass the token of user %d", user, c.User, c.User)
}

// send sends each line of the input once the history is shown, and waits for room, not
// for acks.
func (s *screen) send(ctx context.Context, client *gannet.Client, input io.Reader) error {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil
	}
	reader := bufio.NewReaderSize(input, gannet.MaxBody+len("\r\n"))
	for {
		line, err := reader.ReadSlice('\n')
		text := strings.TrimRight(string(line), "\r\n")
		whole := !errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = reader.ReadSlice('\n')
		}
		switch {
		case !whole || len(text) > gannet.MaxBody:
			s.failed(text, fmt.Errorf("a line has at most %d bytes", gannet.MaxBody))
		case text != "":
			if !s.post(ctx, client, text) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the input: %w", err)
		}
	}
}

// post sends a line, and says whether there may be another.
func (s *screen) post(ctx context.Context, client *gannet.Client, text string) bool {
	err := s.give(text, func() (uint64, error) {
		sending, err := client.Post(ctx, gannet.User(s.to), gannet.Text(text))
		if err != nil {
			return 0, err
		}
		return sending.ID(), nil
	})
	return err == nil || ctx.Err() == nil && !errors.Is(err, gannet.ErrClosed) && !errors.Is(err, gannet.ErrStore) && !errors.Is(err, gannet.ErrUncertain)
}
