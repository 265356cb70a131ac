package gannet

import (
	"context"
	"iter"
)

// State says what a client is doing.
type State int32

// The states.
const (
	Connecting State = iota // dialling, logging in or pausing between attempts
	Online                  // logged in
	Closed                  // for good
)

// String names the state.
func (s State) String() string {
	return [...]string{"connecting", "online", "closed"}[s]
}

// Client is one device of one user, connected for as long as it is not closed.
type Client struct{}

// Dial connects, logs in and returns once the server has welcomed the client
// and the sync of what it missed has begun. Within ctx it keeps trying when the
// connection is refused or the server says that a later attempt may succeed;
// any other failure returns at once. ctx bounds Dial alone, not the client.
//
// addr is host:port; token is what the server's operator gave out.
func Dial(ctx context.Context, addr string, token string, opts ...Option) (*Client, error) {
	return nil, ErrClosed
}

// Send sends a message and waits until it is durable on the server, however
// many connections that takes. It waits for room in the window first. When ctx
// ends while the message is on its way the message stays on its way.
func (c *Client) Send(ctx context.Context, to Target, d Draft) (Ack, error) {
	return Ack{}, ErrClosed
}

// SendFunc sends a message and returns at once; done, which may be nil, is
// called with the outcome on the goroutine that reads the connection, under the
// rules of Handler. With a Store it first waits until the message is on disk.
// It fails with ErrWindow when the window is full and with ErrClosed after
// Close; then done is not called.
func (c *Client) SendFunc(to Target, d Draft, done func(Ack, error)) error {
	return ErrClosed
}

// Messages gives what arrives, for a client without Handler.Message. The body of
// the loop may take its time and may call any method; a message counts as
// received when the loop asks for the next one or breaks. When the loop is
// slow the rest waits on the server. It ends when ctx ends or the client is
// closed. There must be one loop at a time.
func (c *Client) Messages(ctx context.Context) iter.Seq[Message] {
	return func(func(Message) bool) {}
}

// HistoryOptions say where History begins and which way it goes.
type HistoryOptions struct {
	From     uint64 // inclusive; 0 is the beginning, or the head when Backward
	Backward bool   // newest first
}

// History gives the messages of a conversation, this device's own included,
// fetching them page by page. It ends after the last one, or with an error.
func (c *Client) History(ctx context.Context, conversation Target, opts HistoryOptions) iter.Seq2[Message, error] {
	return func(func(Message, error) bool) {}
}

// Conversations gives the conversations of the user, ordered by target, fetching
// them page by page. It ends after the last one, or with an error.
func (c *Client) Conversations(ctx context.Context) iter.Seq2[Conversation, error] {
	return func(func(Conversation, error) bool) {}
}

// MarkRead says that the user has read a conversation up to seq, and waits until
// that is durable. A seq past the head counts as the head.
func (c *Client) MarkRead(ctx context.Context, conversation Target, seq uint64) error {
	return ErrClosed
}

// User gives the user whom the token names.
func (c *Client) User() uint64 { return 0 }

// Device gives the device id.
func (c *Client) Device() uint64 { return 0 }

// State gives the state.
func (c *Client) State() State { return Closed }

// Err says why the client closed for good: what the server refused. It is nil
// while the client works and after Close.
func (c *Client) Err() error { return nil }

// Close takes no more messages, waits until ctx ends for the acks of those that
// were sent, and ends everything. It returns nil when all were acked, otherwise
// why not; a second Close returns the same.
func (c *Client) Close(ctx context.Context) error { return nil }

